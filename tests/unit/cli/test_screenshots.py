from __future__ import annotations

import pytest

from tools.docs.screenshots import COMMANDS, IMAGES, picture


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_picture_in_the_documentation_is_what_is_printed(name: str) -> None:
    assert picture(COMMANDS[name].split()) == (IMAGES / f"{name}.svg").read_text(), "make it anew: make fix"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_picture_fetches_nothing(name: str) -> None:
    assert "url(" not in (IMAGES / f"{name}.svg").read_text().replace("url(#", "")
