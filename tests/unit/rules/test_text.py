from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strangenames import BREAKS, CONTROLS, DIRECTIONS, HOSTILE, INVISIBLE, obeyed
from webhook.rules.text import ascii_json, escaped, escaped_lines, some


def test_of_all_characters_none_that_a_terminal_obeys_is_left() -> None:
    kept = []
    for character in map(chr, range(sys.maxunicode + 1)):
        shown = escaped(character)
        if shown == character:
            kept.append(character)
        else:
            assert shown.startswith("\\")
            assert shown.isascii()
            assert shown.isprintable()
    assert obeyed("".join(kept), allowed="") == set()


def test_the_dangerous_classes_are_all_among_them() -> None:
    for character in CONTROLS + DIRECTIONS + BREAKS + INVISIBLE:
        assert escaped(character) != character


@pytest.mark.parametrize(
    "text", ["", "a b", "registry.example.com/a:1", "Grüße", "日本語", "e\u0301", "[bold]", "a\\b"]
)
def test_what_can_be_printed_is_left_as_it_is(text: str) -> None:
    assert escaped(text) == text


@given(st.text())
def test_escaped_text_is_one_line_and_stays_the_same(text: str) -> None:
    shown = escaped(text)
    assert len(shown.splitlines()) <= 1
    assert escaped(shown) == shown
    assert obeyed(escaped_lines(text)) == set()
    assert escaped_lines(text).count("\n") == text.count("\n")


@given(st.text() | st.sampled_from(HOSTILE))
def test_json_is_ascii_and_says_the_same(text: str) -> None:
    for raw in (json.dumps({text: [text]}), json.dumps({text: [text]}, ensure_ascii=False)):
        document = ascii_json(raw)
        assert all(" " <= character <= "~" for character in document)
        assert json.loads(document) == json.loads(raw)


def test_names_that_are_not_listed_are_counted_with_separators() -> None:
    assert some(["a", "b"], 2) == "a and b"
    assert some([f"n{number}" for number in range(1003)], 2) == "n0, n1 and 1,001 more"
