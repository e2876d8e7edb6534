from __future__ import annotations

import pytest

from tests.unit.sync.clock import Clock
from webhook.sync.status_index import Resync


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def full_pass(clock: Clock) -> Resync:
    return Resync(clock)


def test_a_pass_ends_when_every_name_has_been_looked_at(full_pass: Resync, clock: Clock) -> None:
    full_pass.begin(["a", "b"])
    clock.now += 3.0
    full_pass.looked_at("b")
    full_pass.looked_at("x")
    full_pass.looked_at("b")
    assert full_pass.seconds_since == 3.0

    full_pass.looked_at("a")
    assert full_pass.seconds_since == 0.0
    clock.now += 7.0
    full_pass.looked_at("a")
    assert full_pass.seconds_since == 7.0


def test_a_pass_over_nothing_has_ended(full_pass: Resync, clock: Clock) -> None:
    clock.now += 5.0
    full_pass.begin([])

    assert full_pass.seconds_since == 0.0


def test_a_pass_that_begins_takes_the_place_of_one_that_has_not_ended(full_pass: Resync, clock: Clock) -> None:
    full_pass.begin(["a", "b"])
    full_pass.looked_at("a")
    full_pass.begin(["a", "b"])
    clock.now += 1.0
    full_pass.looked_at("b")
    assert full_pass.seconds_since == 1.0

    full_pass.looked_at("a")
    assert full_pass.seconds_since == 0.0


def test_who_has_only_now_begun_to_lead_counts_from_now(full_pass: Resync, clock: Clock) -> None:
    full_pass.begin(["a"])
    clock.now += 9000.0
    full_pass.restart()

    assert full_pass.seconds_since == 0.0
    full_pass.looked_at("a")
    clock.now += 1.0
    assert full_pass.seconds_since == 1.0
