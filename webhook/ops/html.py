"""Render HTML pages from the templates of this package, with one style sheet and one script.

Jinja2 escapes every value for HTML. Names and messages come from strangers, so unprintable characters are escaped
first. Import this module only where a page is rendered: processes start without Jinja2.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from webhook.rules.text import escaped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_State = TypeVar("_State", bound=str)

_FOLDER = Path(__file__).parent / "templates"

STYLE = (_FOLDER / "style.css").read_text()
"""The style sheet, which is part of each page."""

SCRIPT = (_FOLDER / "copy.js").read_text()
"""The script, which is part of pages with commands to copy. They work without it."""

_LOGO = (_FOLDER / "icon.svg").read_text().strip()

ICON = f"data:image/svg+xml,{quote(_LOGO)}"
"""The icon as a URL that loads nothing."""

BAR_WIDTH, NARROWEST = 1000, 12
"""The width of a stacked bar, and of its narrowest segment: one copy of 10,000 must be visible."""


class Segment(msgspec.Struct, frozen=True):
    """A part of a stacked bar: the things in one state, with the class of that state."""

    state: str
    kind: str
    number: int
    left: float
    width: float


class Banner(msgspec.Struct, frozen=True):
    """The band on top of a page: its class, one line, a sentence about it, and the next command."""

    kind: str
    text: str
    detail: str = ""
    command: str = ""


def stack(numbers: Mapping[_State, int], kinds: Mapping[str, str]) -> Sequence[Segment]:
    """Return the segments of a bar, in the order of ``numbers``; large ones give way to those too narrow to see."""
    total = sum(numbers.values())
    widths = {state: max(NARROWEST, BAR_WIDTH * number / total) for state, number in numbers.items() if number}
    left, segments = 0.0, []
    for state, width in widths.items():
        # Narrow segments were widened, so all are scaled back to the width of the bar.
        scaled = width * BAR_WIDTH / sum(widths.values())
        segments.append(Segment(state, kinds[state], numbers[state], round(left, 1), round(scaled, 1)))
        left += scaled
    return segments


def _printable(value: object) -> object:
    return escaped(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_BREAK = re.compile(r"([/=.:_@])(?=[^\W\d])")


def flow(text: str) -> Markup:
    """Return a text that may continue in the next line after these characters of a name, as it may after a hyphen."""
    return Markup(_BREAK.sub(r"\1<wbr>", str(escape(escaped(text)))))  # noqa: S704 - escaped


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_FOLDER),
    autoescape=True,
    # It is called for each value of an expression, before the value is escaped for HTML.
    finalize=_printable,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    auto_reload=False,
)
_ENVIRONMENT.filters["flow"] = flow
_ENVIRONMENT.globals |= {
    "style": Markup(STYLE),  # noqa: S704 - our own file
    "script": Markup(SCRIPT),  # noqa: S704 - as above
    "icon": ICON,
    "logo": Markup(_LOGO),  # noqa: S704 - as above
    "bar_width": BAR_WIDTH,
}


def render(template: str, **values: Any) -> str:  # noqa: ANN401 - any value of a template
    """Return the page of ``<template>.html.jinja``; a value that the template needs and that is missing is an error."""
    return _ENVIRONMENT.get_template(f"{template}.html.jinja").render(values)
