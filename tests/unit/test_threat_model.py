"""docs/threat-model.md names tests that prove what it says: they must be there, and be run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)))


@pytest.mark.parametrize(("module", "test"), NAMED, ids=[test for _, test in NAMED])
def test_a_test_that_proves_something_exists(module: str, test: str) -> None:
    assert re.search(rf"^def {test}\(", (ROOT / module).read_text(), re.MULTILINE)


def test_every_row_names_one() -> None:
    rows = [
        line
        for line in PAGE.splitlines()
        if line.startswith("| ") and not line.startswith(("| tries", "| of", "| looks"))
    ]
    assert len(rows) > 30
    assert [row for row in rows if "::test_" not in row] == []
