"""Fixtures for every test that wants a real API server: one cluster a worker, started when the first test asks."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from tests.cluster import binaries
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterFailed

# How long an example takes, or takes to be made, on a machine that is busy with other things says nothing about it.
hypothesis.settings.register_profile("ours", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("ours")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    """Have each file of integration tests run by one worker, as `tests.spread` says why."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from tests.spread import ByFile  # noqa: PLC0415 (whoever runs one test alone needs no xdist)

    return ByFile(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many inputs the fuzz targets were given."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "executions":
                terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {value:,} inputs")


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest) -> binaries.Binaries:
    """The programs of a cluster; where they cannot be had, the test fails: a skipped test would prove nothing."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    # The first time this is a build of several minutes: its progress must be seen.
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        try:
            return binaries.find()
        except ClusterFailed as error:
            pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def cluster(control_plane: binaries.Binaries) -> Iterator[Cluster]:  # noqa: ARG001 (built before it is started)
    """One running control plane for the tests of this worker; a test that breaks it must start its own."""
    try:
        running = Cluster.start()
    except ClusterFailed as error:
        pytest.fail(str(error), pytrace=False)
    with running:
        yield running


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own, without labels; deleted after it, without waiting for the end of that."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    cluster.create_namespace(name)
    yield name
    cluster.delete_namespace(name)


@pytest.fixture
def kubectl(cluster: Cluster) -> Callable[..., str]:
    """Run kubectl as cluster-admin; see `Cluster.kubectl`."""
    return cluster.kubectl
