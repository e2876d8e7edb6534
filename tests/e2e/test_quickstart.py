"""The commands of docs/quickstart.md, each as it is written there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import images
from tests.e2e.reader import blocks
from tests.e2e.site import Site

NAMESPACE = "pull-secrets"
RELEASE = "pull-secret-webhook"


@pytest.fixture
def shell(site: Site) -> Iterator[Site]:
    """A reader's shell, with the variables set; what the page installs is uninstalled afterwards."""
    helm = f"{Path(__file__).parents[2] / '.venv' / 'bin'}:{site.environment['PATH']}"
    registry = {
        "IMAGE_REGISTRY": images.ours().partition("/")[0],
        "REGISTRY": site.registry_host,
        "REGISTRY_USER": site.user,
        "REGISTRY_PASSWORD": site.local.registry.password if site.local else site.password,
    }
    yield dataclasses.replace(site, environment={**site.environment, **registry, "PATH": helm})
    site.helm("uninstall", RELEASE, f"--namespace={NAMESPACE}", "--wait")
    site.kubectl("delete", "namespace", NAMESPACE)
    site.kubectl("label", "namespace", "default", "pullsecrets.webhook/inject-")


@pytest.mark.usefixtures("local")
def test_six_commands_from_nothing_to_an_injected_pod(shell: Site) -> None:
    _variables, make, load, install, secret, label, run = blocks("quickstart.md")
    assert make == "make image"
    # This node got the image as an archive: there is no kind here. What the command names must be what was built.
    assert load == f"kind load docker-image {images.ours()}"
    shell.run(install)
    shell.run(secret)
    shell.run(label)
    shell.wait(lambda: shell.exists("secret", "registry-credentials", "-n", "default"), "the copy")
    shell.run(run)
    shell.wait_ready("default", "web")
    assert shell.references("default", "pod", "web") == ["registry-credentials"]
    shell.kubectl("delete", "pod", "web", "--grace-period=1")
