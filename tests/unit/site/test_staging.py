"""Links of the pages work in the site as they do in a checkout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tools.site.staging import stage

INDEX = """\
# Documentation

## Guides

| page | what |
|---|---|
| [howto/rotate.md](howto/rotate.md) | a guide |
| [sync.md](sync.md) | a page |
| [../SECURITY.md](../SECURITY.md) | beside |
| [Chart values](../charts/chart/README.md) | beside, with a name |
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    files = {
        "pyproject.toml": "[project]\nname = 'x'\n",
        "README.md": "# Front\n",
        "SECURITY.md": "# Security\n\nSee [docs/sync.md](docs/sync.md#order).\n",
        "tests/test_it.py": "",
        "charts/chart/README.md": "# The chart\n\nOf [the project](../../README.md); [values.yaml](values.yaml).\n",
        "charts/chart/values.yaml": "",
        "docs/README.md": INDEX,
        "docs/sync.md": "# Sync\n\n## Order\n",
        "docs/howto/rotate.md": "# Rotate\n",
        "docs/images/plan.svg": "<svg/>",
    }
    root = tmp_path / "checkout"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def staged(checkout: Path, pages: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the sources of the site, by name, after some pages got another text."""
    for name, text in (pages or {}).items():
        (checkout / name).write_text(text)
    site = checkout.parent / "site"
    stage(checkout, site)
    return {str(file.relative_to(site)): file.read_text() for file in site.rglob("*") if file.is_file()}


def test_the_site_has_the_pages_of_the_index_and_their_pictures(checkout: Path) -> None:
    assert set(staged(checkout)) == {
        "index.md",
        "sync.md",
        "howto/rotate.md",
        "security.md",
        "chart.md",
        "images/plan.svg",
    }


def test_a_page_that_the_index_lacks_is_there_too_for_the_build_to_refuse(checkout: Path) -> None:
    assert "extra.md" in staged(checkout, {"docs/extra.md": "# Extra\n"})


def test_the_sections_of_the_index_are_the_navigation(checkout: Path) -> None:
    assert staged(checkout)["index.md"].endswith(
        "\n```{toctree}\n:hidden:\n:caption: Guides\n\nhowto/rotate\nsync\nsecurity\nChart values <chart>\n```\n"
    )


@pytest.mark.parametrize(
    ("page", "written", "shown"),
    [
        ("docs/sync.md", "[as it is](https://example.com/a.md)", "[as it is](https://example.com/a.md)"),
        ("docs/sync.md", "[here](#order)", "[here](#order)"),
        ("docs/sync.md", "[who](../SECURITY.md#limits)", "[who](security.md#limits)"),
        ("docs/sync.md", "[../SECURITY.md](../SECURITY.md)", "[](security.md)"),
        ("docs/sync.md", "[`the index`](README.md)", "[`the index`](index.md)"),
        ("docs/sync.md", "[the project](../README.md)", "[the project](index.md)"),
        ("docs/sync.md", "[rotate.md](howto/rotate.md)", "[](howto/rotate.md)"),
        ("docs/howto/rotate.md", "[sync.md](../sync.md#order)", "[](../sync.md#order)"),
        ("docs/howto/rotate.md", "[the chart](../../charts/chart/README.md)", "[the chart](../chart.md)"),
        ("docs/sync.md", "([test_it.py](../tests/test_it.py))", "(`tests/test_it.py`)"),
        ("docs/sync.md", "[a test](../tests/test_it.py)", "a test (`tests/test_it.py`)"),
        ("docs/sync.md", "![plan](images/plan.svg)", "![plan](images/plan.svg)"),
        ("docs/sync.md", "```sh\n[x](../SECURITY.md)\n```", "```sh\n[x](../SECURITY.md)\n```"),
    ],
)
def test_a_link_is_as_the_site_needs_it(checkout: Path, page: str, written: str, shown: str) -> None:
    assert staged(checkout, {page: f"# A page\n\n{written}\n"})[page.removeprefix("docs/")] == f"# A page\n\n{shown}\n"


@pytest.mark.parametrize("target", ["gone.md", "../gone.py", "../CHANGELOG.md", "../../elsewhere.md"])
def test_a_link_that_leads_nowhere_stays_for_the_build_to_refuse(checkout: Path, target: str) -> None:
    assert f"[x]({target})" in staged(checkout, {"docs/sync.md": f"# Sync\n\n[x]({target})\n"})["sync.md"]


def test_what_is_beside_the_documentation_links_into_it(checkout: Path) -> None:
    site = staged(checkout)
    assert "See [](sync.md#order)." in site["security.md"]
    assert "Of [the project](index.md); `charts/chart/values.yaml`." in site["chart.md"]


def test_with_a_repository_other_files_are_links_to_it(checkout: Path) -> None:
    pyproject = "[project]\nname = 'x'\n[project.urls]\nRepository = 'https://example.com/x/'\n"
    site = staged(checkout, {"pyproject.toml": pyproject, "docs/sync.md": "# Sync\n\n[it](../tests/test_it.py)\n"})
    assert "[it](https://example.com/x/blob/HEAD/tests/test_it.py)" in site["sync.md"]
