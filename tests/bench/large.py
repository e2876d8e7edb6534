"""``NAMESPACES=100000 make bench-sync``: the sync loop with more namespaces than any other bench has, in bounded time.

``python -m tests.bench.large`` does the same with any number of namespaces. What differs from :mod:`tests.bench.sync`:

- Namespaces and their ServiceAccounts are put into etcd directly, as copies of one that the API server has stored: to
  create them by requests would take longer than all that is measured. Nobody makes their ConfigMaps with the cluster's
  authority, and no garbage collector watches them.
- One round, and no floor, no start with references that are there, no labels on existing namespaces, no crowd and no
  events: they cost or show the same for each namespace at 10,000.
- Bytes are counted by etcd's own metrics, without those of the other clients.
- Other clients patch a ConfigMap all the time, so that the effect on them is seen: alone, during a start, during a
  rotation, and during a rotation with ``sync.flowControl.enabled``.
- `plan --rotate` predicts the second rotation from the first, which is compared with what it then took.
- At the end there is what a list and a watch of one name across all namespaces costs the API server.

A further rotation is not begun if it would not be over within ``SECONDS`` (3,000) of the bench, and the table says so.
The memory of the programs in Go is limited by ``GOMEMLIMIT``, 6 GiB for each if the environment has no other value. The
files of the cluster take about 20 kB for each namespace.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from tests.bench.etcd import Etcd, Written
from tests.bench.neighbours import Neighbours
from tests.bench.process import peak_mib, resident_mib, seconds_of_cpu
from tests.bench.saved import save
from tests.bench.sync import Bench, Phase
from tests.bench.table import PERCENT, percentile, show_large
from tests.cluster.cluster import Cluster
from tests.cluster.processes import COMMAND, clean_environment
from tests.integration.site.playground import COPY, Playground
from webhook.kube.resources import SECRETS

SECONDS = 3000.0
NEW_NAMESPACES = 100
QUIET_SECONDS = 15.0
"""How long the other clients are alone with the API server."""

LISTS = 5
WATCHES = 50
LONGEST_LIST_SECONDS = 300.0
CONTROLLERS = ("clusterrole-aggregation-controller", "serviceaccount-controller")
LONGER = 1.5
"""A rotation is begun if there is time for this many times what the first one took."""

MEMORY_LIMIT = "6GiB"
ABSENT = "not-there"
"""A name that no Secret has."""


@dataclass(frozen=True, slots=True)
class LargePhase:
    """A phase, the writes of etcd for it, and the response times of the other clients meanwhile."""

    phase: Phase
    written: Written
    others_ms: list[float]


@dataclass(frozen=True, slots=True)
class Reading:
    """The cost of one kind of read for the API server: seconds and CPU seconds of one of them, on average."""

    seconds: float
    cpu_seconds: float
    size: int
    """Bytes of the answer."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction of ``plan --rotate``."""

    etcd_bytes: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class LargeResult:
    """One number of namespaces; a phase for which no time was left is None."""

    namespaces: int
    load: list[float]
    """The load average of the machine, with that of the bench, at the end of each phase."""
    fill_seconds: float
    alone_ms: list[float]
    """The response times of the other clients before sync starts."""
    start: LargePhase
    rotation: LargePhase
    predicted: Prediction
    """For the second rotation."""
    second_rotation: LargePhase | None
    shared_rotation: LargePhase | None
    """A rotation with a priority level of its own."""
    new_namespace_ms: list[float]
    readings: dict[str, Reading]
    peak_mib: float
    log_problems: dict[str, int]
    """Number of lines of sync's log of the levels warning and error, by their message."""
    server_mib: list[float]
    """Memory of the API server and of etcd at the end."""
    files_mib: float
    """The size of all files of the cluster on disk at the end."""


def main() -> None:
    """Measure, print a table and write ``results/large.json``."""
    sizes = [int(text) for text in os.environ.get("NAMESPACES", "100000").split(",")]
    show_large([measure(size) for size in sizes])


def measure(size: int) -> LargeResult:
    """Measure one number of namespaces on a cluster of its own."""
    os.environ.setdefault("GOMEMLIMIT", MEMORY_LIMIT)
    seconds = float(os.environ.get("SECONDS", str(SECONDS)))
    with Cluster.start(controllers=CONTROLLERS) as cluster, Playground.make(cluster) as playground:
        result = LargeBench(playground, size, seconds).measure()
    save(f"large-{size}", asdict(result))
    return result


class LargeBench(Bench):
    """The steps of `measure` go in this order, each once."""

    def __init__(self, playground: Playground, size: int, seconds: float) -> None:
        super().__init__(playground, size)
        self._cluster = playground.cluster
        self._ends = time.monotonic() + seconds
        self._etcd = Etcd(self._cluster)
        self._neighbours = Neighbours(self._cluster)
        self._patch_size = 0
        self._load: list[float] = []

    def measure(self) -> LargeResult:
        """Measure everything."""
        started = time.perf_counter()
        self.fill()
        fill_seconds = round(time.perf_counter() - started, 1)
        self._tell(f"filled in {fill_seconds} s; cluster in {self._cluster.directory}")
        with self._neighbours:
            self._neighbours.since()
            time.sleep(QUIET_SECONDS)
            alone = self._neighbours.since()
            start = self._observed("start", self.start)
            rotation = self._observed("rotation", self.rotate)
            created = self.repeat(self.create, NEW_NAMESPACES)
            self._tell("new namespaces created")
            predicted = self._predict()
            second = self._observed("second rotation", self.rotate) if self._has_time_for(rotation) else None
            shared = None
            if self._has_time_for(rotation):
                self._installation.set_configuration(sync={"flowControl": {"enabled": True, "shares": 1}})
                self._neighbours.since()
                shared = self._observed("rotation with flow control", self.rotate)
        peak = peak_mib(self._pid)
        problems = _problems(self._sync.program.log)
        self._sync.stop()
        readings = self._readings()
        self._observer.stop()
        self._kubelet.stop()
        return LargeResult(
            namespaces=len(self.names),
            load=self._load,
            fill_seconds=fill_seconds,
            alone_ms=alone,
            start=start,
            rotation=rotation,
            predicted=predicted,
            second_rotation=second,
            shared_rotation=shared,
            new_namespace_ms=created,
            readings=readings,
            peak_mib=round(peak, 1),
            log_problems=problems,
            server_mib=[round(resident_mib(pid), 1) for pid in self._servers],
            files_mib=round(_size(self._cluster.directory) / 2**20, 1),
        )

    def fill(self) -> None:
        """Create one namespace, and copies of it by the thousand."""
        self._playground.set_source("first")
        first, *others = self.names
        self._cluster.create_namespace(first, {self._playground.label: "enabled"})
        self._etcd.clone_namespace(first, others)
        self._observer.references.wait(self.names, lambda _: True)

    def _observed(self, name: str, step: Callable[[], Phase]) -> LargePhase:
        self._neighbours.since()
        self._etcd.since()
        phase = step()
        others, written = self._neighbours.since(), self._etcd.since()
        # The bytes are those of sync: each patch of the others is a put, too.
        result = LargePhase(phase, written.without(len(others), self._etcd.size(self._neighbours.key)), others)
        self._tell(f"{name}: {json.dumps(asdict(result) | {'others_ms': _spread(others)})}")
        return result

    def _has_time_for(self, rotation: LargePhase) -> bool:
        return time.monotonic() + rotation.phase.seconds * LONGER < self._ends

    def _predict(self) -> Prediction:
        flags = [f"--kubeconfig={self._cluster.kubeconfig}", f"--release={self._installation.release}"]
        command = [str(COMMAND), "plan", "--rotate", COPY, "-o", "json", *flags]
        # It ends with 1, because there is something to change.
        done = subprocess.run(command, env=clean_environment(), stdout=subprocess.PIPE, check=False)
        document = json.loads(done.stdout)
        self._tell(f"predicted: {document}")
        return Prediction(document["etcdBytes"], document["seconds"])

    def _tell(self, text: str) -> None:
        self._load.append(round(os.getloadavg()[0], 1))
        print(f"{len(self.names):,} namespaces, load {self._load[-1]}: {text}", flush=True)

    def _readings(self) -> dict[str, Reading]:
        """Read Secrets of one name across all namespaces, as sync does and as it must not."""
        version = quote(self._cluster.api.call("GET", f"{_secrets(ABSENT)}&limit=1")["metadata"]["resourceVersion"])
        initial = "watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        kinds = {
            "list of a name that no Secret has": (LISTS, _secrets(ABSENT)),
            "the same in pages of 500": (LISTS, f"{_secrets(ABSENT)}&limit=500"),
            "list of the copies": (1, _secrets(COPY)),
            "first page of 500 copies": (LISTS, f"{_secrets(COPY)}&limit=500"),
            "watch of the copies from their list on": (1, f"{_secrets(COPY)}&{initial}&timeoutSeconds=3"),
            "resumed watch of the copies": (WATCHES, f"{_secrets(COPY)}&watch=true&resourceVersion={version}"),
        }
        return {text: self._reading(number, path) for text, (number, path) in kinds.items()}

    def _reading(self, number: int, path: str) -> Reading:
        server = self._servers[0]
        before, started, size = seconds_of_cpu(server), time.perf_counter(), 0
        for _ in range(number):
            size = self._read(path)
        seconds = time.perf_counter() - started
        return Reading(round(seconds / number, 4), round((seconds_of_cpu(server) - before) / number, 4), size)

    def _read(self, path: str) -> int:
        """Read an answer to its end, but of a resumed watch only its head; return the bytes."""
        connection = self._cluster.api.connect(LONGEST_LIST_SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            assert response.status == 200, path
            if "watch=true" in path and "sendInitialEvents" not in path:
                return 0
            return sum(len(chunk) for chunk in iter(lambda: response.read(2**20), b""))
        finally:
            connection.close()


def _secrets(name: str) -> str:
    return f"{SECRETS.path()}?fieldSelector=metadata.name%3D{name}"


def _spread(values: list[float]) -> list[float]:
    """Return the median and the 99th percentile."""
    return [percentile(values, 50), percentile(values, PERCENT)]


def _problems(log: Path) -> dict[str, int]:
    with log.open() as lines:
        return Counter(
            json.loads(line)["event"] for line in lines if '"level": "error"' in line or '"level": "warning"' in line
        )


def _size(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


if __name__ == "__main__":
    main()
