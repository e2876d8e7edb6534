"""The English of the product is plain, so that engineers under stress and non-native speakers read it only once."""

from __future__ import annotations

import ast
import io
import os
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.documented import PAGES, PRODUCT, ROOT

FIRST = re.compile(r"(?:What|Whatever|Who|Whoever|Whose|Whom|Which|Whichever|Whether|How|Where|Wherever)\b(?!-)")
"""A sentence starts with its subject or with an imperative verb."""

OLD_WORDS = re.compile(
    r"\b(anew|shall|lest|mend|mends|mended|at once|in vain|told of|whoever|whomever|whom|be it|the one before|nobody"
    r"|comes? to nothing|came to nothing|of no use|to be found|in good order|all is well)\b",
    re.IGNORECASE,
)
SENTENCE, ENDS = re.compile(r"\S+ \S+ "), re.compile(r"(?<=[.!?])\s+")


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of each comment, docstring and string with blanks, or of each heading of a page."""
    source = path.read_text()
    if path.suffix == ".md":
        yield from (
            (line, text.lstrip("# ")) for line, text in enumerate(source.split("\n"), 1) if text.startswith("#")
        )
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SENTENCE.match(node.value):
            yield node.lineno, node.value


def faults(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and words of each sentence that is not plain."""
    for line, text in texts(path):
        for sentence in ENDS.split(text):
            if FIRST.match(sentence) and not sentence.endswith("?"):
                yield line, sentence.split()[0]
            yield from ((line, match[0]) for match in OLD_WORDS.finditer(sentence))


def files() -> list[Path]:
    return sorted([*(PRODUCT / "certs").rglob("*.py"), *(PRODUCT / "webhook").rglob("*.py"), *PAGES])


@pytest.mark.parametrize("path", files(), ids=lambda path: os.path.relpath(path, ROOT))
def test_sentences_begin_with_their_subject_and_use_words_of_today(path: Path) -> None:
    assert [f"{path}:{line}: {words}" for line, words in faults(path)] == []


@pytest.mark.parametrize(
    "source", ['"""Whether it works."""', "x = 1\n# It is done. Who asks, waits.", 'X = "tried in vain again"']
)
def test_a_sentence_that_is_not_plain_is_a_fault(source: str, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(source)
    assert list(faults(path))
