from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webhook.sync.contention import (
    CALM_SECONDS,
    COPIES,
    REFERENCES,
    Patience,
    Written,
    is_contended,
    wait,
    written,
)

OURS = frozenset({"pull"})
ROUNDING = 1e-6
"""Seconds that sums of floats may be off."""

PATIENCE = pytest.mark.parametrize("patience", [REFERENCES, COPIES])


def undone(times: int, every: float = 1.0, keeps: bool = True) -> Written:  # noqa: FBT002
    """The record of an object that is written at 0, and again each time that it has been undone."""
    record = written(None, OURS, 0.0, keeps=keeps)
    for number in range(1, times + 1):
        record = written(record, OURS, number * every, keeps=keeps)
    return record


def test_what_is_written_for_the_first_time_waits_for_nothing() -> None:
    assert wait(None, 0.0, REFERENCES) == 0.0
    assert wait(undone(0), 0.0, REFERENCES) == 0.0


@PATIENCE
def test_what_is_undone_a_few_times_is_put_right_at_once(patience: Patience) -> None:
    for times in range(patience.undoings):
        assert wait(undone(times), times + 0.1, patience) == 0.0


@PATIENCE
def test_what_is_undone_again_and_again_is_put_right_once_in_a_while(patience: Patience) -> None:
    for times in range(patience.undoings, patience.undoings + 20):
        record = undone(times, patience.seconds)
        assert wait(record, record.at, patience) == patience.seconds
        assert wait(record, record.at + 1.0, patience) == patience.seconds - 1.0
        assert wait(record, record.at + patience.seconds, patience) == 0.0


def test_a_reference_is_put_back_once_a_minute_and_a_copy_within_what_drift_may_take() -> None:
    assert REFERENCES.seconds == 60.0
    assert COPIES.seconds < 5.0


@PATIENCE
def test_a_pause_alone_is_no_peace(patience: Patience) -> None:
    record = undone(patience.undoings, patience.seconds)
    assert patience.seconds < CALM_SECONDS
    assert is_contended(written(record, OURS, record.at + patience.seconds, keeps=True), record.at + 60, patience)


@PATIENCE
def test_what_has_stayed_for_long_enough_begins_anew(patience: Patience) -> None:
    record = undone(100)
    calm = record.at + CALM_SECONDS
    assert is_contended(record, calm - 0.1, patience)
    assert not is_contended(record, calm, patience)
    assert wait(record, calm, patience) == 0.0
    assert written(record, OURS, calm, keeps=True) == Written(OURS, calm)


def test_another_reference_is_no_undoing_of_the_first() -> None:
    record = written(undone(0), frozenset({"other"}), 1.0, keeps=True)
    assert record == Written(frozenset({"pull", "other"}), 1.0, undone=0)
    assert written(record, frozenset({"pull", "new"}), 2.0, keeps=True).undone == 1


def test_a_credential_that_changes_to_and_fro_is_no_undoing() -> None:
    record = None
    for number, content in enumerate(["a", "b"] * 10):
        record = written(record, frozenset({content}), float(number), keeps=False)
    assert record is not None
    assert record.undone == 0


@example([120.0, 0.0, 0.0, 0.0, 0.0, 0.0], REFERENCES)
@given(st.lists(st.floats(0.0, 300.0), min_size=1, max_size=60), st.sampled_from([REFERENCES, COPIES]))
def test_however_often_it_is_undone_no_more_is_written_than_that(gaps: list[float], patience: Patience) -> None:
    """Whoever undoes waits any time after each write, and is answered as soon as may be."""
    record = written(None, OURS, 0.0, keeps=True)
    at = [0.0]
    for gap in gaps:
        now = at[-1] + gap
        now += wait(record, now, patience)
        record = written(record, OURS, now, keeps=True)
        at.append(now)

    for before, first, last in zip(at, at[1:], at[1 + patience.undoings :], strict=False):
        # Six writes that each undo an undoing: either there was peace before one of them, or the last one had to wait.
        assert last - first >= patience.seconds - ROUNDING or max_gap(at, before, last) >= CALM_SECONDS - ROUNDING


def max_gap(at: list[float], first: float, last: float) -> float:
    inside = [moment for moment in at if first <= moment <= last]
    return max((later - earlier for earlier, later in pairwise(inside)), default=0.0)
