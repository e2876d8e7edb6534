"""``python -m tests.bench.plan``: ``pullsecrets plan -A`` at scale, on a real API server (NAMESPACES=10000).

Once while nothing has been written yet, so that each namespace has rows, and once when all is as it should be.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.filling import Filling
from tests.cluster.cluster import Cluster
from tests.cluster.processes import COMMAND, clean_environment
from tests.integration.day.disorder import settle
from tests.integration.site.playground import Playground, eventually

PATIENCE_SECONDS = 900.0
_KIB_IN_MIB = 1024


@dataclass(frozen=True, slots=True)
class Took:
    """What one run took, and the last line that it printed."""

    seconds: float
    cpu_seconds: float
    """Of the command itself, without the API server."""
    peak_mib: float
    summary: str


def run(kubeconfig: Path, release: str, *arguments: str) -> Took:
    """Run a command once."""
    argv = [str(COMMAND), *arguments, f"--kubeconfig={kubeconfig}", f"--release={release}"]
    started = time.monotonic()
    with subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=clean_environment(), text=True
    ) as process:
        printed = process.stderr.read() if process.stderr else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - started
    if process.returncode not in (0, 1, 4):
        raise SystemExit(printed)
    return Took(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / _KIB_IN_MIB, printed.splitlines()[-1])


def main() -> None:
    """Measure and print."""
    size = int(os.environ.get("NAMESPACES", "10000"))
    names = [f"team-{number:05}" for number in range(size)]
    with Cluster.start() as cluster, Playground.make(cluster) as playground:
        playground.set_source("first")
        Filling(cluster.kubeconfig).create(names, {playground.label: "enabled"})
        last = f"/api/v1/namespaces/{names[-1]}/serviceaccounts/default"
        eventually(lambda: cluster.api.answers(last), seconds=PATIENCE_SECONDS)
        release = playground.installation.release
        show(f"{size} namespaces, nothing written yet", run(cluster.kubeconfig, release, "plan", "-A"))
        sync = playground.installation.start_sync()
        sync.wait_ready()
        settle(sync, seconds=PATIENCE_SECONDS)
        sync.stop()
        show(f"{size} namespaces, all as it should be", run(cluster.kubeconfig, release, "plan", "-A"))


def show(what: str, took: Took) -> None:
    """Print one line."""
    print(
        f"{what}: {took.seconds:.1f} s ({took.cpu_seconds:.1f} s of CPU), {took.peak_mib:.0f} MiB; {took.summary}",
        flush=True,
    )


if __name__ == "__main__":
    main()
