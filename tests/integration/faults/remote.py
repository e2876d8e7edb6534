"""Processes of ``pullsecrets sync`` that reach the API server only through a fault proxy each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.cluster import kubeconfig
from tests.cluster.processes import PullSecrets
from tests.integration.faults.faultlink import Request
from tests.integration.faults.faultproxy import FaultProxy
from tests.integration.site.playground import Playground


@dataclass(frozen=True, slots=True)
class Remote:
    """A running sync and the way to the API server that is its alone."""

    process: PullSecrets
    proxy: FaultProxy

    @property
    def leads(self) -> bool:
        return (
            re.search(r"^leader_election_master_status\{.*\} 1\.0$", self.process.metrics(), re.MULTILINE) is not None
        )

    @property
    def alive(self) -> bool:
        return self.process.program.exit_code is None

    def attempts(self) -> float:
        """Return how many requests the process itself has counted, answered or not."""
        found = re.findall(r"^rest_client_requests_total\{.*\} (\S+)$", self.process.metrics(), re.MULTILINE)
        return sum(map(float, found))

    def writes(self, since: float = 0.0) -> list[Request]:
        """Return what it has tried to write since a moment; an Event is advice, and the Lease is about writing."""
        return [
            request
            for request in self.proxy.since(since)
            if request.writes and "/events" not in request.target and "/leases/" not in request.target
        ]

    def asks_for_the_lease(self, since: float) -> bool:
        """Whether it has looked at the Lease since a moment."""
        return any("/leases/" in request.target for request in self.proxy.since(since))

    def renewals(self, since: float) -> list[Request]:
        """Return its writes of the Lease since a moment."""
        return [request for request in self.proxy.since(since) if request.writes and "/leases/" in request.target]


@contextmanager
def remote_sync(playground: Playground, name: str, *flags: str) -> Iterator[Remote]:
    """Start a sync behind a proxy of its own, wait until it is ready, and kill it in the end."""
    cluster, installation = playground.cluster, playground.installation
    serving = cluster.issue_serving(f"{installation.release}-{name}")
    with FaultProxy(cluster.url, cluster.ca_file, serving) as proxy:
        token = kubeconfig.token_of(installation.sync_kubeconfig)
        file = cluster.directory / f"{installation.release}-{name}.kubeconfig"
        kubeconfig.with_token(file, proxy.url, cluster.ca_file, token)
        process = installation.start_sync(f"--kubeconfig={file}", "--log-format=json", *flags, name=name)
        process.wait_ready()
        try:
            yield Remote(process, proxy)
        finally:
            process.kill()
