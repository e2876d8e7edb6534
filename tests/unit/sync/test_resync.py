from __future__ import annotations

import pytest

from tests.unit.sync.clock import Clock
from webhook.sync.status_index import Resync


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def resync(clock: Clock) -> Resync:
    return Resync(clock)


def test_a_pass_ends_when_every_name_has_been_looked_at(resync: Resync, clock: Clock) -> None:
    resync.begin(["a", "b"])
    clock.now += 3.0
    resync.checked("b")
    resync.checked("x")
    resync.checked("b")
    assert resync.seconds_since == 3.0

    resync.checked("a")
    assert resync.seconds_since == 0.0
    clock.now += 7.0
    resync.checked("a")
    assert resync.seconds_since == 7.0


def test_a_pass_over_nothing_has_ended(resync: Resync, clock: Clock) -> None:
    clock.now += 5.0
    resync.begin([])

    assert resync.seconds_since == 0.0


def test_a_pass_that_begins_takes_the_place_of_one_that_has_not_ended(resync: Resync, clock: Clock) -> None:
    resync.begin(["a", "b"])
    resync.checked("a")
    resync.begin(["a", "b"])
    clock.now += 1.0
    resync.checked("b")
    assert resync.seconds_since == 1.0

    resync.checked("a")
    assert resync.seconds_since == 0.0


def test_who_has_only_now_begun_to_lead_counts_from_now(resync: Resync, clock: Clock) -> None:
    resync.begin(["a"])
    clock.now += 9000.0
    resync.restart()

    assert resync.seconds_since == 0.0
    resync.checked("a")
    clock.now += 1.0
    assert resync.seconds_since == 1.0
