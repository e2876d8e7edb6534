"""A stranger attacks the metrics port of ``sync``: it stays within the chart's memory and goes on to write copies."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from tests.integration.hostile import mixture as hostile
from tests.integration.hostile.attack import MIB
from tests.integration.hostile.memorygroup import MemoryGroup
from tests.integration.site.playground import Playground, eventually

Maker = Callable[..., Playground]

SECONDS = float(os.environ.get("HOSTILE_SECONDS", "20"))
THREADS = 6
FEWEST_NAMESPACES = 3


def test_sync_writes_copies_while_its_metrics_port_is_attacked(ours: Playground, group: MemoryGroup) -> None:
    ours.set_source("first")
    sync = ours.installation.start_sync()
    group.take(sync.program.pid)
    sync.wait_ready()
    ours.await_selected(ours.namespace(selected=True), "first")

    mixture = hostile.Mixture(hostile.Target(sync.metrics_port), hostile.ATTACKS, THREADS, seed=3)
    end = time.monotonic() + SECONDS
    namespaces = 0
    with mixture:
        eventually(lambda: any(mixture.rounds.values()))
        while time.monotonic() < end or namespaces < FEWEST_NAMESPACES:
            ours.await_selected(ours.namespace(selected=True), "first")
            namespaces += 1
        ours.set_source("second")
        ours.await_selected(ours.namespace(selected=True), "second")

    print(f"{namespaces} namespaces in {SECONDS:g} s, {group.peak / MIB:.0f} MiB at most, {mixture.rounds}")
    assert group.kills == 0, f"killed, after {group.peak / MIB:.0f} MiB"
    sync.wait_ready()
    assert "Traceback" not in sync.program.output
    assert sync.stop() == 0
