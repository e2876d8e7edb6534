"""Every page escapes every value, and only a process that renders a page loads Jinja2."""

from __future__ import annotations

from html.parser import HTMLParser

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strangenames import HOSTILE, obeyed
from tests.unit.cli.test_imports import imported_by
from webhook.ops.html import Banner, render, stack
from webhook.rules.text import escaped

TAGS = ["html", "head", "meta", "meta", "title", "link", "style", "body", "header", "h1", "svg", "rect", "g", "circle"]
TAGS += ["path", "main", "section", "svg", "path", "div", "p", "p", "svg", "rect", "ul", "li", "span", "table"]
TAGS += ["caption", "thead", "tr", "th", "tbody", "tr", "th", "td", "td", "span", "td", "td"]
ATTRIBUTES = {"lang", "charset", "name", "content", "scope", "class", "rel", "href", "role", "preserveaspectratio"}
ATTRIBUTES |= {"aria-hidden", "aria-label", "viewbox", "xmlns", "fill", "stroke", "stroke-linecap", "stroke-width"}
ATTRIBUTES |= {"cx", "cy", "d", "height", "r", "rx", "width", "x"}


class Tags(HTMLParser):
    """Lists the tags of a page, their attributes, and the text of its cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.cells: list[str] = []
        self.feed(page.replace("<wbr>", ""))  # only a place to continue in the next line
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag in ("th", "td"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells and data != "\n":
            self.cells[-1] += data


@given(st.text() | st.sampled_from([*HOSTILE, '"><script>', "' onload='x", "{{ 7 * 7 }}", "{% include 'x' %}", "&lt;"]))
def test_a_value_is_text_in_content_and_in_attributes(text: str) -> None:
    row = dict.fromkeys(("namespace", "workload", "exposure", "image", "message"), text)
    verdict, segments = Banner(text, text, f"{text}."), stack({text: 1}, {text: text})
    page = render("coverage", verdict=verdict, segments=segments, columns=[text], rows=[row], kinds={text: text})
    found = Tags(page)
    assert obeyed(page) == set()
    assert found.tags == TAGS
    assert {name for name, _ in found.attributes} == ATTRIBUTES
    assert found.cells == [escaped(text)] * 6
    assert dict(found.attributes)["class"] == f"tag {escaped(text)}"


def test_a_value_that_is_missing_is_an_error_and_not_an_empty_place() -> None:
    with pytest.raises(jinja2.UndefinedError, match="'rows' is undefined"):
        render("coverage", verdict=Banner("good", ""), segments=(), columns=[], kinds={})


def test_a_process_that_shows_no_page_does_not_load_the_templates() -> None:
    modules = "webhook.cli, webhook.ops.app, webhook.serve.process, webhook.sync.process, webhook.cli.coverage"
    assert not imported_by(f"import {modules}") & {"jinja2", "markupsafe"}
