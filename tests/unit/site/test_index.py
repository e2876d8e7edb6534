"""The index of the documentation has every page, once, in the section where a reader looks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.site.index import Entry, Section, missing, paths, sections

DOCS = Path(__file__).parents[3] / "docs"


def test_every_page_is_in_the_index() -> None:
    assert missing(DOCS) == []


def test_no_page_is_in_it_twice() -> None:
    assert len(set(paths(DOCS))) == len(paths(DOCS))


def test_every_page_of_it_is_there() -> None:
    assert [path for path in paths(DOCS) if not (DOCS / path).is_file()] == []


def test_the_sections_are_what_a_reader_may_want() -> None:
    titles = [section.title for section in sections(DOCS)]
    assert titles == ["Tutorials", "How-to guides", "Reference", "Explanation", "Contributing"]
    assert all(section.entries for section in sections(DOCS))


def test_guides_are_among_the_guides() -> None:
    (guides,) = (section for section in sections(DOCS) if section.title == "How-to guides")
    elsewhere = {path for path in paths(DOCS) if path.startswith("howto/")} - {each.path for each in guides.entries}
    assert elsewhere == set()


@pytest.mark.parametrize("page", ["metrics.md", "howto/rotate.md"])
def test_a_page_that_the_index_lacks_is_found(page: str, tmp_path: Path) -> None:
    (tmp_path / page).parent.mkdir(exist_ok=True)
    (tmp_path / page).write_text("# A page\n")
    (tmp_path / "README.md").write_text("# Index\n\n## One\n\n| page | what |\n|---|---|\n")
    assert missing(tmp_path) == [page]


def test_only_the_first_column_is_navigation(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(
        "# Index\n\n[before](before.md)\n\n## One\n\n| page | what |\n|---|---|\n"
        "| [a.md](a.md) | not [b.md](b.md) |\n\n## Two\n\n| page |\n|---|\n| [Called so](../c.md) |\n"
    )
    assert sections(tmp_path) == [
        Section("One", (Entry("a.md", "a.md"),)),
        Section("Two", (Entry("Called so", "../c.md"),)),
    ]
