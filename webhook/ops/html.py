"""Render HTML pages from the templates of this package, with one style sheet.

Jinja2 escapes every value for HTML. Names and messages come from strangers, so unprintable characters are escaped
first. Import this module only where a page is rendered: processes start without Jinja2.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from webhook.rules.text import escaped

_FOLDER = Path(__file__).parent / "templates"

STYLE = (_FOLDER / "style.css").read_text()
"""The style sheet, which is part of each page."""


def _printable(value: object) -> object:
    return escaped(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_FOLDER),
    autoescape=True,
    finalize=_printable,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    auto_reload=False,
)
_ENVIRONMENT.globals["style"] = Markup(STYLE)  # noqa: S704 - our own file


def render(template: str, **values: Any) -> str:  # noqa: ANN401 - any value of a template
    """Return the page of ``<template>.html.jinja``; a value that the template needs and that is missing is an error."""
    return _ENVIRONMENT.get_template(f"{template}.html.jinja").render(values)
