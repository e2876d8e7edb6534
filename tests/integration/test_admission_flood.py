"""Idle, slow and large requests all at once, against the real ``pullsecrets serve``: real reviews must not notice."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from tests.integration.hostile.attack import MIB, REVIEW, Attack, Strength, resident, review_times
from tests.integration.site.serving import Serving, serving, until

SECONDS = 5.0
MOST_MEMORY = 256 * MIB
"""What the chart allows a webhook container."""

MOST_LEFT = 40 * MIB
"""Of what the flood took, that may stay."""

LONGEST_WAIT = 1.0
"""Seconds, for all but one in a hundred; far above what is measured, because the flood runs on the same cores."""

MOST_TIMES_LONGER = 1000
"""Than without the flood, which on idle cores is less than those seconds: it counts where others keep them busy."""


FEWEST = 200
"""Reviews: of so many, the one that a busy machine holds up is not among all but one in a hundred."""


def all_but_one_in_a_hundred(times: list[float]) -> float:
    """Return the time within which so many were answered."""
    return statistics.quantiles(times, n=100)[98]


def came(server: Serving) -> float:
    """Return how many connections are open, or have ended because their handshake did not come within 10 s."""
    # In this order: what ends in between is in neither number, and not in both.
    ended = server.metric("pullsecrets_admission_tls_handshake_failures_total")
    return ended + server.metric("pullsecrets_admission_connections")


@pytest.mark.parametrize(
    "strength",
    [Strength(plain=1000, tls=1000, slow=200, streams=1), Strength(plain=350, tls=150, slow=50, streams=4)],
    ids=["a crowd", "large bodies"],
)
def test_a_flood_leaves_real_reviews_and_the_health_port_in_service(tmp_path: Path, strength: Strength) -> None:
    with serving(tmp_path) as server:
        before = resident(server)
        alone = all_but_one_in_a_hundred(review_times(server, SECONDS / 5, FEWEST))
        with Attack(server, strength) as attack:
            connections = strength.plain + strength.tls
            until(lambda: came(server) > connections, "all connections")
            until(lambda: attack.floods > 0, "the flood")
            times = review_times(server, SECONDS, FEWEST)
            assert server.plain("/readyz").status == 200
            assert resident(server) < MOST_MEMORY
        assert all_but_one_in_a_hundred(times) < max(LONGEST_WAIT, MOST_TIMES_LONGER * alone)
        for metric in ("connections", "in_flight_requests", "in_flight_bytes"):
            name = f"pullsecrets_admission_{metric}"
            until(lambda name=name: server.metric(name) == 0, name)  # type: ignore[misc]
        assert server.metric("pullsecrets_admission_connections_refused_total") == 0
        assert b'"JSONPatch"' in server.post(REVIEW).body
        until(lambda: resident(server) < before + MOST_LEFT, "memory given back")
