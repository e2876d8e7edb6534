"""The pages of the documentation, as tests read them."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import webhook

ROOT = Path(__file__).parents[2]
PRODUCT = Path(webhook.__file__).parents[1]  # ROOT, or where the wheel is installed
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "charts").rglob("*.md")])

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def section(page: Path, heading: str) -> str:
    (found,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", page.read_text(), re.MULTILINE | re.DOTALL)
    return str(found)


def rows(markdown: str) -> list[list[str]]:
    """Return the cells of each row of the first table, without the head."""
    table = re.search(r"(?:^\|.*\n)+", markdown, re.MULTILINE)
    assert table
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[0].splitlines()[2:]]


def in_code(text: str) -> list[str]:
    """Return what stands in code: the words of `…`, of "```" blocks whole."""
    return [*FENCE.findall(text), *re.findall(r"`([^`\n]+)`", FENCE.sub("", text))]


def blocks(page: Path, language: str) -> list[str]:
    """Return the blocks of code of a page in one language, in their order, without the indentation of a list."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for _, block in found]


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))
