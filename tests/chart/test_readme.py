from __future__ import annotations

import pytest

from tests.chart.declared import values
from tools.chart import readme


def test_the_readme_of_the_chart_says_what_its_values_say() -> None:
    assert readme.written(readme.README.read_text()) == readme.README.read_text(), "run `make fix`"


def test_every_value_is_in_one_row() -> None:
    rows = [line.split("`")[1] for line in readme.README.read_text().splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(value.path for value in values())


def test_what_stands_before_the_tables_is_kept() -> None:
    before = f"# A title\n\ntext\n\n{readme.BEGIN}\nold tables"
    assert readme.written(before).startswith(f"# A title\n\ntext\n\n{readme.BEGIN}\n\n### General\n")


def test_without_a_place_for_the_tables_nothing_is_written() -> None:
    with pytest.raises(ValueError, match="has lost the line"):
        readme.written("# A title\n")
