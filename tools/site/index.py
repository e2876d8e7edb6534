"""The index of the documentation, docs/README.md: its sections are the navigation of the site."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SECTION = re.compile(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_FIRST_CELL = re.compile(r"^\| \[([^\]]+)\]\(([^)\s]+)\) \|", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Entry:
    """A page of the navigation: how the index calls it, and the path of its file from there."""

    text: str
    path: str


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the navigation."""

    title: str
    entries: tuple[Entry, ...]


def sections(docs: Path) -> list[Section]:
    """Return the sections of the index, with what the first column of their tables links to."""
    index = (docs / "README.md").read_text()
    return [
        Section(title, tuple(Entry(*link) for link in _FIRST_CELL.findall(text)))
        for title, text in _SECTION.findall(index)
    ]


def paths(docs: Path) -> list[str]:
    """Return the paths of all pages of the index, in order."""
    return [entry.path for section in sections(docs) for entry in section.entries]


def missing(docs: Path) -> list[str]:
    """Return the pages below ``docs`` that the index does not have, as paths below it."""
    pages = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")}
    return sorted(pages - {"README.md", *paths(docs)})
