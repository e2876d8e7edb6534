from __future__ import annotations

from tests.unit.clock import Clock
from webhook.sync.executor import MIN_WRITES, SECONDS, WRITES, Budget


def budget(clock: Clock, *, needed: bool = False) -> Budget:
    return Budget(lambda: None, lambda: needed, clock)


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


def test_a_worker_that_is_needed_ends_its_turn_after_a_few_writes() -> None:
    assert allowed(budget(Clock(), needed=True)) == MIN_WRITES
