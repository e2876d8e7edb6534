from __future__ import annotations

import ctypes
import weakref
from types import SimpleNamespace

import pytest

from webhook.http.counters import PortCounters
from webhook.serve.malloc import BYTES_OF_CONNECTION, CHECKS_BETWEEN_TRIMS, LEAST_TRIM, MemoryTrimmer, configure, trim

CROWD = LEAST_TRIM // BYTES_OF_CONNECTION + 1


@pytest.mark.parametrize(
    ("then", "later", "trims"),
    [
        (PortCounters(connections=CROWD), PortCounters(), 1),
        (PortCounters(held_bytes=LEAST_TRIM), PortCounters(connections=10), 1),
        (PortCounters(connections=CROWD), PortCounters(connections=CROWD // 2), 0),
        (PortCounters(connections=CROWD // 2), PortCounters(), 0),
    ],
    ids=["a crowd leaves", "large bodies are gone", "half of it stays", "there were few"],
)
def test_memory_is_given_back_once_when_most_of_it_is_free(then: PortCounters, later: PortCounters, trims: int) -> None:
    counters, calls = PortCounters(), []
    keeper = MemoryTrimmer(counters, lambda: calls.append(1))
    for state in (then, later, later, PortCounters()):
        counters.connections, counters.held_bytes = state.connections, state.held_bytes
        keeper.check()
        if state is later:
            assert len(calls) == trims
    assert len(calls) == (1 if then.connections >= CROWD or then.held_bytes else 0)


def test_memory_is_given_back_now_and_then_in_any_case() -> None:
    calls: list[int] = []
    keeper = MemoryTrimmer(PortCounters(connections=1), lambda: calls.append(1))
    for _ in range(2 * CHECKS_BETWEEN_TRIMS + 1):
        keeper.check()
    assert len(calls) == 2


class Cycle:
    """What only the collector can free."""

    def __init__(self) -> None:
        self.me = self


class Glibc:
    """A C library that notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def mallopt(self, option: int, _value: int) -> None:
        self.calls.append(("mallopt", option))

    def malloc_trim(self, pad: int) -> None:
        self.calls.append(("malloc_trim", pad))


@pytest.mark.parametrize(
    ("library", "calls"),
    [(Glibc(), [("mallopt", -8), ("malloc_trim", 0)]), (SimpleNamespace(calls=[]), [])],
    ids=["glibc", "another one"],
)
def test_the_c_library_is_told_or_left_alone(
    monkeypatch: pytest.MonkeyPatch, library: Glibc | SimpleNamespace, calls: list[tuple[str, int]]
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    garbage = weakref.ref(Cycle())
    configure()
    trim()
    assert garbage() is None
    assert library.calls == calls
