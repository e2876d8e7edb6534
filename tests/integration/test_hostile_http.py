"""Whatever a stranger sends to the two ports, ``serve`` stays within the chart's memory and answers real reviews.

``HOSTILE_SECONDS=600`` makes a long run of the mixture, as ``make fuzz`` does.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from typing import TYPE_CHECKING

import pytest

from tests.integration.hostile import mixture as hostile
from tests.integration.hostile.attack import MIB, REVIEW, review_times
from tests.integration.site.serving import DEADLINE, exchange, post, serving, until
from webhook.http.limits import raise_file_limit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.hostile.memorygroup import MemoryGroup
    from tests.integration.site.serving import Serving

SECONDS = float(os.environ.get("HOSTILE_SECONDS", "24"))
EACH_SECONDS = 4.0
THREADS = 6

SLOWEST_MEDIAN = 0.1
"""Seconds."""

MOST_TIMES_LONGER = 200
"""Than without the attack: it counts where others keep the machine busy."""


@pytest.fixture
def server(tmp_path: Path, group: MemoryGroup) -> Iterator[Serving]:
    raise_file_limit()  # here too: each connection has two ends
    with serving(tmp_path, prefix=group.prefix) as running:
        yield running


def is_well(server: Serving, group: MemoryGroup) -> None:
    assert group.kills == 0, f"killed, after {group.peak / MIB:.0f} MiB"
    assert server.process.poll() is None
    assert b'"JSONPatch"' in server.post(REVIEW).body
    assert server.plain("/readyz").status == 200
    assert b"Traceback" not in (server.files.folder / "log").read_bytes()


def times_beside(server: Serving, mixture: hostile.Mixture, seconds: float) -> tuple[float, float, str]:
    """Return the medians of review times without and with an attack, and a report."""
    alone = review_times(server, min(3.0, seconds))
    with mixture:
        until(lambda: any(mixture.rounds.values()), "an attack")
        beside = review_times(server, seconds)
    before, during = statistics.quantiles(alone, n=100), statistics.quantiles(beside, n=100)
    ratios = f"median x {during[49] / before[49]:.1f}, p99 x {during[98] / before[98]:.1f}"
    figures = f"median {during[49] * 1000:.1f} ms, p99 {during[98] * 1000:.1f} ms, {len(beside)} reviews"
    return before[49], during[49], f"{ratios} of the times without attack ({figures})"


@pytest.mark.parametrize("name", hostile.ATTACKS)
def test_each_attack_leaves_the_process_alive_and_real_reviews_answered(
    name: str, server: Serving, group: MemoryGroup
) -> None:
    attack = {name: hostile.ATTACKS[name]}
    mixture = hostile.Mixture(hostile.target(server), attack, threads=4, seed=1, turn=EACH_SECONDS)
    alone, beside, report = times_beside(server, mixture, EACH_SECONDS)
    print(f"{name}: {report}, {group.peak / MIB:.0f} MiB at most")
    assert beside < max(SLOWEST_MEDIAN, MOST_TIMES_LONGER * alone), report
    is_well(server, group)


def test_a_mixture_of_attacks_leaves_the_process_alive_and_real_reviews_answered(
    server: Serving, group: MemoryGroup
) -> None:
    mixture = hostile.Mixture(hostile.target(server), hostile.ATTACKS, THREADS, seed=2)
    alone, beside, report = times_beside(server, mixture, SECONDS)
    print(f"a mixture for {SECONDS:g} s: {report}, {group.peak / MIB:.0f} MiB at most, {mixture.rounds}")
    assert beside < max(SLOWEST_MEDIAN, MOST_TIMES_LONGER * alone), report
    is_well(server, group)
    for metric in ("in_flight_requests", "in_flight_bytes"):
        until(lambda metric=metric: server.metric(f"pullsecrets_admission_{metric}") == 0, metric)  # type: ignore[misc]


def test_a_port_full_of_silent_sessions_has_room_for_the_api_server(server: Serving, group: MemoryGroup) -> None:
    at = hostile.target(server)
    with contextlib.ExitStack() as stack:
        for _ in range(2500):
            stack.enter_context(at.session(DEADLINE))  # unlike in an attack, none may be missing
        for _ in range(200):
            stack.enter_context(at.plain(metrics=True, patience=DEADLINE))
        until(lambda: server.metric("pullsecrets_admission_connections") == 2500, "all connections")
        with server.connected() as connection:
            for _ in range(20):
                stack.enter_context(at.session(DEADLINE))
                assert exchange(connection, post(REVIEW)).status == 200
        assert server.metric("pullsecrets_admission_connections_refused_total") == 0
        is_well(server, group)
        print(f"{group.peak / MIB:.0f} MiB at most")
