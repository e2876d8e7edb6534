from __future__ import annotations

import pytest

from webhook.admission.memory import BYTES_OF_CONNECTION, WORTH_IT, MemoryKeeper, trim
from webhook.observe.traffic import Traffic

CROWD = WORTH_IT // BYTES_OF_CONNECTION + 1


@pytest.mark.parametrize(
    ("then", "later", "trims"),
    [
        (Traffic(connections=CROWD), Traffic(), 1),
        (Traffic(held_bytes=WORTH_IT), Traffic(connections=10), 1),
        (Traffic(connections=CROWD), Traffic(connections=CROWD // 2), 0),
        (Traffic(connections=CROWD // 2), Traffic(), 0),
    ],
    ids=["a crowd leaves", "large bodies are gone", "half of it stays", "there were few"],
)
def test_memory_is_given_back_once_when_most_of_it_is_free(then: Traffic, later: Traffic, trims: int) -> None:
    traffic, calls = Traffic(), []
    keeper = MemoryKeeper(traffic, lambda: calls.append(1))
    for state in (then, later, later, Traffic()):
        traffic.connections, traffic.held_bytes = state.connections, state.held_bytes
        keeper.look()
        if state is later:
            assert len(calls) == trims
    assert len(calls) == (1 if then.connections >= CROWD or then.held_bytes else 0)


def test_the_c_library_is_asked_or_left_alone() -> None:
    trim()
