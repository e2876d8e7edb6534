"""``python -m tests.bench.sync``: the sync loop at scale, on a real API server, as a real process with its own rights.

For each number of namespaces (NAMESPACES=500,2000,10000), on a cluster of its own: from the start of the process to the
last copy and the last reference; from the change of the source to the last copy; from the creation of a labelled
namespace, and from the label on one that was there, to its copy; 20,000 events; and once more from the start, when only
the copies are missing. For each of them CPU time, memory, and what was asked of the API server by its own audit log.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.filling import Filling
from tests.bench.kubelet import Kubelet
from tests.bench.observer import Observer
from tests.bench.process import peak_mib, resident_mib, seconds_of_cpu
from tests.bench.requests import Requests
from tests.bench.table import show
from tests.cluster.cluster import Cluster
from tests.integration.site.playground import COPY, Playground

RESULTS = Path(__file__).parent / "results"
NEW_NAMESPACES = 500
"""So many, one after the other, that their 99th percentile is not decided by one of them."""

ROUNDS = 50
EVENTS = 20_000
"""An hour's worth of a large cluster, sent as quickly as the API server takes them."""

FLAGS = ("--log-format=json",)
"""Everything else as the chart has it by default."""


@dataclass(frozen=True, slots=True)
class Phase:
    """What one thing took: seconds until it was done, CPU time of sync, MiB at its end, and sync's requests."""

    seconds: float
    cpu_seconds: float
    rss_mib: float
    requests: dict[str, int]


@dataclass(frozen=True, slots=True)
class Result:
    """One number of namespaces; durations in milliseconds where the name says so."""

    namespaces: int
    cold_start: Phase
    rotation: Phase
    new_namespace_ms: list[float]
    """To the copy, sorted."""
    probe_ms: list[float]
    """What the API server took to read one object between them, sorted: how busy it and the machine were."""
    label_ms: list[float]
    """The same for namespaces that were there before."""
    events: Phase
    events_sent: int
    peak_mib: float
    """The most memory that sync ever had."""
    cold_start_referenced: Phase
    """Where each ServiceAccount has the reference already, as the webhook leaves it."""


def main() -> None:
    """Measure, print a table and write ``results/sync.json``."""
    sizes = [int(text) for text in os.environ.get("NAMESPACES", "500").split(",")]
    results = []
    file = RESULTS / "sync.json"
    RESULTS.mkdir(exist_ok=True)
    for size in sizes:
        with Cluster.start() as cluster, Playground.make(cluster) as playground:
            results.append(Bench(playground, size).run())
        file.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")
    show(results)
    print(f"written to {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")


class Bench:
    """One cluster with that many selected namespaces; the steps of `run` go in this order, each once."""

    def __init__(self, playground: Playground, size: int) -> None:
        self._playground = playground
        self._installation = playground.installation
        cluster, installation = playground.cluster, playground.installation
        user = f"system:serviceaccount:{installation.namespace}:{installation.fullname}-sync"
        self._requests = Requests(cluster.audit_log, user)
        self._filling = Filling(cluster.kubeconfig)
        self._observer = Observer(cluster.kubeconfig, COPY)
        self._kubelet = Kubelet()
        self._probes: list[float] = []
        self.names = [f"bench-{number:05}" for number in range(size)]

    def run(self) -> Result:
        """Measure everything."""
        self.fill()
        cold_start = self.start()
        rotation = self.rotate()
        created = self.rounds(self.create, NEW_NAMESPACES)
        labelled = self.rounds(self.label, ROUNDS)
        events = self.stir()
        peak = peak_mib(self._pid)
        referenced = self.start_again()
        self._observer.stop()
        self._kubelet.stop()
        return Result(
            namespaces=len(self.names),
            cold_start=cold_start,
            rotation=rotation,
            new_namespace_ms=created,
            probe_ms=sorted(self._probes),
            label_ms=labelled,
            events=events,
            events_sent=EVENTS,
            peak_mib=round(peak, 1),
            cold_start_referenced=referenced,
        )

    def fill(self) -> None:
        """Create the namespaces, and wait for their ServiceAccounts."""
        self._playground.set_source("first")
        self._filling.create(self.names, {self._playground.label: "enabled"})
        self._observer.references.wait(self.names, lambda _: True)

    def start(self) -> Phase:
        """From the start of the process to the last copy and the last reference."""
        self._requests.since()
        started = time.perf_counter()
        self._sync = self._installation.start_sync(*FLAGS)
        self._kubelet.probe(self._sync)
        return self._phase(self._complete(self.names) - started, cpu_before=0.0)

    def rotate(self) -> Phase:
        """From the change of the source to the last copy."""
        previous = self._observer.copies.value(self.names[0])
        cpu = seconds_of_cpu(self._pid)
        started = time.perf_counter()
        self._playground.set_source("second")
        ended = self._observer.copies.wait(self.names, lambda content: bool(content) and content != previous)
        return self._phase(ended - started, cpu)

    def rounds(self, once: Callable[[int], float], number: int) -> list[float]:
        """Do something many times, one after the other; return the sorted milliseconds."""
        measured = sorted(round(once(each) * 1000, 1) for each in range(number))
        self._requests.since()
        return measured

    def create(self, number: int) -> float:
        """From the creation of a labelled namespace to its copy."""
        name = f"new-{number}"
        started = time.perf_counter()
        self._filling.probe()
        self._probes.append(round((time.perf_counter() - started) * 1000, 1))
        started = time.perf_counter()
        self._filling.create([name], {self._playground.label: "enabled"})
        return self._observer.copies.wait([name], bool) - started

    def label(self, number: int) -> float:
        """From the label on a namespace that was there to its copy."""
        name = f"late-{number}"
        self._filling.create([name], {})
        self._observer.references.wait([name], lambda _: True)
        started = time.perf_counter()
        self._filling.label(name, {self._playground.label: "enabled"})
        return self._observer.copies.wait([name], bool) - started

    def stir(self) -> Phase:
        """Thousands of changes that need nothing, and one that does, which shows that all others have been seen."""
        cpu = seconds_of_cpu(self._pid)
        started = time.perf_counter()
        self._filling.stir(self.names, EVENTS)
        # Its copy and its reference show that both watches have come so far.
        self._filling.create(["last"], {self._playground.label: "enabled"})
        return self._phase(self._complete(["last"]) - started, cpu)

    def start_again(self) -> Phase:
        """The same as `start`, but the ServiceAccounts have their references."""
        self._sync.stop()
        self._filling.delete_copies(self.names, COPY)
        self._observer.copies.wait(self.names, lambda content: not content)
        return self.start()

    def _complete(self, names: list[str]) -> float:
        """Wait for the copies and the references; return when the last of them was there."""
        copied = self._observer.copies.wait(names, bool)
        return max(copied, self._observer.references.wait(names, lambda references: COPY in references))

    @property
    def _pid(self) -> int:
        return self._sync.program.pid

    def _phase(self, seconds: float, cpu_before: float) -> Phase:
        return Phase(
            seconds=round(seconds, 2),
            cpu_seconds=round(seconds_of_cpu(self._pid) - cpu_before, 2),
            rss_mib=round(resident_mib(self._pid), 1),
            requests=self._requests.since(),
        )


if __name__ == "__main__":
    main()
