"""Healing with a running ``sync`` and ``serve`` on a real API server; the statuses of Pods are written by the test."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.site.playground import COPY, Playground, eventually, names, pod
from tests.integration.site.stuck import (
    RUNNING,
    create_replica_set,
    get_stuck,
    permit_evictions,
    pods_of,
    set_state,
    template,
)

HEALING = {"healing": {"enabled": True, "perMinute": 600}}


@pytest.fixture
def healing(playground: Callable[..., Playground]) -> Playground:
    """A release with healing, and running processes."""
    site = playground(**HEALING)
    site.set_source("first")
    permit_evictions(site)
    site.start()
    return site


def references(site: Playground, namespace: str, owner: str = "") -> list[bool]:
    """Return for each Pod whether it has the reference."""
    return [COPY in names(each["spec"]) for each in pods_of(site, namespace, owner).values()]


def test_pods_that_were_created_too_early_come_back_with_the_reference_and_others_stay(healing: Playground) -> None:
    namespace = healing.namespace(selected=False)
    create_replica_set(healing, namespace, "web", 3)
    create_replica_set(healing, namespace, "elsewhere", 1, image="other.example.com/app:1")
    healing.create(namespace, "pods", pod("bare"))
    healing.create(namespace, "pods", pod("begun"))
    spec = {"template": template(restartPolicy="Never")}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, "spec": spec}
    healing.cluster.api.call("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs", job)
    eventually(lambda: pods_of(healing, namespace, "job"))
    before = get_stuck(healing, namespace)
    set_state(healing, before["begun"], RUNNING, "Running")

    healing.opt(namespace, "enabled")

    eventually(lambda: references(healing, namespace, "web"), lambda seen: seen == [True] * 3)
    told = eventually(lambda: list(healing.events(namespace)), lambda seen: len(_not_healed(seen)) == 2)
    after = pods_of(healing, namespace)
    assert {name for name in before if name not in after} == {name for name in before if name.startswith("web-")}
    assert any("kubectl replace --force" in message for message in _not_healed(told) if '"bare"' in message)
    assert any("counts an eviction as a failure" in message for message in _not_healed(told))
    evicted = [message for reason, message in told if reason == "PodEvicted"]
    assert len(evicted) == 3


def _not_healed(events: list[tuple[str, str]]) -> list[str]:
    return [message for reason, message in events if reason == "PodNotHealed"]
