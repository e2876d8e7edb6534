"""``python -m tests.bench.footprint``: what a webhook replica takes, CPU time until it is ready, memory while it works.

Twice: with certificate files alone, and as the chart runs it, with its certificate in a Secret and namespaces watched
on a real API server.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import contestants, wrk
from tests.bench.process import peak_mib, resident_mib, seconds_of_cpu
from tests.bench.reviews import pod_review
from tests.bench.saved import save
from tests.cluster import processes
from tests.cluster.cluster import Cluster
from tests.cluster.ports import free_port
from tests.cluster.processes import PullSecrets
from tests.cluster.programs import LOOPBACK
from tests.cluster.supervise import Keeper
from tests.integration.site.playground import COPY, SOURCE, Playground

STARTS = 5
REVIEWS = 100_000
SIZES = (7_000, 7_000, 7_000, 60_000)
"""Bytes, in turn: a second of each."""

CONNECTIONS = 16
FILES, CLUSTER = "certificate files", "Secret and namespaces watched"


@dataclass(frozen=True, slots=True)
class Row:
    """One way to run ``serve``: seconds until ``/readyz`` is 200 (median), and MiB of resident memory."""

    how: str
    cpu_s_to_ready: float
    wall_s_to_ready: float
    starts_cpu_s: tuple[float, ...]
    rss_mib_ready: float
    rss_mib_half: float
    rss_mib_end: float
    rss_mib_peak: float
    reviews: int
    samples: tuple[tuple[int, float], ...]
    """Reviews so far, and resident memory after them."""


def main() -> None:
    """Measure, print a table, and write ``results/footprint.json``."""
    rows = measure()
    save("footprint", [asdict(row) for row in rows])
    show(rows)


def measure() -> list[Row]:
    """Return a row for each way to run it."""
    with Keeper() as keeper:
        rows = [_measure(FILES, *_with_files(keeper), keeper.directory)]
    with _with_cluster() as (start, url, scratch):
        return [*rows, _measure(CLUSTER, start, url, scratch)]


def _with_files(keeper: Keeper) -> tuple[Callable[[], PullSecrets], str]:
    files = contestants.certificate(keeper.directory)
    configuration = keeper.directory / "configuration.yaml"
    configuration.write_text(contestants.CONFIGURATION)
    port = free_port()
    flags = ["serve", f"--config={configuration}", f"--secure-port={port}", "--namespace=bench"]
    flags += [f"--tls-cert-file={files.certificate}", f"--tls-private-key-file={files.key}"]
    return lambda: processes.start(keeper, f"serve-{time.monotonic_ns()}", flags), f"https://{LOOPBACK}:{port}"


@contextmanager
def _with_cluster() -> Iterator[tuple[Callable[[], PullSecrets], str, Path]]:
    selector = {"matchLabels": {"team": "a"}}
    entry = {"name": COPY, "sources": [{"secretName": SOURCE}], "namespaceSelector": selector}
    with Cluster.start() as cluster, Playground.make(cluster, pullSecrets=[entry]) as playground:
        installation = playground.installation
        installation.start_sync().wait_ready()
        url = f"https://{LOOPBACK}:{installation.webhook_port}"
        yield lambda: installation.start_serve(name=f"serve-{time.monotonic_ns()}"), url, cluster.directory


def _measure(how: str, start: Callable[[], PullSecrets], url: str, scratch: Path) -> Row:
    cpu, wall = [], []
    for attempt in range(STARTS):
        started = time.perf_counter()
        serve = start()
        serve.wait_ready()
        cpu.append(round(seconds_of_cpu(serve.program.pid), 2))
        wall.append(time.perf_counter() - started)
        if attempt < STARTS - 1:
            serve.kill()
    ready = resident_mib(serve.program.pid)
    samples = _send(serve.program.pid, url, scratch)
    return Row(
        how=how,
        cpu_s_to_ready=statistics.median(cpu),
        wall_s_to_ready=round(statistics.median(wall), 2),
        starts_cpu_s=tuple(cpu),
        rss_mib_ready=ready,
        rss_mib_half=next(mib for reviews, mib in samples if reviews >= REVIEWS / 2),
        rss_mib_end=samples[-1][1],
        rss_mib_peak=peak_mib(serve.program.pid),
        reviews=samples[-1][0],
        samples=samples,
    )


def _send(pid: int, url: str, scratch: Path) -> tuple[tuple[int, float], ...]:
    bodies = [pod_review(size) for size in SIZES]
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    samples: list[tuple[int, float]] = []
    reviews = 0
    while reviews < REVIEWS:
        body = bodies[len(samples) % len(bodies)]
        reviews += wrk.run(
            wrk.Request(url, "/mutate?timeout=5s", body, headers), CONNECTIONS, 1, None, scratch
        ).requests
        samples.append((reviews, resident_mib(pid)))
    return tuple(samples)


def show(rows: list[Row]) -> None:
    """Print the rows."""
    columns = ("serve with", "CPU s to ready", "wall s", "RSS MiB: ready", "half-way", "after", "peak", "reviews")
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        memory = (row.rss_mib_ready, row.rss_mib_half, row.rss_mib_end, row.rss_mib_peak)
        figures = (f"{row.cpu_s_to_ready:.2f}", f"{row.wall_s_to_ready:.2f}", *(f"{mib:.1f}" for mib in memory))
        table.add_row(row.how, *figures, f"{row.reviews}")
    Console(highlight=False, width=140).print(table)


if __name__ == "__main__":
    main()
