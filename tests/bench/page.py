"""``python -m tests.bench.page``: size and time of the status page, of a real process on a real API server.

For each number of namespaces (NAMESPACES=10,2000,10000): the bytes of the page, and the time from the request to the
last byte, as a browser sees it; beside it ``/livez`` of the same process, which shows how busy the machine is.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from tests.bench.filling import Filling
from tests.cluster.cluster import Cluster
from tests.cluster.processes import PullSecrets
from tests.integration.day.disorder import settle
from tests.integration.site.playground import Playground

ROUNDS = 15
SETTLE_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Result:
    """One page at one number of namespaces: its bytes, and the median and the longest time in milliseconds."""

    namespaces: int
    path: str
    size: int
    median_ms: float
    longest_ms: float


def main() -> None:
    """Measure and print a table; each size is on the same cluster as the one before it."""
    sizes = sorted(int(text) for text in os.environ.get("NAMESPACES", "10,2000,10000").split(","))
    results: list[Result] = []
    with Cluster.start() as cluster, Playground.make(cluster) as playground:
        playground.set_source("first")
        sync = playground.installation.start_sync()
        sync.wait_ready()
        filling, filled = Filling(cluster.kubeconfig), 0
        for size in sizes:
            names = [f"bench-{number:05}" for number in range(filled, size)]
            filling.create(names, {playground.label: "enabled"})
            filled = size
            settle(sync, SETTLE_SECONDS)
            pages = ("/", "/?q=bench-0000", "/?page=99", "/livez")
            results += [measure(sync, size, path) for path in pages]
    show(results)


def measure(sync: PullSecrets, namespaces: int, path: str) -> Result:
    """Request a page several times; the first time loads the templates and does not count."""
    _, text = sync.get(path)
    times = []
    for _ in range(ROUNDS):
        begun = time.monotonic()
        status, text = sync.get(path)
        times.append((time.monotonic() - begun) * 1000)
        assert status == 200
    return Result(namespaces, path, len(text.encode()), statistics.median(times), max(times))


def show(results: list[Result]) -> None:
    """Print the results."""
    table = Table("namespaces", "page", "bytes", "median", "longest", box=None, pad_edge=False)
    for each in results:
        times = (f"{each.median_ms:.0f} ms", f"{each.longest_ms:.0f} ms")
        table.add_row(f"{each.namespaces:,}", each.path, f"{each.size:,}", *times)
    Console(highlight=False, width=120).print(table)


if __name__ == "__main__":
    main()
