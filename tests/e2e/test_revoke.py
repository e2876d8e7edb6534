"""``revoke --dry-run --ask-registry`` against reality: the pulls that it predicts to fail are those that fail.

In random scenes a credential is revoked at real registries, all images are taken from the node, and everything starts
again. ``REVOKE_SCENES=50`` makes so many scenes, and ``REVOKE_SEED=<number>`` other ones.
"""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster.node import settings
from tests.cluster.supervise import wait_until
from tests.e2e import images
from tests.e2e.registry import (
    ACCOUNT_REGISTRY_HOST,
    HOST,
    NAME,
    OPEN_REGISTRY_HOST,
    AccountRegistry,
    OpenRegistry,
    Registry,
)
from tests.e2e.release import Release
from tests.e2e.scenes import ALLOWED, Scene, make_scene, secret
from tests.e2e.site import OPT_IN, Site
from tests.integration.site.commands import run

SCENES = int(os.environ.get("REVOKE_SCENES", "4"))
SEED = int(os.environ.get("REVOKE_SEED", "1"))
AT_ONCE = 25
"""Scenes with Pods on the node at the same time; it runs at most 110 Pods."""

SECONDS = 300.0

FINAL = ("401", "403", "denied", "insufficient_scope", "cannot unmarshal")
"""Parts of the reasons of a pull that fails each time, as opposed to one that a busy machine did not complete."""

Pull = tuple[str, str, str]
"""The namespace, the workload and the image of a pull."""


@dataclass(frozen=True, slots=True)
class Registries:
    """One with users, one with accounts that have rights on repositories and public ones, and one that is open."""

    users: Registry
    accounts: AccountRegistry
    open: OpenRegistry

    def furnish(self, scenes: Sequence[Scene]) -> None:
        """Give the registries the images and the accounts of the scenes."""
        self.users.repeat(images.APPLICATION, [each for scene in scenes for each in scene.repositories(HOST)])
        for registry, host in ((self.accounts, ACCOUNT_REGISTRY_HOST), (self.open, OPEN_REGISTRY_HOST)):
            registry.repeat(self.users.directory, [each for scene in scenes for each in scene.repositories(host)])
        for scene in scenes:
            for account in ("main", "spare"):
                self.users.let_in(scene.user(account), scene.password(account))
                self.accounts.accounts.add(scene.user(account), scene.password(account))
            self.accounts.accounts.add(scene.user("narrow"), scene.password("narrow"), f"{scene.name}/{ALLOWED}")

    def revoke(self, scenes: Sequence[Scene]) -> None:
        """Refuse the credential of the first source of each scene from now on, at the registries of that source."""
        of_users = [scene for scene in scenes if HOST in scene.revoked_at]
        for scene in of_users:
            self.users.keep_out(scene.user("main"))
        for scene in scenes:
            if ACCOUNT_REGISTRY_HOST in scene.revoked_at:
                self.accounts.accounts.remove(scene.user("main"), scene.password("main"))
        for scene in of_users:
            login = f"{scene.user('main')}:{scene.password('main')}".encode()
            self.users.wait_closed_to(f"Basic {base64.b64encode(login).decode()}")


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(SEED, number) for number in range(SCENES)]


@pytest.fixture(scope="module")
def registries(site: Site, scenes: list[Scene]) -> Iterator[Registries]:
    if not site.local:
        pytest.skip("needs the registries and the node of a local cluster, and E2E_KUBECONFIG names another")
    node = site.local.node
    registries = Registries(site.local.registry, AccountRegistry(node), OpenRegistry(node))
    registries.furnish(scenes)
    yield registries
    registries.accounts.accounts.close()


@pytest.fixture(scope="module")
def release(site: Site, scenes: list[Scene], install: Callable[..., Release]) -> Release:
    namespace = site.create_namespace("revoke-system")
    site.apply(*(secret(name, namespace, content) for scene in scenes for name, content in scene.sources.items()))
    return install("revoke", namespace=namespace, pullSecrets=[scene.pull_secret() for scene in scenes])


def test_the_predicted_failures_are_the_real_ones(
    site: Site, scenes: list[Scene], registries: Registries, release: Release
) -> None:
    results: Counter[str] = Counter()
    for first in range(0, len(scenes), AT_ONCE):
        results += _compare(site, scenes[first : first + AT_ONCE], registries, release)
    print(f"{len(scenes)} scenes: {dict(results)}")
    assert results["fails"]
    assert results["works"]


def _compare(site: Site, scenes: Sequence[Scene], registries: Registries, release: Release) -> Counter[str]:
    """Predict, revoke and start everything again; return how often there was each result."""
    assert site.local
    site.kubectl("cordon", settings.NAME)
    for scene in scenes:
        _furnish(site, scene)
    predicted = {pull: result for scene in scenes for pull, result in _predict(site, scene, release).items()}
    _restart(site, scenes)
    site.kubectl("uncordon", settings.NAME)
    before = _outcomes(site, scenes)

    registries.revoke(scenes)
    site.kubectl("cordon", settings.NAME)
    _restart(site, scenes)
    site.local.node.remove_images(NAME)
    site.kubectl("uncordon", settings.NAME)
    after = _outcomes(site, scenes)

    wrong = {
        pull: predicted.get(pull) for pull in after if after[pull] is not _expected(predicted.get(pull), before[pull])
    }
    assert wrong == {}, f"REVOKE_SEED={SEED}: {scenes}"
    for scene in scenes:
        site.kubectl("delete", "namespace", scene.name, "--wait=false")
    lost = sum(before[pull] and not after[pull] for pull in after)
    return Counter(predicted.values()) + Counter(
        {"pulls": len(after), "lost": lost, "not mentioned": len(after) - len(predicted)}
    )


def _expected(predicted: str | None, before: bool) -> bool:
    """Return whether a pull must succeed. One that is not mentioned ends as before."""
    return before if predicted is None else {"fails": False, "works": True}[predicted]


def _furnish(site: Site, scene: Scene) -> None:
    """Create the namespace of a scene, its Secrets and its workloads; those that are early first."""
    label = {OPT_IN: "enabled"}
    labels = {"scene": scene.name} if scene.is_early else {"scene": scene.name, **label}
    site.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": scene.name, "labels": labels}})
    site.wait(lambda: site.exists("serviceaccount", "default", "-n", scene.name), "the ServiceAccount")
    workloads = [workload.manifest(scene.name) for workload in scene.workloads]
    if scene.is_early:
        site.apply(*workloads)
        site.wait(lambda: len(_pods(site, [scene])) == len(workloads), "the Deployments have made their Pods")
        site.kubectl("label", "namespace", scene.name, f"{OPT_IN}=enabled")
    site.wait(lambda: site.exists("secret", scene.name, "-n", scene.name), f"the copy in {scene.name}")
    site.wait(lambda: scene.name in site.references(scene.name), f"the reference in {scene.name}")
    site.apply(*(secret(name, scene.name, content) for name, content in scene.secrets.items()), *workloads)
    site.wait(lambda: len(_pods(site, [scene])) == len(workloads), "the Deployments have made their Pods")


def _predict(site: Site, scene: Scene, release: Release) -> dict[Pull, str]:
    assert site.local
    authority = site.local.node.cluster.ca_file
    source = next(iter(scene.sources))
    flags = (
        "--release=revoke",
        f"--release-namespace={release.namespace}",
        "--output=json",
        f"--namespace={scene.name}",
    )
    asks = ("--dry-run", "--ask-registry", f"--registry-ca-file={authority}")
    ran = run(site.kubeconfig, "revoke", source, *asks, *flags)
    assert ran.code in (0, 1), ran.err
    found: list[dict[str, Any]] = json.loads(ran.out)["images"]
    return {(scene.name, each["workload"], each["image"]): each["result"] for each in found}


def _pods(site: Site, scenes: Sequence[Scene]) -> list[dict[str, Any]]:
    names = {scene.name for scene in scenes}
    found = site.get("pods", "--all-namespaces", "--selector=scene")["items"]
    return [
        pod for pod in found if pod["metadata"]["namespace"] in names and "deletionTimestamp" not in pod["metadata"]
    ]


def _restart(site: Site, scenes: Sequence[Scene]) -> None:
    """Replace the Pods of Deployments, and start bare Pods again with the references that they have."""
    for scene in scenes:
        bare = [pod for pod in _pods(site, [scene]) if pod["metadata"]["labels"]["kind"] == "Pod"]
        site.kubectl("delete", "pods", "--all", "-n", scene.name)
        for pod in bare:
            workload = next(each for each in scene.workloads if each.name == pod["metadata"]["name"])
            manifest = workload.manifest(scene.name)
            manifest["spec"]["imagePullSecrets"] = pod["spec"].get("imagePullSecrets", [])
            site.apply(manifest)


def _outcomes(site: Site, scenes: Sequence[Scene]) -> dict[Pull, bool]:
    """Return whether the node could pull each image, when that is known for all of them."""
    wanted = {
        (scene.name, workload.title, image)
        for scene in scenes
        for workload in scene.workloads
        for image in workload.images
    }
    found: dict[Pull, bool] = {}

    def complete() -> bool:
        for pod in _pods(site, scenes):
            found.update(_pulled(pod))
        return found.keys() == wanted

    if not wait_until(complete, SECONDS):
        states = [(pod["metadata"]["name"], pod["status"].get("containerStatuses")) for pod in _pods(site, scenes)]
        raise AssertionError(f"unknown: {wanted - found.keys()}; {states}")
    return found


def _pulled(pod: dict[str, Any]) -> Iterator[tuple[Pull, bool]]:
    labels, namespace = pod["metadata"]["labels"], pod["metadata"]["namespace"]
    by_name = {container["name"]: container["image"] for container in pod["spec"]["containers"]}
    for status in pod["status"].get("containerStatuses", []):
        pull = (namespace, f"{labels['kind']}/{labels['workload']}", by_name[status["name"]])
        # The kubelet has no reason of its own for a Secret that it cannot decode: that is the message, too.
        waiting = status["state"].get("waiting", {})
        if "running" in status["state"]:
            yield pull, True
        elif any(text in waiting.get("message", "") for text in FINAL):
            yield pull, False
