"""``python -m tests.bench.renewing``: what sources that renew themselves cost sync, on a real API server.

Its memory without such sources, and with ten of them that have been renewed several times; and the CPU time of one
renewal, of sync itself and of the provider beside it. The provider is a small program in Python, so that its own time
is that of an interpreter that starts.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.process import resident_mib, seconds_of_cpu
from tests.cluster.cluster import Cluster
from tests.cluster.processes import PullSecrets
from tests.exposition import series
from tests.integration.site.playground import COPY, SOURCE, Playground, eventually
from tests.providers.folder import NAME, plugin_folder

SOURCES = 10
RENEWALS = int(os.environ.get("RENEWALS", "200"))
STARTS = 3
LIFETIME = 10
"""Seconds: the shortest, so that a source is renewed every five."""

QUIET_SECONDS = 30
"""For the CPU time that sync takes without a renewal."""


@dataclass(frozen=True, slots=True)
class Run:
    """One process: its memory at the end, and over some seconds its CPU time, that of its children, and renewals."""

    mib: float
    seconds: float
    cpu: float
    provider_cpu: float
    renewals: int


def main() -> None:
    """Measure and print a table."""
    with Cluster.start() as cluster:
        without = [_measure(cluster, 0) for _ in range(STARTS)]
        renewing = [_measure(cluster, SOURCES) for _ in range(STARTS)]
    show(without, renewing)


def show(without: list[Run], renewing: list[Run]) -> None:
    """Print the medians."""
    idle = statistics.median(each.cpu / each.seconds for each in without)
    table = Table("sync", "without", f"with {SOURCES} providers", box=None, pad_edge=False)
    memory = [statistics.median(each.mib for each in runs) for runs in (without, renewing)]
    table.add_row("memory (RSS), median of 3 starts", *(f"{mib:.1f} MiB" for mib in memory))
    table.add_row("  more", "", f"{memory[1] - memory[0]:+.1f} MiB")
    cpu = statistics.median((each.cpu - idle * each.seconds) / each.renewals for each in renewing)
    provider = statistics.median(each.provider_cpu / each.renewals for each in renewing)
    table.add_row("CPU of sync for a renewal, beyond what it uses anyway", "", f"{cpu * 1000:.1f} ms")
    table.add_row("CPU of the provider for a renewal", "", f"{provider * 1000:.1f} ms")
    table.add_row("renewals measured", "", f"{sum(each.renewals for each in renewing):,}")
    Console(highlight=False, width=120).print(table)


def _measure(cluster: Cluster, sources: int) -> Run:
    with _running(cluster, sources) as sync:
        pid, began_at, before = sync.program.pid, time.monotonic(), renewals(sync)
        cpu, provider = seconds_of_cpu(pid), seconds_of_children(pid)
        if sources:
            while renewals(sync) - before < RENEWALS / STARTS:
                time.sleep(LIFETIME / 2)  # each look costs sync CPU time, too
        else:
            time.sleep(QUIET_SECONDS)  # it is what is measured
        return Run(
            mib=resident_mib(pid),
            seconds=time.monotonic() - began_at,
            cpu=seconds_of_cpu(pid) - cpu,
            provider_cpu=seconds_of_children(pid) - provider,
            renewals=round(renewals(sync) - before),
        )


@contextmanager
def _running(cluster: Cluster, sources: int) -> Iterator[PullSecrets]:
    """Run sync with so many renewing sources beside an ordinary one, after the first renewal of each."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = [{"secretName": SOURCE}, *(_provider(number) for number in range(sources))]
        with Playground.make(cluster, pullSecrets=[{"name": COPY, "sources": chosen}]) as ours:
            ours.set_source("first")
            sync = ours.installation.start_sync(f"--providers={plugin_folder(Path(folder))}")
            sync.wait_ready()
            eventually(lambda: renewals(sync) >= sources)
            ours.await_selected(ours.namespace(selected=True), "first")
            yield sync


def _provider(number: int) -> dict[str, Any]:
    env = [{"name": "FAKE_DURATION", "value": f"{LIFETIME}s"}]
    settings = {"name": f"fake-{number}", "command": NAME, "args": ["answer"], "env": env}
    return {"credentialProvider": {**settings, "images": [f"registry-{number}.example.com"]}}


def renewals(sync: PullSecrets) -> float:
    """Return how many renewals have succeeded."""
    found = series(sync.metrics())
    return sum(number for name, number in found.items() if "sync_renewals_total" in name and "renewed" in name)


def seconds_of_children(pid: int) -> float:
    """Return the CPU time of the children of a process that have ended, in seconds (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
