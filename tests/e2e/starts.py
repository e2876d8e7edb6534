"""How long a container of the image takes from its start to ready, and what it uses, under a limit of CPU."""

from __future__ import annotations

import http.client
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.node import sandbox
from tests.cluster.ports import free_port
from tests.cluster.programs import LOOPBACK
from tests.cluster.supervise import wait_until

USER = 65532
SECONDS = 60.0
_CTR = ("ctr", "--namespace=k8s.io")
_PERIOD = 100_000
_PROBE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Start:
    """One start: seconds to ``/readyz``, seconds of CPU until then, and the most memory, in bytes."""

    ready: float
    cpu: float
    memory: int

    def __str__(self) -> str:
        return f"ready after {self.ready:.2f} s, {self.cpu:.2f} s of CPU, {self.memory / 2**20:.0f} MiB at most"


@dataclass(frozen=True, slots=True)
class Container:
    """A container that containerd runs by itself, as the chart's Pods do, but on the node's network."""

    image: str
    arguments: Sequence[str]
    files: Path

    def start(self, cores: float | None) -> Start:
        """Run it with that many cores, all for None, until it is ready; then end it."""
        name, port = f"start-{time.monotonic_ns()}", free_port()
        group = f"/{sandbox.cgroup()}/{name}"
        limit = [f"--cpu-quota={int(cores * _PERIOD)}", f"--cpu-period={_PERIOD}"] if cores else []
        options = ["--rm", "--net-host", "--read-only", f"--cgroup={group}", *limit]
        mount = f"--mount=type=bind,src={self.files},dst={self.files},options=rbind:ro"
        ports = [f"--metrics-port={port}", f"--bind-address={LOOPBACK}"]
        command = ["pullsecrets", *self.arguments, *ports]
        argv = [*_CTR, "run", *options, mount, self.image, name, *command]
        log = self.files / f"{name}.log"
        started = time.monotonic()
        with log.open("wb") as output, subprocess.Popen(argv, stdout=output, stderr=output) as running:
            try:
                wait_until(lambda: _ready(port) or running.poll() is not None, SECONDS)
                took = time.monotonic() - started
                assert _ready(port), log.read_text()
                return Start(took, _read(group, "cpuacct/cpuacct.usage") / 1e9, _read(group, _PEAK))
            finally:
                subprocess.run([*_CTR, "tasks", "kill", "-s", "SIGKILL", name], check=False, capture_output=True)
                running.wait()


_PEAK = "memory/memory.max_usage_in_bytes"


def _read(group: str, file: str) -> int:
    controller, _, name = file.partition("/")
    return int(Path(f"/sys/fs/cgroup/{controller}{group}/{name}").read_text())


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def readable(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files that only the container's user can read."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
        os.chown(folder / name, USER, USER)
        (folder / name).chmod(0o400)
    return folder
