"""The site as Sphinx builds it. ``make docs`` installs that; without it these tests are skipped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.site.__main__ import ROOT, build
from tools.site.index import paths

pytest.importorskip("sphinx", reason="`make docs` installs Sphinx")

INDEX = "# Documentation\n\n## Guides\n\n| page | what |\n|---|---|\n| [a.md](a.md) | a page |\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of this checkout; that it is built at all says that no link, page or anchor is missing."""
    folder = tmp_path_factory.mktemp("site")
    assert build(ROOT, folder) == 0
    return folder


def test_every_page_of_the_index_is_in_the_navigation_of_the_front_page(site: Path) -> None:
    front = (site / "index.html").read_text()
    (navigation,) = re.findall(r'<div class="sidebar-tree">(.*?)</div>', front, re.DOTALL)
    assert len(re.findall(r'<a class="reference internal"', navigation)) == len(paths(ROOT / "docs"))


def test_no_script_style_font_or_picture_is_from_elsewhere(site: Path) -> None:
    """By another way than the build's own check: every attribute that makes a browser fetch something."""
    pages = "".join(page.read_text() for page in site.rglob("*.html"))
    fetched = re.findall(r'<(?:script|link|img|source|iframe|object)\b[^>]*?(?:src|href|data)="([^"]+)"', pages)
    assert len(fetched) > 100
    assert [url for url in fetched if re.match(r"(?:https?:)?//", url)] == []


def test_the_search_needs_no_server(site: Path) -> None:
    index = (site / "searchindex.js").read_text()
    assert index.startswith("Search.setIndex(")
    assert "rotation" in index
    assert "searchindex.js" in (site / "search.html").read_text()


def test_what_is_built_has_no_path_of_this_machine(site: Path) -> None:
    assert [page.name for page in site.rglob("*.html") if str(ROOT) in page.read_text()] == []


@pytest.mark.parametrize(
    ("pages", "complaint"),
    [
        pytest.param({"a.md": "# A\n\n[x](gone.md)\n"}, "gone.md", id="a link to a page that is gone"),
        pytest.param({"a.md": "# A\n\n[x](../gone.py)\n"}, "gone.py", id="a link to a file that is gone"),
        pytest.param({"a.md": "# A\n\n[x](#nowhere)\n"}, "nowhere", id="an anchor that is missing"),
        pytest.param({"a.md": "# A\n\n[x](README.md#nowhere)\n"}, "nowhere", id="an anchor of another page"),
        pytest.param({"a.md": "# A\n", "b.md": "# B\n"}, "b.md", id="a page that the index lacks"),
        pytest.param({"a.md": "# A\n\n![x](gone.png)\n"}, "gone.png", id="a picture that is gone"),
    ],
)
def test_what_is_missing_fails_the_build(
    pages: dict[str, str], complaint: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "checkout"
    (root / "docs").mkdir(parents=True)
    (root / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    for name, text in {"README.md": INDEX, **pages}.items():
        (root / "docs" / name).write_text(text)
    assert build(root, tmp_path / "site") != 0
    assert complaint in capfd.readouterr().err


def test_pages_without_fault_are_built(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (tmp_path / "docs" / "README.md").write_text(INDEX)
    (tmp_path / "docs" / "a.md").write_text("# A\n\n[x](README.md#guides)\n")
    assert build(tmp_path, tmp_path / "site") == 0
