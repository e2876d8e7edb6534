"""``python -m tests.bench.replicas``: reviews a second of one process, of two on one port, and of two replicas.

Two processes on one port (``SO_REUSEPORT``) are what a replica that uses two cores would be. They are started by
:data:`ON_ONE_PORT`, because the product has no option for it. Two load generators send half of the connections each, to
the one port or each to a replica of its own. All of them share the cores of the machine.
"""

from __future__ import annotations

import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import contestants, wrk
from tests.bench.process import resident_mib, seconds_of_cpu
from tests.bench.reviews import pod_review
from tests.bench.saved import save
from tests.cluster.ports import free_port
from tests.cluster.processes import COMMAND
from tests.cluster.supervise import Keeper

REVIEW_BYTES = 7_000
CONNECTIONS = (16, 64)
ROUNDS = 3
SECONDS, WARM_UP_SECONDS = 5, 2
GENERATORS = 2
ON_ONE_PORT = """\
import functools, socket
socket.create_server = functools.partial(socket.create_server, reuse_port=True)
from webhook.cli import main
main()
"""


@dataclass(frozen=True, slots=True)
class Row:
    """The median of the rounds of one set-up; the memory is that of all processes."""

    setup: str
    connections: int
    per_second: float
    p99_ms: float
    cpu_s_per_1000: float
    rss_mib: float


def main() -> None:
    """Measure, print a table, and write ``results/replicas.json``."""
    rows = measure()
    save("replicas", [asdict(row) for row in rows])
    table = Table("processes", "connections", "requests/s", "p99 ms", "CPU s/1000", "RSS MiB", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(f"{value}" for value in asdict(row).values()))
    Console(highlight=False, width=120).print(table)


def measure() -> list[Row]:
    """Return a row for each set-up and number of connections; the set-ups take turns."""
    reusing = (sys.executable, "-c", ON_ONE_PORT)
    with Keeper() as keeper:
        files = contestants.certificate(keeper.directory)
        shared, command = free_port(), (str(COMMAND),)
        setups = {
            "one process": [contestants.serve("one", keeper, files, command, free_port())],
            "two processes on one port": [
                contestants.serve(f"same-{number}", keeper, files, reusing, shared) for number in range(2)
            ],
            "two replicas": [
                contestants.serve(f"replica-{number}", keeper, files, command, free_port()) for number in range(2)
            ],
        }
        return [row for connections in CONNECTIONS for row in _compare(setups, connections, keeper.directory)]


def _compare(setups: dict[str, list[contestants.Contestant]], connections: int, scratch: Path) -> list[Row]:
    rounds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in setups}
    for number in range(ROUNDS + 1):
        for name, processes in setups.items():
            measured = _send(processes, connections, SECONDS if number else WARM_UP_SECONDS, scratch)
            if number:
                rounds[name].append(measured)
    return [_row(name, processes, connections, rounds[name]) for name, processes in setups.items()]


def _row(
    setup: str, processes: list[contestants.Contestant], connections: int, rounds: list[tuple[float, float, float]]
) -> Row:
    per_second, p99_ms, cpu = (statistics.median(values) for values in zip(*rounds, strict=True))
    memory = sum(resident_mib(each.program.pid) for each in processes)
    return Row(setup, connections, round(per_second), round(p99_ms, 2), round(cpu, 3), round(memory, 1))


def _send(
    processes: list[contestants.Contestant], connections: int, seconds: int, scratch: Path
) -> tuple[float, float, float]:
    """Return the reviews a second of all generators, the worst of their 99th percentiles, and CPU time for 1,000."""
    body = pod_review(REVIEW_BYTES)
    before = sum(seconds_of_cpu(each.program.pid) for each in processes)
    with ThreadPoolExecutor(GENERATORS) as generators:
        sent = []
        for number in range(GENERATORS):
            request = processes[number % len(processes)].request(body)
            folder = scratch / f"generator-{number}"
            folder.mkdir(exist_ok=True)
            sent.append(generators.submit(wrk.run, request, connections // GENERATORS, seconds, None, folder))
        loads = [each.result() for each in sent]
    spent = sum(seconds_of_cpu(each.program.pid) for each in processes) - before
    requests = sum(load.requests for load in loads)
    return sum(load.per_second for load in loads), max(load.p99_ms for load in loads), spent / requests * 1000


if __name__ == "__main__":
    main()
