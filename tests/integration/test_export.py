"""Exported policies decide on the real API server as the core does, about whatever is created there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.integration.policies.judge import Site, Verdict, await_policies
from tests.integration.policies.worlds import (
    Place,
    World,
    account,
    configuration,
    mirror,
    pod,
    random_world,
    references,
)
from tests.integration.site.playground import own_label
from webhook.rules.configuration import Reason
from webhook.rules.images import parse_registry

KUBELET = json.loads((Path(__file__).parents[1] / "unit" / "rules" / "kubelet_verdicts.json").read_text())
SEEDS = range(16)
LABEL = "export.example.com/inject"
HERE = Place()


@pytest.fixture
def build(cluster: Cluster) -> Iterator[Callable[..., Site]]:
    """Build a world on the cluster, and take it away after the test."""
    if not cluster.api.answers("/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies"):
        pytest.skip("this API server has no MutatingAdmissionPolicy: it came to v1 in Kubernetes 1.36")
    with contextlib.ExitStack() as built:

        def make(world: World, label: str = "") -> Site:
            # A label of its own: policies that are deleted may be in force for a moment more.
            site = Site.build(cluster, world, label or own_label())
            built.callback(site.remove)
            return site

        yield make


def agreed(folder: Path, *sites: Site) -> list[Verdict]:
    """Return the verdict on each object of some worlds; all of them as the core has it."""
    before = [site.rehearse() for site in sites]
    for site in sites:
        site.apply(folder)
    await_policies(sites[0].cluster)
    found = [verdict for site, seen in zip(sites, before, strict=True) for verdict in site.judge(seen)]
    assert [verdict for verdict in found if not verdict.agrees] == []
    return found


def held(found: dict[str, Any]) -> list[str]:
    """Return the names in the list of a Pod or ServiceAccount; an entry may have none."""
    holder = found if found["kind"] == "ServiceAccount" else found["spec"]
    return [entry.get("name", "") for entry in holder.get("imagePullSecrets", [])]


def test_each_rule_of_injection_holds(build: Callable[..., Site], tmp_path: Path) -> None:
    both = configuration({"name": "a"}, {"name": "b", "serviceAccounts": {"exclude": ["ci-*"]}})
    table: list[tuple[dict[str, Any], list[str]]] = [
        (pod(), ["a", "b"]),
        (pod(imagePullSecrets=[]), ["a", "b"]),
        (pod(imagePullSecrets=references("theirs")), ["theirs", "a", "b"]),
        (pod(imagePullSecrets=references("b", "theirs")), ["b", "theirs", "a"]),
        (pod(imagePullSecrets=references("b", "a")), ["b", "a"]),
        (pod(imagePullSecrets=[{}]), ["", "a", "b"]),
        (pod(serviceAccountName="builder"), ["theirs", "a", "b"]),
        (pod(serviceAccountName="ci-1"), ["a"]),
        (pod(labels={LABEL: "disabled"}), []),
        (pod(labels={LABEL: "enabled"}), ["a", "b"]),
        (mirror(), []),
    ]
    accounts: list[tuple[dict[str, Any], list[str]]] = [
        (account("new"), ["a", "b"]),
        (account("new", imagePullSecrets=references("theirs", "b")), ["theirs", "b", "a"]),
        (account("ci-2"), ["a"]),
        (account("new", {LABEL: "disabled"}), []),
        (account("default"), ["a", "b"]),
        (account("builder", imagePullSecrets=references("theirs")), ["theirs", "a", "b"]),
        (account("builder", {LABEL: "disabled"}, imagePullSecrets=references("theirs")), ["theirs"]),
    ]
    world = World(both, [HERE], [body for body, _ in table], [body for body, _ in accounts])
    for (body, expected), verdict in zip([*table, *accounts], agreed(tmp_path, build(world, LABEL)), strict=True):
        assert held(verdict.found) == expected, body


def test_every_image_of_a_pod_counts(build: Callable[..., Site], tmp_path: Path) -> None:
    document = configuration({"name": "a", "pods": "WhenImageMatches", "registries": ["ghcr.io"]})
    of_ghcr = "ghcr.io/org/app"
    table = [
        (pod("nginx"), []),
        (pod(of_ghcr), ["a"]),
        (pod("nginx", of_ghcr), ["a"]),
        (pod("nginx", initContainers=[{"name": "init", "image": of_ghcr}]), ["a"]),
        (pod("nginx", volumes=[{"name": "model", "image": {"reference": of_ghcr}}]), ["a"]),
        (pod("nginx", volumes=[{"name": "scratch", "emptyDir": {}}]), []),
    ]
    world = World(document, [HERE], [body for body, _ in table])
    found = agreed(tmp_path, build(world))
    assert [held(verdict.found) for verdict in found] == [expected for _, expected in table]


def test_a_registry_covers_the_images_that_it_covers_for_the_webhook(
    build: Callable[..., Site], tmp_path: Path
) -> None:
    cases = KUBELET["references"] + KUBELET["keyring"]
    images = list(dict.fromkeys(case["image"] for case in cases if case["image"]))
    entries = [
        {"name": f"r{position}", "pods": "WhenImageMatches", "registries": [registry]}
        for position, registry in enumerate(_readable({case["registry"] for case in KUBELET["keyring"]}))
    ]
    world = World(configuration(*entries), [HERE], [pod(image) for image in images])
    decisions = [verdict.decision for verdict in agreed(tmp_path, build(world)) if verdict.decision]
    assert len(decisions) > 150
    assert sum(len(decision.added) for decision in decisions) > 150


def _readable(registries: set[str]) -> list[str]:
    found = []
    for registry in sorted(registries):
        try:
            parse_registry(registry)
        except ValueError:
            continue
        found.append(registry)
    return found


def test_excluded_namespaces_and_the_release_namespace_are_left_alone(
    build: Callable[..., Site], tmp_path: Path
) -> None:
    site = build(World(configuration({"name": "a"}), [HERE, HERE, HERE], [pod()], [account("new")]))
    release, excluded, _ = site.namespaces
    site.document["excludedNamespaces"] = [excluded]
    site.apply(tmp_path, release)
    await_policies(site.cluster)
    assert [held(found) for found in site.rehearse()] == [[], [], [], [], ["a"], ["a"]]


def test_random_configurations_decide_as_the_core_does_at_every_gate(
    build: Callable[..., Site], tmp_path: Path
) -> None:
    labels = {seed: own_label() for seed in SEEDS}
    worlds = {label: random_world(Random(seed), label) for seed, label in labels.items()}  # noqa: S311 (repeatable)
    sites = [build(world, label) for label, world in worlds.items()]
    decisions = [verdict.decision for verdict in agreed(tmp_path, *sites) if verdict.decision]
    seen = {decision.reason for decision in decisions} | {gate for each in decisions for _, gate in each.gates}
    assert seen == {
        Reason.NAMESPACE_NOT_OPTED_IN,
        Reason.OBJECT_DISABLED,
        Reason.MIRROR_POD,
        Reason.NAMESPACE_NOT_SELECTED,
        Reason.SOURCE_NOT_FOR_NAMESPACE,
        Reason.NAMESPACE_DECLINES,
        Reason.PODS_NEVER,
        Reason.SERVICE_ACCOUNT_NOT_INCLUDED,
        Reason.IMAGE_NOT_MATCHED,
        Reason.ALREADY_PRESENT,
        Reason.INJECTED,
    }


def test_a_pod_that_costs_more_than_the_api_server_spends_passes_as_it_is(
    build: Callable[..., Site], tmp_path: Path
) -> None:
    document = configuration({"name": "a", "pods": "WhenImageMatches", "registries": ["ghcr.io"]})
    image = f"registry.example.com/{'team/' * 8}app:1"
    site = build(World(document, [HERE], [pod(*[image] * count, "ghcr.io/app") for count in (400, 4000)]))
    site.apply(tmp_path)
    await_policies(site.cluster)
    assert [held(found) for found in site.rehearse()] == [["a"], []]
