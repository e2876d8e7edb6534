from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webhook.sync.contention import (
    CALM_SECONDS,
    COPIES,
    REFERENCES,
    BackoffPolicy,
    WriteRecord,
    backoff,
    is_contended,
    record_write,
)

OURS = frozenset({"pull"})
ROUNDING = 1e-6
"""Seconds that sums of floats may be off."""

POLICIES = pytest.mark.parametrize("policy", [REFERENCES, COPIES])


def reverted(times: int, every: float = 1.0, accumulates: bool = True) -> WriteRecord:  # noqa: FBT002
    """The record of an object that is written at 0, and again each time that it has been undone."""
    record = record_write(None, OURS, 0.0, accumulates=accumulates)
    for number in range(1, times + 1):
        record = record_write(record, OURS, number * every, accumulates=accumulates)
    return record


def test_what_is_written_for_the_first_time_waits_for_nothing() -> None:
    assert backoff(None, 0.0, REFERENCES) == 0.0
    assert backoff(reverted(0), 0.0, REFERENCES) == 0.0


@POLICIES
def test_what_is_undone_a_few_times_is_put_right_at_once(policy: BackoffPolicy) -> None:
    for times in range(policy.reverts):
        assert backoff(reverted(times), times + 0.1, policy) == 0.0


@POLICIES
def test_what_is_undone_again_and_again_is_put_right_once_in_a_while(policy: BackoffPolicy) -> None:
    for times in range(policy.reverts, policy.reverts + 20):
        record = reverted(times, policy.interval)
        assert backoff(record, record.written_at, policy) == policy.interval
        assert backoff(record, record.written_at + 1.0, policy) == policy.interval - 1.0
        assert backoff(record, record.written_at + policy.interval, policy) == 0.0


def test_a_reference_is_put_back_once_a_minute_and_a_copy_within_what_drift_may_take() -> None:
    assert REFERENCES.interval == 60.0
    assert COPIES.interval < 5.0


@POLICIES
def test_a_pause_alone_is_no_peace(policy: BackoffPolicy) -> None:
    record = reverted(policy.reverts, policy.interval)
    assert policy.interval < CALM_SECONDS
    assert is_contended(
        record_write(record, OURS, record.written_at + policy.interval, accumulates=True),
        record.written_at + 60,
        policy,
    )


@POLICIES
def test_what_has_stayed_for_long_enough_begins_anew(policy: BackoffPolicy) -> None:
    record = reverted(100)
    calm = record.written_at + CALM_SECONDS
    assert is_contended(record, calm - 0.1, policy)
    assert not is_contended(record, calm, policy)
    assert backoff(record, calm, policy) == 0.0
    assert record_write(record, OURS, calm, accumulates=True) == WriteRecord(OURS, calm)


def test_another_reference_is_no_undoing_of_the_first() -> None:
    record = record_write(reverted(0), frozenset({"other"}), 1.0, accumulates=True)
    assert record == WriteRecord(frozenset({"pull", "other"}), 1.0, reverts=0)
    assert record_write(record, frozenset({"pull", "new"}), 2.0, accumulates=True).reverts == 1


def test_a_credential_that_changes_to_and_fro_is_no_undoing() -> None:
    record = None
    for number, content in enumerate(["a", "b"] * 10):
        record = record_write(record, frozenset({content}), float(number), accumulates=False)
    assert record is not None
    assert record.reverts == 0


@example([120.0, 0.0, 0.0, 0.0, 0.0, 0.0], REFERENCES)
@given(st.lists(st.floats(0.0, 300.0), min_size=1, max_size=60), st.sampled_from([REFERENCES, COPIES]))
def test_however_often_it_is_undone_no_more_is_written_than_that(gaps: list[float], policy: BackoffPolicy) -> None:
    """Whoever undoes waits any time after each write, and is answered as soon as may be."""
    record = record_write(None, OURS, 0.0, accumulates=True)
    at = [0.0]
    for gap in gaps:
        now = at[-1] + gap
        now += backoff(record, now, policy)
        record = record_write(record, OURS, now, accumulates=True)
        at.append(now)

    for before, first, last in zip(at, at[1:], at[1 + policy.reverts :], strict=False):
        # Six writes that each undo an undoing: either there was peace before one of them, or the last one had to wait.
        assert last - first >= policy.interval - ROUNDING or max_gap(at, before, last) >= CALM_SECONDS - ROUNDING


def max_gap(at: list[float], first: float, last: float) -> float:
    inside = [moment for moment in at if first <= moment <= last]
    return max((later - earlier for earlier, later in pairwise(inside)), default=0.0)
