"""``python -m tests.bench.load``: reviews a second on one core, ours beside two webhooks in Go, alternating."""

from __future__ import annotations

import os
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import contestants, wrk
from tests.bench.process import resident_mib, seconds_of_cpu
from tests.bench.reviews import pod_review
from tests.bench.saved import save
from tests.cluster.supervise import Keeper

SIZES = (7_000, 60_000)
CONNECTIONS = (1, 16, 64)
ROUNDS = 3
SECONDS = int(os.environ.get("SECONDS_EACH", "4"))
WARM_UP_SECONDS = 2
SERVER_CORE, CLIENT_CORE = 0, 1


@dataclass(frozen=True, slots=True)
class Row:
    """The median of the rounds of one webhook at one size and one number of connections."""

    webhook: str
    review_bytes: int
    connections: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_s_per_1000: float
    rss_mib: float


def main() -> None:
    """Measure, print a table with ratios, and write ``results/load.json``."""
    rows = measure()
    save("load", [asdict(row) for row in rows])
    show(rows)


def measure() -> list[Row]:
    """Return a row for each webhook, size and number of connections."""
    binaries = contestants.build()
    with Keeper() as keeper:
        files = contestants.certificate(keeper.directory)
        running = [contestants.start(name, keeper, files, binaries, SERVER_CORE) for name in contestants.ALL]
        rows: list[Row] = []
        for size in SIZES:
            body = pod_review(size)
            for contestant in running:
                _send(contestant, body, max(CONNECTIONS), WARM_UP_SECONDS, keeper.directory)
            for connections in CONNECTIONS:
                rows += _compare(running, body, connections, keeper.directory)
        return rows


def _compare(running: list[contestants.Contestant], body: bytes, connections: int, scratch: Path) -> list[Row]:
    rounds: dict[str, list[tuple[wrk.Load, float]]] = {contestant.name: [] for contestant in running}
    for _ in range(ROUNDS):
        for contestant in running:
            before = seconds_of_cpu(contestant.program.pid)
            load = _send(contestant, body, connections, SECONDS, scratch)
            spent = seconds_of_cpu(contestant.program.pid) - before
            rounds[contestant.name].append((load, spent / load.requests * 1000))
    return [
        Row(
            webhook=contestant.name,
            review_bytes=len(body),
            connections=connections,
            per_second=statistics.median(load.per_second for load, _ in rounds[contestant.name]),
            p50_ms=statistics.median(load.p50_ms for load, _ in rounds[contestant.name]),
            p99_ms=statistics.median(load.p99_ms for load, _ in rounds[contestant.name]),
            cpu_s_per_1000=round(statistics.median(spent for _, spent in rounds[contestant.name]), 3),
            rss_mib=round(resident_mib(contestant.program.pid), 1),
        )
        for contestant in running
    ]


def _send(contestant: contestants.Contestant, body: bytes, connections: int, seconds: int, scratch: Path) -> wrk.Load:
    return wrk.run(contestant.request(body), connections, seconds, CLIENT_CORE, scratch)


def show(rows: list[Row]) -> None:
    """Print the rows, each with its ratio to ours at the same load."""
    columns = ("review", "connections", "webhook", "requests/s", "ours is", "p50 ms", "p99 ms", "CPU s/1000", "RSS MiB")
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        ours = next(
            each
            for each in rows
            if each.webhook == contestants.OURS
            and (each.review_bytes, each.connections) == (row.review_bytes, row.connections)
        )
        ratio = "" if row is ours else f"{ours.per_second / row.per_second:.2f} x"
        figures = (f"{row.per_second:.0f}", ratio, f"{row.p50_ms}", f"{row.p99_ms}", f"{row.cpu_s_per_1000}")
        table.add_row(
            f"{row.review_bytes / 1000:.0f} kB", str(row.connections), row.webhook, *figures, f"{row.rss_mib}"
        )
    Console(highlight=False, width=140).print(table)


if __name__ == "__main__":
    main()
