"""Fixtures for tests of the installed product."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.install import Installation, install

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster.cluster import Cluster


@pytest.fixture
def installer(cluster: Cluster) -> Iterator[Callable[..., Installation]]:
    """Install the chart with the values given as keywords, under a name of the test's own; uninstalled after it."""
    with contextlib.ExitStack() as installed:

        def make(**values: Any) -> Installation:  # noqa: ANN401 (Helm values are any JSON)
            release = f"psw-{uuid.uuid4().hex[:8]}"
            return installed.enter_context(install(cluster, release, f"{release}-system", values))

        yield make
