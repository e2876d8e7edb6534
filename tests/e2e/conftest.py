"""Fixtures of the scenarios: the site, once for all of them, and a release for each file of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.errors import ClusterFailed
from tests.cluster.node import sandbox
from tests.cluster.node.node import Node
from tests.cluster.node.settings import PAUSE_IMAGE
from tests.e2e import images
from tests.e2e.knative import serving
from tests.e2e.registry import HOST, USER, Registry
from tests.e2e.release import Release
from tests.e2e.site import Local, Site

_PASSWORD = "first-password"  # noqa: S105 (invented)
_GIVEN = ("E2E_IMAGE", "E2E_PRIVATE_IMAGE", "E2E_REGISTRY_USERNAME", "E2E_REGISTRY_PASSWORD")


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The cluster that ``E2E_KUBECONFIG`` names, else one with a real node within this sandbox."""
    if kubeconfig := os.environ.get("E2E_KUBECONFIG"):
        yield _given(Path(kubeconfig))
        return
    if not sandbox.cgroup():
        pytest.fail("these tests run in a sandbox: start them by `make e2e`", pytrace=False)
    archives = images.archives()
    try:
        node = Node.start([archives.pause, archives.ours])
    except ClusterFailed as error:
        pytest.fail(str(error), pytrace=False)
    with node:
        registry = Registry(node, _PASSWORD)
        registry.push(archives.application, f"{images.APPLICATION}:1")
        path = {"PATH": f"{node.cluster.kubectl_path.parent}{os.pathsep}{os.environ['PATH']}"}
        yield Site(
            kubeconfig=node.cluster.kubeconfig,
            kubectl_path=str(node.cluster.kubectl_path),
            image=images.ours(),
            private_image=f"{HOST}/{images.APPLICATION}:1",
            user=USER,
            password=_PASSWORD,
            local=Local(node, registry),
            environment={**os.environ, **path, "HOME": str(node.cluster.directory)},
        )


def _given(kubeconfig: Path) -> Site:
    missing = [name for name in _GIVEN if not os.environ.get(name)]
    if missing:
        pytest.fail(f"with E2E_KUBECONFIG, {', '.join(missing)} must be set too: see tests/e2e/site.py", pytrace=False)
    image, private_image, user, password = (os.environ[name] for name in _GIVEN)
    return Site(kubeconfig, "kubectl", image, private_image, user, password)


@pytest.fixture(scope="session")
def knative(site: Site) -> None:
    """Knative Serving's controller runs, or is part of the cluster that ``E2E_KUBECONFIG`` names."""
    if site.local:
        serving.start(site.local.node.cluster, PAUSE_IMAGE)
    elif not site.exists("crd", "services.serving.knative.dev"):
        pytest.skip("needs Knative Serving, and the cluster that E2E_KUBECONFIG names does not have it")


@pytest.fixture
def local(site: Site) -> Local:
    """What only a cluster of this machine has; a scenario that needs it is skipped on another."""
    if not site.local:
        pytest.skip("needs the processes of a local cluster, and E2E_KUBECONFIG names another")
    return site.local


@pytest.fixture(scope="module")
def install(site: Site) -> Iterator[Callable[..., Release]]:
    """Install releases for the scenarios of one file; what is still there at its end is uninstalled."""
    installed: list[Release] = []

    def make(name: str, **values: Any) -> Release:  # noqa: ANN401 (Helm values are any JSON)
        release = Release(site, name, **values)
        release.install()
        installed.append(release)
        return release

    yield make
    for release in installed:
        if release.exists():
            release.uninstall()
