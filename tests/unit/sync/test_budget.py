from __future__ import annotations

from tests.unit.sync.clock import Clock
from webhook.sync.budget import SECONDS, WRITES, WRITES_AT_LEAST, Budget


def budget(clock: Clock, *, wanted_again: bool = False) -> Budget:
    return Budget(lambda: None, lambda: wanted_again, clock)


def allowed(turn: Budget) -> int:
    number = 0
    while turn.allows_another():
        number += 1
    return number


def test_a_turn_has_so_many_writes() -> None:
    assert allowed(budget(Clock())) == WRITES


def test_a_turn_that_took_its_time_ends_after_the_write_it_is_at() -> None:
    clock = Clock()
    turn = budget(clock)
    clock.now += SECONDS

    assert allowed(turn) == 1


def test_a_namespace_that_has_changed_is_planned_again_after_a_few_writes() -> None:
    assert allowed(budget(Clock(), wanted_again=True)) == WRITES_AT_LEAST
