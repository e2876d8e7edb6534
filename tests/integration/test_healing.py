"""Healing with a running ``sync`` and ``serve`` on a real API server; the statuses of Pods are written by the test."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.integration.faults.denier import denying_policy
from tests.integration.hostile.impostor import Impostor
from tests.integration.site.commands import of_release
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
from webhook.errors import Refused
from webhook.kube.connect import connect

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
    told = eventually(
        lambda: list(healing.events(namespace)), lambda seen: (len(_not_healed(seen)), len(_evicted(seen))) == (2, 3)
    )
    after = pods_of(healing, namespace)
    assert {name for name in before if name not in after} == {name for name in before if name.startswith("web-")}
    assert any("kubectl replace --force" in message for message in _not_healed(told) if '"bare"' in message)
    assert any("counts an eviction as a failure" in message for message in _not_healed(told))


def _evicted(events: list[tuple[str, str]]) -> list[str]:
    return [message for reason, message in events if reason == "PodEvicted"]


def _not_healed(events: list[tuple[str, str]]) -> list[str]:
    return [message for reason, message in events if reason == "PodNotHealed"]


def test_the_limit_of_a_minute_outlives_its_leader(playground: Callable[..., Playground]) -> None:
    site = playground(healing={"enabled": True, "perMinute": 5})
    site.set_source("first")
    permit_evictions(site, reserved=0)
    site.start()
    namespace = site.namespace(selected=False)
    create_replica_set(site, namespace, "web", 12)
    before = get_stuck(site, namespace)
    site.opt(namespace, "enabled")
    eventually(lambda: evictions(site, "sync")["evicted"], lambda seen: seen == 5)
    site.installation.processes["sync"].kill()

    second = site.installation.start_sync(name="sync-2")
    second.wait_ready()

    # It counts what is stored as evicted now, so none is left for it.
    adopted = eventually(
        lambda: evictions(site, "sync-2"), lambda seen: seen["used"] == 5 and seen["pods"]["healing-due"] > 0
    )
    assert adopted["evicted"] == 0
    assert len(before.keys() - pods_of(site, namespace).keys()) == 5


def evictions(site: Playground, process: str) -> dict[str, Any]:
    """Return the state of healing in a process."""
    found: dict[str, Any] = json.loads(site.installation.processes[process].get("/status")[1])["evictions"]
    return found


def test_the_guard_lets_only_sync_evict_exactly_one_pod_where_a_pull_secret_applies(healing: Playground) -> None:
    selected, other = healing.namespace(selected=True), healing.namespace(selected=False)
    uid = healing.create(selected, "pods", pod("web"))["metadata"]["uid"]
    healing.create(other, "pods", pod("web"))
    thief = Impostor.of(healing, "sync")
    exact = {"preconditions": {"uid": uid, "resourceVersion": "1"}}

    def evict(namespace: str, options: Mapping[str, Any], query: str = "") -> str:
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web", "namespace": namespace}}
        path = f"/api/v1/namespaces/{namespace}/pods/web/eviction{query}"
        return thief.api.request("POST", path, {**body, "deleteOptions": options}).text

    refusal = "only in a namespace that a pull secret applies to"
    eventually(lambda: refusal in evict(other, exact, "?dryRun=All"))  # the API server learns of policies by watches
    assert refusal in evict(other, exact)
    assert "names the UID and the resourceVersion" in evict(selected, {"preconditions": {"uid": uid}})
    assert "with the time to end that it has itself" in evict(selected, {**exact, "gracePeriodSeconds": 0})
    assert "Conflict" in evict(selected, exact)  # the guard lets it pass


def test_a_refused_eviction_is_reported_and_made_when_it_is_allowed(healing: Playground) -> None:
    namespace = healing.namespace(selected=False, labels={"evictions": healing.installation.release})
    create_replica_set(healing, namespace, "web", 1)
    (name,) = get_stuck(healing, namespace)
    labels = {"evictions": healing.installation.release}
    with denying_policy(
        healing.cluster.api, f"{healing.installation.release}-no-evictions", labels, of="pods/eviction"
    ):
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction?dryRun=All"
        eventually(lambda: healing.cluster.api.request("POST", path, eviction).text, lambda text: "never" in text)
        healing.opt(namespace, "enabled")
        told = eventually(lambda: dict(healing.events(namespace)), lambda seen: "EvictionRefused" in seen)
        assert "denied request" in told["EvictionRefused"]
        ran = of_release(healing, "explain", f"pod/{name}", "-n", namespace, "-o", "json")
        (step,) = [each for each in json.loads(ran.out)["steps"] if each["gate"] == "healing"]
        assert step["reason"] == "healing-eviction-refused"
        assert "denied request" in step["why"]
        assert name in pods_of(healing, namespace)

    eventually(lambda: references(healing, namespace), lambda seen: seen == [True])


def test_a_budget_that_forbids_an_eviction_is_a_refusal_of_one_pod(healing: Playground) -> None:
    namespace, throttled = healing.namespace(selected=True), list[float]()
    made = healing.create(namespace, "pods", {**pod("web"), "metadata": {"name": "web", "labels": {"app": "stuck"}}})
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    version = healing.patch(namespace, "pods", "web/status", {"status": ready})["metadata"]["resourceVersion"]
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "stuck"}}}
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "all"}, "spec": spec}
    budgets = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    healing.cluster.api.call("POST", budgets, budget)
    eventually(lambda: healing.cluster.api.call("GET", f"{budgets}/all")["status"].get("currentHealthy") == 1)
    client = connect(healing.installation.sync_kubeconfig, on_throttled=throttled.append)

    with pytest.raises(Refused, match="disruption budget") as refused:
        client.evict(namespace, "web", uid=made["metadata"]["uid"], resource_version=version)

    assert refused.value.status == 429
    assert not refused.value.is_general
    assert throttled == []  # sync does not pause its other writes
    assert healing.get(namespace, "pods", "web") is not None
