from __future__ import annotations

import pytest

from tools.docs.recording import Screen
from tools.docs.screenshots import COMMANDS, IMAGES, picture


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_picture_in_the_documentation_is_what_is_printed(name: str) -> None:
    assert picture(COMMANDS[name].split()) == (IMAGES / f"{name}.svg").read_text(), "make it anew: make fix"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_picture_fetches_nothing(name: str) -> None:
    assert "url(" not in (IMAGES / f"{name}.svg").read_text().replace("url(#", "")


def test_a_screen_shows_the_last_state_of_a_line_that_is_written_again() -> None:
    screen = Screen()
    for text in ("first\r\n\x1b[?25lbar 1\r\x1b", "[2Kbar \x1b[31m2\x1b[0m\r\n", "\x1b[1A\x1b[2Ksecond\r\nbar 3"):
        screen.feed(text)
    assert screen.text == "first\nsecond\nbar 3"
