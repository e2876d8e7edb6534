"""The limit of mass writes against models of API servers: seconds of a write by the number of writes at a time."""

from __future__ import annotations

import pytest

from tests.unit.clock import Clock
from webhook.sync.write_gate import FIRST_LIMIT, PROBE_SECONDS, ConcurrencyLimit

MOST = 16


def run(limit: ConcurrencyLimit, clock: Clock, *, alone: float, each: float, writes: int) -> list[int]:
    """Let an API server answer in ``alone`` seconds, but finish one write in ``each`` at most; return the limits."""
    limits = []
    for _ in range(writes):
        seconds = max(alone, each * limit.limit)
        clock.now += seconds / limit.limit
        limit.observe(seconds)
        limits.append(limit.limit)
    return limits


@pytest.mark.parametrize(("alone", "each"), [(0.01, 0.0002), (0.1, 0.001), (0.03, 0.0)])
def test_an_api_server_that_takes_all_gets_all_soon(clock: Clock, alone: float, each: float) -> None:
    limits = run(ConcurrencyLimit(MOST, clock), clock, alone=alone, each=each, writes=300)
    assert limits[0] == FIRST_LIMIT
    assert limits.index(MOST) < 150
    assert limits[-1] == MOST


@pytest.mark.parametrize(("alone", "each"), [(0.003, 0.0016), (0.002, 0.002), (0.006, 0.002)])
def test_no_more_writes_wait_in_a_small_api_server_than_keep_it_busy(clock: Clock, alone: float, each: float) -> None:
    limits = run(ConcurrencyLimit(MOST, clock), clock, alone=alone, each=each, writes=2_000)
    assert max(limits) <= MOST // 2
    assert min(limits) * each >= alone, "fewer would leave it idle"


def test_where_others_need_the_api_server_the_limit_shrinks_and_later_it_grows_again(clock: Clock) -> None:
    limit = ConcurrencyLimit(MOST, clock)
    run(limit, clock, alone=0.01, each=0.0002, writes=300)
    assert run(limit, clock, alone=0.01, each=0.02, writes=600)[-1] <= MOST // 2
    seconds = clock.now
    limits = run(limit, clock, alone=0.01, each=0.0002, writes=4_000)
    assert limits[-1] == MOST
    assert clock.now - seconds < 2 * PROBE_SECONDS


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_it_is_never_more_than_there_are_workers(clock: Clock, workers: int) -> None:
    limits = run(ConcurrencyLimit(workers, clock), clock, alone=0.01, each=0.0, writes=500)
    assert set(limits) == {workers}


def test_writes_that_take_no_measurable_time_are_no_error(clock: Clock) -> None:
    assert run(ConcurrencyLimit(MOST, clock), clock, alone=0.0, each=0.0, writes=500)[-1] == MOST
