from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator

import msgspec
import pytest
from prometheus_client import generate_latest

from tests.exposition import series
from tests.unit.sync.running import Running
from tests.unit.sync.world import CONFIGURATION, RELEASE
from webhook.kube.client import Client
from webhook.ops.sync_status import LeaderStatus
from webhook.rules.copy_status import CopyState, CopyStatus
from webhook.sync.status import look
from webhook.sync.write_result import Result


@pytest.fixture
def large(client: Client) -> Iterator[Running]:
    """A loop that believes to look after 10,000 namespaces; it has nothing to do with any."""
    running = Running(client)
    ledger, queue = running.loop.ledger, running.loop.queue
    for number in range(10_000):
        name = f"namespace-{number:05}"
        bad = CopyState.CONFLICTING if number % 100 == 0 else CopyState.STALE
        ledger.record(name, [CopyStatus("pull", bad, f"sha256:{number % 7}" if bad is CopyState.STALE else "")])
        if number % 50 == 0:
            ledger.namespace_failed(name, Result.DENIED)
    queue.add_all(f"namespace-{number:05}" for number in range(10_000))
    running.loop.sources.configure(CONFIGURATION)
    running.loop._leading.set()
    yield running
    running.loop.caches.stop()
    for reflector in running.loop.caches._reflectors.values():
        reflector.join(5.0)


def test_a_scrape_of_10_000_namespaces_is_cheap(large: Running) -> None:
    leader = LeaderStatus(leading=True)
    large.metrics.follow_state(lambda: look(large.loop, RELEASE, leader, 0.0, examples=0))
    generate_latest(large.metrics.registry)  # what is imported or compiled once is

    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        text = generate_latest(large.metrics.registry).decode()
        seconds.append(time.perf_counter() - began)
    tracemalloc.start()
    generate_latest(large.metrics.registry)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert sum(n for name, n in series(text).items() if name.startswith("pullsecrets_sync_copies{")) == 10_000
    # A few milliseconds, most of them for text; a look at each namespace would be tenths of a second.
    assert min(seconds) < 0.05
    assert peak < 1024 * 1024


def test_a_status_of_10_000_namespaces_is_quick_and_short(large: Running) -> None:
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        text = msgspec.json.encode(look(large.loop, RELEASE, LeaderStatus(leading=True), 0.0))
        seconds.append(time.perf_counter() - began)

    assert min(seconds) < 0.2
    assert len(text) < 20_000
