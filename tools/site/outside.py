"""References of the built pages to other hosts. There must be none, so that no other host notices a reader."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_FETCHED = {
    "audio": ("src",),
    "embed": ("src",),
    "iframe": ("src",),
    "image": ("href", "xlink:href"),
    "img": ("src", "srcset"),
    "input": ("src",),
    "link": ("href",),
    "object": ("data",),
    "script": ("src",),
    "source": ("src", "srcset"),
    "track": ("src",),
    "use": ("href", "xlink:href"),
    "video": ("src", "poster"),
}
_ELSEWHERE = re.compile(r"(?:https?:)?//", re.IGNORECASE)
_IN_STYLES = re.compile(r"(?:url\(|@import)\s*[\"']?\s*((?:https?:)?//[^\"')\s;]+)", re.IGNORECASE)


def fetched_from_elsewhere(site: Path) -> list[str]:
    """Return what pages and styles below ``site`` fetch from another host, each after the file that does."""
    references = []
    for file in sorted(site.rglob("*")):
        if file.suffix in {".html", ".svg"}:
            references += [f"{file.relative_to(site)}: {url}" for url in _of_a_page(file.read_text())]
        elif file.suffix == ".css":
            references += [f"{file.relative_to(site)}: {url}" for url in _IN_STYLES.findall(file.read_text())]
    return references


def _of_a_page(text: str) -> Iterable[str]:
    reader = _Reader()
    reader.feed(text)
    return [*reader.found, *_IN_STYLES.findall(text)]


class _Reader(HTMLParser):
    """Collects what a browser fetches to show a page; where its links lead is not fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        attribute_names = _FETCHED.get(tag, ())
        self.found += [value for name, value in attrs if name in attribute_names and value and _ELSEWHERE.search(value)]
