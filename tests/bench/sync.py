"""``python -m tests.bench.sync``: the sync loop at scale, on a real API server, as a real process with its own rights.

For each number of namespaces (NAMESPACES=500,2000,10000), on a cluster of its own: from the start of the process to the
last copy and the last reference, and from the change of the source to the last copy, by turns with the floor
(:mod:`tests.bench.floor`), which makes the same writes (ROUNDS=3); from the creation of a labelled namespace, and from
the label on one that was there, to its copy; the same for a new namespace and a new ServiceAccount while a rotation is
under way; 20,000 events; and once more from the start, when only the copies are
missing. For each of them CPU time, memory, and what was asked of the API server by its own audit log.

More than :data:`LARGEST` namespaces are measured by :mod:`tests.bench.large`, which says what it leaves out.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench import floor
from tests.bench.filling import Filling
from tests.bench.floor import Floor
from tests.bench.kubelet import Kubelet
from tests.bench.observer import NEW_ACCOUNT, Observer
from tests.bench.process import peak_mib, resident_mib, seconds_of_cpu
from tests.bench.requests import Requests
from tests.bench.saved import save
from tests.bench.table import show, show_large
from tests.cluster import programs
from tests.cluster.cluster import Cluster
from tests.integration.site.playground import COPY, SOURCE, Playground, dockerconfigjson
from webhook.kube.resources import SERVICE_ACCOUNTS

LARGEST = 20_000
NEW_NAMESPACES = 500
"""So many, one after the other, that their 99th percentile is not decided by one of them."""

LABELLED = 50
CROWDED = 100
"""New namespaces, and new ServiceAccounts, that arrive during rotations, one at a time."""

EVENTS = 20_000
"""An hour's worth of a large cluster, sent as quickly as the API server takes them."""

WORKERS = 16
"""As the chart has it by default; the floor makes as many writes at a time."""

FLAGS = ("--log-format=json", f"--workers={WORKERS}")
"""Everything else as the chart has it by default."""


@dataclass(frozen=True, slots=True)
class Phase:
    """What one thing took: seconds until it was done, CPU time of sync, MiB at its end, and sync's requests."""

    seconds: float
    cpu_seconds: float
    server_cpu_seconds: float
    """CPU time of the API server and etcd."""
    rss_mib: float
    requests: dict[str, int]


@dataclass(frozen=True, slots=True)
class Result:
    """One number of namespaces; durations in milliseconds where the name says so."""

    namespaces: int
    cold_start: Phase
    """The median of the rounds, as in the next three."""
    rotation: Phase
    floor_cold_start: Phase
    """The same writes by the floor."""
    floor_rotation: Phase
    first_copy_seconds: float
    """From the start of the process to the first copy; the median of all starts, as in the next one."""
    floor_first_copy_seconds: float
    rounds: list[list[float]]
    """Seconds of these four in each round."""
    new_namespace_ms: list[float]
    """To the copy, sorted."""
    probe_ms: list[float]
    """What the API server took to read one object between them, sorted: how busy it and the machine were."""
    label_ms: list[float]
    """The same for namespaces that were there before."""
    crowded_namespace_ms: list[float]
    """From the creation of a labelled namespace to its copy, while a rotation walks through the others; sorted."""
    crowded_account_ms: list[float]
    """The same from the creation of a ServiceAccount to its reference."""
    events: Phase
    events_sent: int
    peak_mib: float
    """The most memory that sync ever had."""
    cold_start_referenced: Phase
    """Where each ServiceAccount has the reference already, as the webhook leaves it."""


def main() -> None:
    """Measure, print a table and write ``results/sync.json``, and one file for each large number of namespaces."""
    sizes = [int(text) for text in os.environ.get("NAMESPACES", "500").split(",")]
    if compared := [size for size in sizes if size <= LARGEST]:
        _compare(compared, int(os.environ.get("ROUNDS", "3")))
    if large := [size for size in sizes if size > LARGEST]:
        from tests.bench.large import measure  # noqa: PLC0415 - it is made of this module

        show_large([measure(size) for size in large])


def _compare(sizes: list[int], rounds: int) -> None:
    floor.build()  # not after minutes: without Go there is an error
    results = []
    for size in sizes:
        with Cluster.start() as cluster, Playground.make(cluster) as playground:
            results.append(Bench(playground, size).run(rounds))
        file = save("sync", [asdict(result) for result in results])
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
        self._servers = [cluster.pid(name) for name in (programs.API_SERVER, programs.ETCD)]
        self._probes: list[float] = []
        self._contents = 0
        self._first_copies: list[float] = []
        self._floor_first_copies: list[float] = []
        self.names = [f"bench-{number:05}" for number in range(size)]

    def run(self, rounds: int) -> Result:
        """Measure everything."""
        self.fill()
        compared = [self.compare() for _ in range(rounds)]
        medians = [
            sorted(phases, key=lambda phase: phase.seconds)[rounds // 2] for phases in zip(*compared, strict=True)
        ]
        self.start()
        created = self.repeat(self.create, NEW_NAMESPACES)
        labelled = self.repeat(self.label, LABELLED)
        crowded = self.crowd()
        events = self.stir()
        peak = peak_mib(self._pid)
        referenced = self.start_again()
        self._observer.stop()
        self._kubelet.stop()
        return Result(
            namespaces=len(self.names),
            cold_start=medians[0],
            rotation=medians[1],
            floor_cold_start=medians[2],
            floor_rotation=medians[3],
            first_copy_seconds=_median(self._first_copies),
            floor_first_copy_seconds=_median(self._floor_first_copies),
            rounds=[[phase.seconds for phase in phases] for phases in compared],
            new_namespace_ms=created,
            probe_ms=sorted(self._probes),
            label_ms=labelled,
            crowded_namespace_ms=crowded[0],
            crowded_account_ms=crowded[1],
            events=events,
            events_sent=EVENTS,
            peak_mib=round(peak, 1),
            cold_start_referenced=referenced,
        )

    def compare(self) -> tuple[Phase, Phase, Phase, Phase]:
        """Start and rotate with sync, and then with the floor; each begins without copies and references."""
        cold_start = self.start()
        content = self._save("first")
        rotation = self.rotate()
        rotated = self._save("second")
        self._sync.stop()
        self._filling.reset(self.names, COPY)
        self._observer.copies.wait(self.names, lambda content: not content)
        floor_phases = self._floor(content, rotated)
        self._filling.reset(self.names, COPY)
        self._observer.copies.wait(self.names, lambda content: not content)
        phases = cold_start, rotation, *floor_phases
        print(f"{len(self.names):,} namespaces:", *(f"{phase.seconds} s" for phase in phases), flush=True)
        return phases

    def _save(self, name: str) -> Path:
        """Write the content that the copies have now to a file for the floor."""
        copy = self._playground.get(self.names[0], "secrets", COPY)
        assert copy is not None
        return floor.save(self._playground.cluster.directory / f"{name}.json", copy)

    def _floor(self, content: Path, rotated: Path) -> tuple[Phase, Phase]:
        selector = f"{self._playground.label}=enabled"
        before, started = self._cpu_before(), time.perf_counter()
        with Floor(floor.build(), self._installation.sync_kubeconfig, selector, WORKERS, content) as process:
            cold_start = self._phase(self._complete(self.names) - started, before, process.pid)
            self._floor_first_copies.append(self._observer.copies.earliest(self.names) - started)
            process.wait()
            before, started = self._cpu_before(process.pid), time.perf_counter()
            previous = self._observer.copies.value(self.names[0])
            process.rotate(rotated)
            rotation = self._phase(self._rotated(previous) - started, before, process.pid)
            process.wait()
        return cold_start, rotation

    def fill(self) -> None:
        """Create the namespaces, and wait for their ServiceAccounts."""
        self._playground.set_source("first")
        self._filling.create(self.names, {self._playground.label: "enabled"})
        self._observer.references.wait(self.names, lambda _: True)

    def start(self) -> Phase:
        """From the start of the process to the last copy and the last reference."""
        self._requests.since()
        before, started = self._cpu_before(), time.perf_counter()
        self._sync = self._installation.start_sync(*FLAGS)
        self._kubelet.probe(self._sync)
        complete = self._complete(self.names)
        self._first_copies.append(self._observer.copies.earliest(self.names) - started)
        return self._phase(complete - started, before, self._pid)

    def rotate(self) -> Phase:
        """From the change of the source to the last copy."""
        self._contents += 1
        previous = self._observer.copies.value(self.names[0])
        before, started = self._cpu_before(self._pid), time.perf_counter()
        changed = {"data": dockerconfigjson(f"password-{self._contents:05}")}
        self._playground.patch(self._installation.namespace, "secrets", SOURCE, changed)
        return self._phase(self._rotated(previous) - started, before, self._pid)

    def repeat(self, once: Callable[[int], float], number: int) -> list[float]:
        """Do something many times, one after the other; return the sorted milliseconds."""
        measured = sorted(_milliseconds([once(each) for each in range(number)]))
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

    def crowd(self) -> tuple[list[float], list[float]]:
        """Create namespaces and ServiceAccounts by turns while a rotation is under way; return sorted milliseconds."""
        waits: tuple[list[float], list[float]] = ([], [])
        number = min(CROWDED, len(self.names))
        while len(waits[1]) < number:
            with ThreadPoolExecutor(1) as other:
                rotation = other.submit(self.rotate)
                while not rotation.done() and len(waits[1]) < number:
                    waits[0].append(self.create(NEW_NAMESPACES + len(waits[0])))
                    if not rotation.done():
                        waits[1].append(self.refer(self.names[len(waits[1])]))
                rotation.result()
        return sorted(_milliseconds(waits[0])), sorted(_milliseconds(waits[1]))

    def refer(self, namespace: str) -> float:
        """From the creation of a ServiceAccount to its reference."""
        started = time.perf_counter()
        self._filling.make([(SERVICE_ACCOUNTS, {"metadata": {"name": NEW_ACCOUNT}}, namespace)])
        return self._observer.new_references.wait([namespace], lambda names: COPY in names) - started

    def stir(self) -> Phase:
        """Thousands of changes that need nothing, and one that does, which shows that all others have been seen."""
        before, started = self._cpu_before(self._pid), time.perf_counter()
        self._filling.stir(self.names, EVENTS)
        # Its copy and its reference show that both watches have come so far.
        self._filling.create(["last"], {self._playground.label: "enabled"})
        return self._phase(self._complete(["last"]) - started, before, self._pid)

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

    def _rotated(self, previous: str) -> float:
        """Wait until all copies have another content; return when the last of them had it."""
        return self._observer.copies.wait(self.names, lambda content: bool(content) and content != previous)

    @property
    def _pid(self) -> int:
        return self._sync.program.pid

    def _cpu_before(self, writer: int | None = None) -> tuple[float, float]:
        """Return the CPU time so far of the writer, if it runs already, and of the servers."""
        return seconds_of_cpu(writer) if writer else 0.0, sum(map(seconds_of_cpu, self._servers))

    def _phase(self, seconds: float, before: tuple[float, float], writer: int) -> Phase:
        after = self._cpu_before(writer)
        return Phase(
            seconds=round(seconds, 2),
            cpu_seconds=round(after[0] - before[0], 2),
            server_cpu_seconds=round(after[1] - before[1], 2),
            rss_mib=round(resident_mib(writer), 1),
            requests=self._requests.since(),
        )


def _median(seconds: list[float]) -> float:
    return round(statistics.median(seconds), 2)


def _milliseconds(seconds: list[float]) -> list[float]:
    return [round(each * 1000, 1) for each in seconds]


if __name__ == "__main__":
    main()
