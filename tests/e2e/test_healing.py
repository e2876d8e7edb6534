"""Pods that were created before the label of their namespace, on a real node: healing has them pull within a minute."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.e2e.release import RESTRICTED, Release
from tests.e2e.site import COPY, OPT_IN, Site
from tests.e2e.workloads import Manifest, pod_spec

PODS = 20
MINUTE = 60.0
TURNED_AWAY = {"ErrImagePull", "ImagePullBackOff"}
OWN = "own"
"""A Secret of the tenant, with which a Pod runs before the label."""


@pytest.fixture(scope="module")
def release(install: Callable[..., Release]) -> Release:
    return install("healing", healing={"enabled": True})


def owners(image: str) -> list[Manifest]:
    """Return workloads of three kinds, with 20 Pods on one node."""
    return [
        owner("Deployment", "web", image, replicas=10),
        owner("StatefulSet", "data", image, replicas=6, serviceName="none", podManagementPolicy="Parallel"),
        *(owner("DaemonSet", f"agent-{number}", image) for number in range(4)),
    ]


def owner(kind: str, name: str, image: str, **spec: Any) -> Manifest:  # noqa: ANN401 (any JSON)
    labels = {"app": name, "heals": "true"}
    template = {"metadata": {"labels": labels}, "spec": always(pod_spec(image))}
    spec = {"selector": {"matchLabels": labels}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def bare(name: str, image: str, *references: str) -> Manifest:
    spec = {**pod_spec(image), "imagePullSecrets": [{"name": each} for each in references]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": always(spec)}


def always(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a Pod's spec that pulls even if the node has the image."""
    for each in (*spec["containers"], *spec["initContainers"]):
        each["imagePullPolicy"] = "Always"
    return spec


def is_turned_away(pod: dict[str, Any]) -> bool:
    statuses = pod["status"].get("initContainerStatuses", [])
    return any(each["state"].get("waiting", {}).get("reason") in TURNED_AWAY for each in statuses)


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def pods(site: Site, namespace: str, *names: str) -> list[dict[str, Any]]:
    """Return the named Pods of a namespace, or those of the workloads."""
    found: Iterable[dict[str, Any]] = site.get("pods", "-n", namespace)["items"]
    return [
        each
        for each in found
        if (each["metadata"]["name"] in names if names else "heals" in each["metadata"].get("labels", {}))
    ]


def has_budget(site: Site, release: Release) -> bool:
    """Return whether no eviction of the last minute counts. A new installation assumes as many as are allowed."""
    name = f"{release.fullname}-state"
    if not site.exists("secret", name, "-n", release.namespace):
        return False
    value = site.get("secret", name, "-n", release.namespace).get("data", {}).get("_healing")
    return value is not None and json.loads(b64decode(value))["reserved"] == 0


def not_healed(site: Site, namespace: str, pod: str) -> list[str]:
    """Return the messages about a Pod that healing does not touch."""
    selector = f"--field-selector=reason=PodNotHealed,involvedObject.name={pod}"
    return [each["message"] for each in site.get("events", "-n", namespace, selector)["items"]]


@pytest.fixture(scope="module")
def stuck(site: Site, release: Release) -> str:
    """A namespace without the label, in which no Pod can pull but one that has a Secret of its tenant."""
    namespace = site.create_namespace("early", RESTRICTED)
    site.set_source(namespace, site.password, OWN)
    image = site.private_image
    manifests = [*owners(image), bare("alone", image), bare("runs", image, OWN)]
    site.apply(*(each | {"metadata": {**each["metadata"], "namespace": namespace}} for each in manifests))
    site.wait_ready(namespace, "runs")

    def turned_away() -> list[bool]:
        return [is_turned_away(each) for each in (*pods(site, namespace), *pods(site, namespace, "alone"))]

    site.wait(lambda: turned_away() == [True] * (PODS + 1), "all Pods but one are turned away")
    site.wait(lambda: has_budget(site, release), "the first minute is over", 2 * MINUTE)
    return namespace


def test_twenty_pods_run_within_a_minute_of_the_label_and_one_that_runs_is_untouched(site: Site, stuck: str) -> None:
    before = {each["metadata"]["uid"] for each in pods(site, stuck)}
    (running,) = pods(site, stuck, "runs")

    site.kubectl("label", "namespace", stuck, f"{OPT_IN}=enabled")

    def ready() -> list[dict[str, Any]]:
        return [each for each in pods(site, stuck) if is_ready(each)]

    site.wait(lambda: len(ready()) == PODS, f"{PODS} Pods run", MINUTE)
    assert before.isdisjoint(each["metadata"]["uid"] for each in ready())
    assert all(COPY in [each["name"] for each in pod["spec"]["imagePullSecrets"]] for pod in ready())
    (after,) = pods(site, stuck, "runs")
    assert after["metadata"]["uid"] == running["metadata"]["uid"]
    assert [each["restartCount"] for each in after["status"]["containerStatuses"]] == [0]


def test_the_command_that_is_reported_for_a_bare_pod_has_it_run(site: Site, stuck: str) -> None:
    site.kubectl("label", "namespace", stuck, f"{OPT_IN}=enabled", "--overwrite")
    site.wait(lambda: bool(not_healed(site, stuck, "alone")), "the bare Pod is reported")
    (message,) = not_healed(site, stuck, "alone")
    (alone,) = pods(site, stuck, "alone")
    assert is_turned_away(alone)

    site.run(message[message.index("kubectl ") :])

    site.wait_ready(stuck, "alone")
    assert COPY in site.references(stuck, "pod", "alone")
