"""Keep a leader and a standby of sync running, and kill the leader."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

from tests.cluster.processes import PullSecrets
from tests.exposition import series
from tests.integration.site.playground import Playground, eventually

LET_EXPIRE = 0.1
"""The share of the killed leaders whose Lease expires. Else it is freed, as a person can who knows that it is dead."""


class Leaders:
    """Two processes, one of which leads."""

    def __init__(self, site: Playground, trust: Path) -> None:
        self._site = site
        self._trust = trust
        self._lock = threading.Lock()
        self.outages: list[tuple[float, float]] = []
        """The times between a kill and the next leader."""

    def start(self) -> None:
        """Start a leader and a standby."""
        self._start().wait_ready()
        self._start().wait_ready()
        self._leader()

    def kill(self, rng: random.Random) -> None:
        """Kill the leader, and return when another process leads."""
        with self._lock:
            leader = self._leader()
            killed_at = time.monotonic()
            leader.kill()
            self._start()
            if rng.random() >= LET_EXPIRE:
                lease = f"/apis/coordination.k8s.io/v1/namespaces/{self._site.installation.namespace}/leases/"
                body = {"spec": {"holderIdentity": None}}
                path = lease + self._site.installation.lease
                self._site.cluster.api.call("PATCH", path, body, "application/merge-patch+json")
            self._leader()
            self.outages.append((killed_at, time.monotonic()))

    def _start(self) -> PullSecrets:
        installation = self._site.installation
        name = f"sync-{len(installation.processes)}"
        return installation.start_sync(name=name, environment={"SSL_CERT_FILE": str(self._trust)})

    def _leader(self) -> PullSecrets:
        def find() -> PullSecrets | None:
            running = (each for each in self._site.installation.processes.values() if each.program.exit_code is None)
            return next(filter(leads, running), None)

        leader = eventually(find)
        assert leader is not None
        return leader


def leads(process: PullSecrets) -> bool:
    """Return whether a process reports that it leads."""
    try:
        found = series(process.metrics())
    except OSError:
        return False
    return any(name.startswith("leader_election_master_status") and value for name, value in found.items())
