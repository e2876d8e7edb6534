"""``python -m tests.bench.sync``: the sync loop at scale, on a real API server, as a real process with its own rights.

For each number of namespaces (NAMESPACES=500,2000): from the start of the process to the last copy and the last
reference; from the change of the source to the last copy; from the creation of a labelled namespace, and from the label
on one that was there, to its copy; the requests that the API server counted, memory and CPU time of the process.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tests.bench.observer import Observer
from tests.bench.process import resident_mib, seconds_of_cpu, write_requests
from tests.cluster.cluster import Cluster
from tests.integration.playground import COPY, Playground

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).parent / "results"
ROUNDS = 50
CREATORS = 4


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement; seconds, milliseconds, MiB, and numbers of requests."""

    namespaces: int
    cold_start_s: float
    rotation_s: float
    new_namespace_ms_median: float
    new_namespace_ms_p99: float
    label_to_copy_ms_median: float
    writes_by_cold_start: dict[str, int]
    writes_needed: int
    rss_mib: float
    cpu_s_by_cold_start: float


def main() -> None:
    """Measure, print a table and write ``results/sync.json``."""
    sizes = [int(text) for text in os.environ.get("NAMESPACES", "500").split(",")]
    results = [measure(size) for size in sizes]
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / "sync.json"
    file.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")
    show(results)
    print(f"written to {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")


def measure(size: int) -> Result:
    """Measure one number of namespaces on a cluster of its own."""
    with Cluster.start() as cluster, Playground.make(cluster) as playground:
        playground.set_source("first")
        namespaces = [f"bench-{number:05}" for number in range(size)]
        with ThreadPoolExecutor(CREATORS) as creators:
            list(creators.map(lambda name: cluster.create_namespace(name, {playground.label: "enabled"}), namespaces))
        observer = Observer(cluster.kubeconfig, COPY)
        before = write_requests(cluster.metrics())
        started = time.perf_counter()
        process = playground.installation.start_sync("--no-leader-elect", "--log-level=warning")
        cold = max(
            observer.copies.wait(namespaces, bool),
            observer.references.wait(namespaces, lambda names: COPY in names),
        )
        cpu = seconds_of_cpu(process.program.pid)
        after = write_requests(cluster.metrics())
        previous = observer.copies.value(namespaces[0])
        rotated = time.perf_counter()
        playground.set_source("second")
        rotation = observer.copies.wait(namespaces, lambda content: bool(content) and content != previous)
        created = _rounds(lambda number: _new_namespace(playground, observer, f"new-{number}", labelled=True))
        labelled = _rounds(lambda number: _new_namespace(playground, observer, f"late-{number}", labelled=False))
        rss = resident_mib(process.program.pid)
        observer.stop()
    return Result(
        namespaces=size,
        cold_start_s=round(cold - started, 2),
        rotation_s=round(rotation - rotated, 2),
        new_namespace_ms_median=round(statistics.median(created), 1),
        new_namespace_ms_p99=round(sorted(created)[int(len(created) * 0.99)], 1),
        label_to_copy_ms_median=round(statistics.median(labelled), 1),
        writes_by_cold_start={key: after[key] - before.get(key, 0) for key in after if after[key] > before.get(key, 0)},
        writes_needed=2 * size,
        rss_mib=round(rss, 1),
        cpu_s_by_cold_start=round(cpu, 2),
    )


def _rounds(once: Callable[[int], float]) -> list[float]:
    return [once(number) * 1000 for number in range(ROUNDS)]


def _new_namespace(playground: Playground, observer: Observer, name: str, *, labelled: bool) -> float:
    """Return the seconds from the API server's answer about the labelled namespace to its copy."""
    label = {playground.label: "enabled"}
    if labelled:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": label}}
        started = time.perf_counter()
        playground.cluster.api.call("POST", "/api/v1/namespaces", body)
    else:
        playground.cluster.create_namespace(name)
        started = time.perf_counter()
        playground.opt(name, "enabled")
    return observer.copies.wait([name], bool) - started


def show(results: list[Result]) -> None:
    """Print the results, a column for each number of namespaces."""
    table = Table("sync", *(f"{result.namespaces} namespaces" for result in results), box=None, pad_edge=False)
    rows: list[tuple[str, Callable[[Result], str]]] = [
        ("cold start to the last copy and reference", lambda result: f"{result.cold_start_s} s"),
        ("  writes that the API server counted", lambda result: _requests(result.writes_by_cold_start)),
        ("  writes needed", lambda result: str(result.writes_needed)),
        ("  CPU time of sync", lambda result: f"{result.cpu_s_by_cold_start} s"),
        ("rotation to the last copy", lambda result: f"{result.rotation_s} s"),
        ("new namespace to its copy, median", lambda result: f"{result.new_namespace_ms_median} ms"),
        ("new namespace to its copy, p99", lambda result: f"{result.new_namespace_ms_p99} ms"),
        ("label to copy, median", lambda result: f"{result.label_to_copy_ms_median} ms"),
        ("memory of sync (RSS)", lambda result: f"{result.rss_mib} MiB"),
    ]
    for text, value in rows:
        table.add_row(text, *(value(result) for result in results))
    Console(highlight=False, width=160).print(table)


def _requests(counted: dict[str, int]) -> str:
    return ", ".join(f"{number} {key}" for key, number in sorted(counted.items()))


if __name__ == "__main__":
    main()
