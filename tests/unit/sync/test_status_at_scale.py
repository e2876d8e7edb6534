from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TypeVar

import msgspec
import pytest
from prometheus_client import generate_latest

from tests.exposition import series
from tests.unit.sync.running import Running
from tests.unit.sync.world import CONFIGURATION, RELEASE
from webhook.kube.client import Client
from webhook.ops.sync_status import LeaderStatus
from webhook.rules.copy_status import CopyState, CopyStatus
from webhook.sync.status import controller_status
from webhook.sync.status_index import Result

NAMESPACES = 10_000
T = TypeVar("T")


def counted(act: Callable[[], T]) -> tuple[int, T]:
    """Return how many calls of Python functions something takes, and its result."""
    calls = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(note)
    try:
        result = act()
    finally:
        sys.setprofile(None)
    return calls, result


@pytest.fixture
def large(client: Client) -> Iterator[Running]:
    """A loop that believes to look after 10,000 namespaces; it has nothing to do with any."""
    running = Running(client)
    status_index, queue = running.loop.status_index, running.loop.queue
    for number in range(NAMESPACES):
        name = f"namespace-{number:05}"
        bad = CopyState.CONFLICTING if number % 100 == 0 else CopyState.STALE
        status_index.record(name, [CopyStatus("pull", bad, f"sha256:{number % 7}" if bad is CopyState.STALE else "")])
        if number % 50 == 0:
            status_index.namespace_failed(name, Result.DENIED)
    queue.add_all(f"namespace-{number:05}" for number in range(NAMESPACES))
    running.loop.sources.configure(CONFIGURATION)
    running.loop._leading.set()
    yield running
    running.loop.caches.stop()
    for reflector in running.loop.caches._reflectors.values():
        reflector.join(5.0)


def test_a_scrape_of_10_000_namespaces_is_cheap(large: Running) -> None:
    leader = LeaderStatus(leading=True)
    large.metrics.follow_state(lambda: controller_status(large.loop, RELEASE, leader, 0.0, examples=0))
    generate_latest(large.metrics.registry)  # what is imported or compiled once is

    calls, exposed = counted(lambda: generate_latest(large.metrics.registry))
    tracemalloc.start()
    generate_latest(large.metrics.registry)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (
        sum(n for name, n in series(exposed.decode()).items() if name.startswith("pullsecrets_sync_copies{"))
        == NAMESPACES
    )
    assert calls < NAMESPACES  # a look at each namespace would be a call for each at least
    assert peak < 1024 * 1024


def test_a_status_of_10_000_namespaces_is_quick_and_short(large: Running) -> None:
    calls, status = counted(lambda: controller_status(large.loop, RELEASE, LeaderStatus(leading=True), 0.0))

    assert calls < NAMESPACES
    assert len(msgspec.json.encode(status)) < 20_000
