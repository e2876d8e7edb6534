"""An API server and an etcd that go and come back, or forget, under a loop that has work to do."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator

import pytest

from tests.cluster import programs
from tests.cluster.binaries import Binaries
from tests.cluster.cluster import Cluster
from tests.integration.faults.remote import Remote, remote_sync
from tests.integration.site.estate import CONVERGED_SECONDS, Estate, new_password
from tests.integration.site.playground import Playground

AWAY_SECONDS = float(os.environ.get("FAULT_SECONDS", "6"))


@pytest.fixture(scope="module")
def own_cluster(control_plane: Binaries) -> Iterator[Cluster]:  # noqa: ARG001 (built before it is started)
    """A cluster that these tests may break."""
    with Cluster.start() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def site(own_cluster: Cluster) -> Iterator[Playground]:
    with Playground.make(own_cluster) as playground:
        playground.set_source("first")
        yield playground


@pytest.fixture(scope="module")
def remote(site: Playground) -> Iterator[Remote]:
    with remote_sync(site, "sync") as remote:
        yield remote


def restarts(remote: Remote, cause: str) -> float:
    """Return how many watches broke for a cause."""
    pattern = rf'^pullsecrets_sync_watch_restarts_total{{cause="{cause}",.*}} (\S+)$'
    return sum(map(float, re.findall(pattern, remote.process.metrics(), re.MULTILINE)))


def await_right(estate: Estate, back: float) -> None:
    seconds = estate.await_right(back, CONVERGED_SECONDS)
    print(f"right {seconds:.2f} s after its return")


def test_an_etcd_that_is_suspended(site: Playground, remote: Remote) -> None:
    with Estate(site) as estate:
        estate.disturb(new_password())
        site.cluster.signal_program(programs.ETCD, signal.SIGSTOP)
        time.sleep(AWAY_SECONDS)
        site.cluster.signal_program(programs.ETCD, signal.SIGCONT)
        site.cluster.wait_ready()
        await_right(estate, time.monotonic())
    assert remote.alive


def test_a_history_that_has_been_compacted_away(site: Playground, remote: Remote) -> None:
    """410 Gone: no watch can resume where it was, because etcd and the API server's cache have forgotten it."""
    with Estate(site) as estate:
        before = restarts(remote, "Gone")
        with remote.proxy.refusing():
            estate.disturb(new_password())
            estate.disturb(new_password())
            site.cluster.compact()
            site.cluster.stop_program(programs.API_SERVER)
            site.cluster.start_program(programs.API_SERVER)
            site.cluster.wait_ready()
        await_right(estate, time.monotonic())
        assert restarts(remote, "Gone") > before
    assert remote.alive


def test_an_api_server_that_is_killed_and_comes_back(site: Playground, remote: Remote) -> None:
    with Estate(site) as estate:
        estate.disturb(new_password())
        site.cluster.signal_program(programs.API_SERVER, signal.SIGKILL)
        time.sleep(AWAY_SECONDS)
        site.cluster.start_program(programs.API_SERVER)
        site.cluster.wait_ready()
        await_right(estate, time.monotonic())
        # And it goes on.
        estate.rotate(new_password())
        await_right(estate, time.monotonic())
    assert remote.alive
