"""The sources of the site: the pages of docs/, and those beside it that the index has.

A page links to others as they lie in a checkout. In the site a link to a page stays one; a link to any other file leads
to the repository if pyproject.toml has its URL, and is else the path of the file, as text.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.site.index import Section, paths, sections

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

INDEX = "index.md"

_FENCE = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[((?:`[^`]*`|[^\[\]`])+)\]\(([^)\s]+)\)")
_SCHEME = re.compile(r"[a-z]+:")
_NAME_OF_A_PAGE = re.compile(r"[\w./-]+\.md")


def stage(root: Path, into: Path) -> None:
    """Write the sources of the site of the checkout ``root``."""
    checkout = _Checkout.of(root.resolve())
    shutil.copytree(checkout.docs, into, ignore=shutil.ignore_patterns("*.md"), dirs_exist_ok=True)
    for source, name in checkout.pages.items():
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(checkout.in_the_site(source))
    with (into / INDEX).open("a") as index:
        index.writelines(checkout.navigation(section) for section in sections(checkout.docs))


@dataclass(frozen=True, slots=True)
class _Checkout:
    root: Path
    pages: Mapping[Path, str]
    """The path of each page in the site, by its file."""
    repository: str
    """The URL of the repository, or nothing."""

    @classmethod
    def of(cls, root: Path) -> _Checkout:
        project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
        return cls(root, _pages(root / "docs"), project.get("urls", {}).get("Repository", "").rstrip("/"))

    @property
    def docs(self) -> Path:
        return self.root / "docs"

    def in_the_site(self, source: Path) -> str:
        """Return a page with its links as the site needs them; code blocks stay as they are."""

        def link(match: re.Match[str]) -> str:
            path, hash_sign, anchor = match[2].partition("#")
            if not path or _SCHEME.match(path):
                return match[0]
            file = (source.parent / path).resolve()
            if file == self.root / "README.md":
                file = self.docs / "README.md"
            if page := self.pages.get(file):
                target = posixpath.relpath(page, posixpath.dirname(self.pages[source]) or ".")
                # A link without a text is called as the page or the section that it leads to.
                return f"[{'' if _NAME_OF_A_PAGE.fullmatch(match[1]) else match[1]}]({target}{hash_sign}{anchor})"
            return self._to_a_file(match[1], file) or match[0]

        pieces = _FENCE.split(source.read_text())
        return "".join(piece if at % 2 else _LINK.sub(link, piece) for at, piece in enumerate(pieces))

    def _to_a_file(self, text: str, file: Path) -> str | None:
        """Return the link to a file that is no page of the site; None for what should be a page, or is not there."""
        if not file.exists() or not file.is_relative_to(self.root) or file.is_relative_to(self.docs):
            return None
        path = file.relative_to(self.root)
        if self.repository:
            return f"[{text}]({self.repository}/blob/HEAD/{path})"
        return f"`{path}`" if text.strip("`") == file.name else f"{text} (`{path}`)"

    def navigation(self, section: Section) -> str:
        """Return the part of the navigation that a section is."""
        lines = []
        for entry in section.entries:
            page = self.pages[(self.docs / entry.path).resolve()].removesuffix(".md")
            lines.append(page if _NAME_OF_A_PAGE.fullmatch(entry.text) else f"{entry.text} <{page}>")
        return "\n".join(["", "```{toctree}", ":hidden:", f":caption: {section.title}", "", *lines, "```", ""])


def _pages(docs: Path) -> Mapping[Path, str]:
    inside = {page: page.relative_to(docs).as_posix() for page in sorted(docs.rglob("*.md"))}
    beside = [(docs / path).resolve() for path in paths(docs)]
    called = {page: page.parent.name if page.stem == "README" else page.stem.lower() for page in beside}
    return {page: f"{name}.md" for page, name in called.items()} | inside | {docs / "README.md": INDEX}
