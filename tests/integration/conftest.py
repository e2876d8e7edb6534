"""Fixtures for tests of the installed product."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.integration.hostile.memorygroup import group
from tests.integration.site.playground import PATIENT_API_SERVER, Playground

__all__ = ["group"]

FIRST_PASSWORD = "first"  # noqa: S105 (invented)


@pytest.fixture(scope="module")
def shared(cluster: Cluster) -> Iterator[Playground]:
    """An installation with running processes and a valid source, for the tests of one module that leave it as it is."""
    with Playground.make(cluster, webhook=PATIENT_API_SERVER) as playground:
        playground.set_source(FIRST_PASSWORD)
        playground.start()
        yield playground


@pytest.fixture
def playground(cluster: Cluster) -> Iterator[Callable[..., Playground]]:
    """Install the chart with the values given as keywords, for one test that changes the installation itself."""
    with contextlib.ExitStack() as installed:

        def make(**values: Any) -> Playground:  # noqa: ANN401 (Helm values are any JSON)
            return installed.enter_context(Playground.make(cluster, **values))

        yield make


@pytest.fixture
def ours(playground: Callable[..., Playground]) -> Playground:
    """An installation of the test's own, with the usual values; nothing runs yet."""
    return playground()
