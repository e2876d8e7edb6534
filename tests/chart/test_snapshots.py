from __future__ import annotations

import pytest

from tests.chart.rendered import render
from tests.chart.snapshots import BASE, FOLDER, file, snapshot
from tests.chart.valuesets import VALUE_SETS


@pytest.mark.parametrize("name", VALUE_SETS)
def test_what_is_rendered_is_as_it_was(name: str) -> None:
    assert snapshot(name) == file(name).read_text(), "if it is meant to change: `make fix`, and look at the difference"


def test_every_object_of_the_base_is_in_its_snapshot_and_what_others_lack_is_named() -> None:
    assert snapshot(BASE).count("\n---\n") + 1 == len(render(VALUE_SETS[BASE]).objects)
    assert "# not there: Deployment psw-pull-secret-webhook-sync\n" in snapshot("outside")


def test_there_is_no_snapshot_of_values_that_are_no_more() -> None:
    assert set(FOLDER.iterdir()) == set(map(file, VALUE_SETS))
