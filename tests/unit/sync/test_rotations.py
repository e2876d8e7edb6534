"""The duration of a rotation is only stated when this process has observed all of it."""

from __future__ import annotations

import pytest

from webhook.rules.copy_status import CopyState
from webhook.sync.status_index import Rotations


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rotations(clock: Clock) -> Rotations:
    """The first content is known."""
    made = Rotations(clock)
    made.follow({"pull": "one"}, measured=True)
    return made


def test_the_first_content_is_not_a_rotation(rotations: Rotations) -> None:
    assert not rotations.under_way
    assert rotations.seconds("pull") is None


def test_a_rotation_ends_when_no_copy_is_behind(rotations: Rotations, clock: Clock) -> None:
    rotations.follow({"pull": "two"}, measured=True)
    for state in (CopyState.STALE, CopyState.MISSING, CopyState.FAILING, CopyState.KEPT):
        clock.now += 1
        rotations.observe({("pull", state): 1, ("pull", CopyState.CURRENT): 9})
        assert rotations.under_way
    clock.now += 1
    rotations.observe(
        {("pull", CopyState.CURRENT): 8, ("pull", CopyState.CONFLICTING): 1, ("other", CopyState.STALE): 1}
    )
    assert not rotations.under_way
    assert rotations.seconds("pull") == 5.0
    rotations.follow({"pull": "two"}, measured=True)
    assert rotations.seconds("pull") == 5.0


def test_a_second_content_begins_a_new_rotation(rotations: Rotations, clock: Clock) -> None:
    rotations.follow({"pull": "two"}, measured=True)
    clock.now += 4
    rotations.follow({"pull": "three"}, measured=True)
    clock.now += 1
    rotations.observe({})
    assert rotations.seconds("pull") == 1.0


def test_a_rotation_before_all_copies_were_checked_has_no_duration(rotations: Rotations) -> None:
    rotations.follow({"pull": "two"}, measured=False)
    assert not rotations.under_way
    rotations.observe({})
    assert rotations.seconds("pull") is None


def test_an_unusable_source_between_two_contents_is_not_a_rotation(rotations: Rotations) -> None:
    rotations.follow({}, measured=True)
    rotations.follow({"pull": "one"}, measured=True)
    assert not rotations.under_way


def test_a_new_leader_has_no_durations(rotations: Rotations) -> None:
    rotations.follow({"pull": "two"}, measured=True)
    rotations.observe({})
    rotations.forget()
    assert rotations.seconds("pull") is None
