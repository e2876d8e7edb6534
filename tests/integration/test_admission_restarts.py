"""Replicas come and go behind a balancer that learns of it late, and the API server loses not one admission.

``RESTARTS=20`` makes the long run of it.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.ports import free_port
from tests.cluster.processes import PullSecrets
from tests.cluster.supervise import wait_until
from tests.integration.faults.balancer import Balancer
from tests.integration.site.creates import SteadyCreates, calls, failed_open
from tests.integration.site.playground import Playground

ROLLING_RESTARTS = int(os.environ.get("RESTARTS", "3"))
SINGLE_RESTARTS = int(os.environ.get("RESTARTS", "1"))
LATEST_SECONDS = 5.0
"""After which the balancer has learned that an endpoint has come or gone."""

END_SECONDS = 30.0
"""The grace period of the chart."""

IS_LONG = "RESTARTS" in os.environ
LEAST_PER_SECOND = 100
"""Pods, in the long run alone: where other tests share the machine, nobody knows how many it can do."""

LEAST_PODS = 60
"""With each replica that goes, at whatever speed."""


class Replicas:
    """Two replicas of ``serve`` behind a balancer, where the API server expects the webhook."""

    def __init__(self, playground: Playground, balancer: Balancer) -> None:
        self._installation = playground.installation
        self._balancer = balancer
        self._numbers = itertools.count()
        self._delays = random.Random(1)  # noqa: S311 (when the balancer learns is no secret)
        self._running: dict[int, PullSecrets] = {}
        self._leaving: list[PullSecrets] = []

    def start(self) -> int:
        """Start a replica, wait until it is ready, and return its port."""
        port = free_port()
        replica = self._installation.start_serve(f"--secure-port={port}", name=f"serve-{next(self._numbers)}")
        replica.wait_ready()
        self._running[port] = replica
        return port

    def terminate(self, port: int, after: float | None = None) -> None:
        """Begin to end a replica, as the kubelet does: at the same moment as its endpoint is being taken away."""
        replica = self._running.pop(port)
        # In this order: if this thread stands still in between, the balancer does not learn of it later than it may.
        self.tell(after)
        replica.program.signal(signal.SIGTERM)
        self._leaving.append(replica)

    def tell(self, after: float | None = None) -> None:
        """Let the balancer learn of the replicas that there are, after some time."""
        delay = self._delays.uniform(0, LATEST_SECONDS) if after is None else after
        self._balancer.tell(list(self._running), delay)

    def ports(self) -> list[int]:
        """Return the ports of those that are to stay, oldest first."""
        return list(self._running)

    def await_leaving(self) -> None:
        """Wait until those that were ended are gone; each must have ended of itself, and well."""
        for replica in self._leaving:
            assert wait_until(lambda replica=replica: replica.program.exit_code is not None, END_SECONDS)  # type: ignore[misc]
            assert replica.program.exit_code == 0
        self._leaving.clear()

    def restart_all(self, creates: SteadyCreates) -> None:
        """Replace each replica as a Deployment does: the next one is ready before the old one is told to end."""
        for port in self.ports():
            self.start()
            self.terminate(port)
            creates.go_on(LEAST_PODS)

    def restart_one(self, creates: SteadyCreates) -> None:
        """End one of two, and start another only when it is gone."""
        self.terminate(self.ports()[0], LATEST_SECONDS)
        creates.go_on(LEAST_PODS)
        self.await_leaving()
        self.start()
        self.tell()


@pytest.fixture(scope="module")
def replicas(shared_chart: Playground) -> Iterator[Replicas]:
    with Balancer(shared_chart.installation.webhook_port) as balancer:
        replicas = Replicas(shared_chart, balancer)
        replicas.start()
        replicas.start()
        replicas.tell(after=0)
        yield replicas
        replicas.await_leaving()


@pytest.fixture(scope="module")
def shared_chart(cluster: Cluster) -> Iterator[Playground]:
    """An installation whose sync loop runs; the replicas of ``serve`` are for the tests to start."""
    with Playground.make(cluster) as playground:
        playground.set_source("first")
        playground.installation.start_sync().wait_ready()
        yield playground


@contextmanager
def no_admission_lost(playground: Playground) -> Iterator[SteadyCreates]:
    """Create Pods all the while; at the end each must have been patched, and no call given up."""
    namespace = playground.namespace(selected=True)
    playground.await_selected(namespace, "first")
    playground.await_injection(namespace)
    cluster = playground.cluster
    opened, called = failed_open(cluster), calls(cluster)
    with SteadyCreates(cluster, namespace) as creates:
        yield creates
    opened, called = failed_open(cluster) - opened, calls(cluster) - called
    print(f"{creates.patched} Pods, {creates.per_second:.0f} a second; {called} calls, {opened} failed open")
    assert creates.failures == []
    assert opened == 0
    assert called >= creates.patched
    assert not IS_LONG or creates.per_second >= LEAST_PER_SECOND


def test_rolling_restarts_lose_no_admission(shared_chart: Playground, replicas: Replicas) -> None:
    with no_admission_lost(shared_chart) as creates:
        for _ in range(ROLLING_RESTARTS):
            replicas.restart_all(creates)
        replicas.await_leaving()


def test_the_end_of_one_of_two_replicas_loses_no_admission(shared_chart: Playground, replicas: Replicas) -> None:
    with no_admission_lost(shared_chart) as creates:
        for _ in range(SINGLE_RESTARTS):
            replicas.restart_one(creates)
        replicas.await_leaving()
