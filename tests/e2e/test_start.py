"""How long each role takes to be ready, with all cores and with half of one: printed, for docs/image.md to say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.release import Release
from tests.e2e.site import Local, Site
from tests.e2e.starts import Container, readable

RUNS = 3
OURS = ("--config=", "--metrics-port=", "--secure-port=", "--leader-elect")
"""Arguments of the Deployment that are others here: the files lie elsewhere, and the ports are the node's."""


@pytest.fixture(scope="module")
def release(install: Callable[..., Release]) -> Release:
    return install("started")


@pytest.mark.parametrize("role", ["webhook", "sync"])
def test_the_start_of_a_role(
    site: Site, local: Local, release: Release, role: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster, name = local.node.cluster, f"{release.fullname}-{role}"
    deployment = site.get("deployment", name, "-n", release.namespace)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    configuration = site.get("configmap", release.fullname, "-n", release.namespace)["data"]["config.yaml"]
    kubeconfig = cluster.kubeconfig_for(name, release.namespace)
    files = {"config.yaml": configuration.encode(), "kubeconfig": kubeconfig.read_bytes()}
    folder = readable(local.node.settings.directory / f"start-{role}", files)
    arguments = [argument for argument in container["args"] if not argument.startswith(OURS)]
    arguments += [f"--config={folder}/config.yaml", f"--kubeconfig={folder}/kubeconfig"]
    arguments += ["--secure-port=0"] if role == "webhook" else ["--leader-elect"]
    for cores in (None, 0.5):
        starts = [Container(site.image, arguments, folder).start(cores) for _ in range(RUNS)]
        best = min(starts, key=lambda start: start.ready)
        with capsys.disabled():
            print(f"\n{role}, {f'{cores:g} cores' if cores else 'no limit'}: {best}")
