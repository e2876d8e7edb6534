"""``pullsecrets explain`` on a real API server: as cluster-admin, and as somebody who may read little."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.integration.conftest import FIRST_PASSWORD
from tests.integration.site.commands import of_release, run
from tests.integration.site.playground import (
    COPY,
    SOURCE,
    Playground,
    dockerconfigjson,
    eventually,
    pod,
    service_account,
)
from tests.integration.site.rights import await_right
from tests.integration.test_waiting import NAMESPACES, taken


def explained(playground: Playground, target: str, namespace: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - as run
    """Return the explanation as JSON, having seen that the exit code says the same."""
    ran = of_release(playground, "explain", target, "-n", namespace, "-o", "json", **options)
    assert ran.code in (0, 1), ran.err
    document: dict[str, Any] = json.loads(ran.out)
    assert ran.code == (0 if document["stoppedBy"] is None else 1)
    return document


def results(document: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    return {step["gate"]: (step["result"], step["reason"]) for step in document["steps"]}


@pytest.fixture(scope="module")
def team(shared: Playground) -> str:
    """A selected namespace in which everything is as it should be."""
    name = shared.namespace(selected=True)
    shared.await_selected(name, FIRST_PASSWORD)
    shared.await_injection(name)
    return name


def test_a_pod_that_was_given_its_reference_passes_every_gate(shared: Playground, team: str) -> None:
    shared.create(team, "pods", pod("web"))
    found = explained(shared, "pod/web", team)
    assert {result for result, _ in results(found).values()} == {"pass"}
    assert results(found)["reference"] == ("pass", "already-present")
    assert results(found)["copy"] == ("pass", "copy-current")
    assert list(results(found))[:2] == ["webhook registered", "webhook reachable"]
    assert list(results(found))[-1] == "images"


def test_the_cause_is_named_where_sync_cannot_write(ours: Playground) -> None:
    sync = ours.start_sync("first")
    team = ours.namespace(selected=False)
    ours.forbid_secrets(team, "none")
    ours.opt(team, "enabled")

    def step(gate: str) -> dict[str, Any]:
        return next(each for each in explained(ours, f"ns/{team}", team)["steps"] if each["gate"] == gate)

    found = eventually(lambda: step("copy"), lambda seen: "quota" in seen["why"])
    assert found["reason"] == "copy-due"
    assert found["advice"] == f"kubectl -n {team} describe resourcequota"
    eventually(lambda: step("ServiceAccounts"), lambda seen: "quota" in seen["why"])
    assert sync.stop() == 0
    found = step("copy")
    assert "no replica of sync holds the Lease" in found["why"]
    assert "within seconds" not in found["advice"]


def test_an_old_refusal_is_no_cause_once_the_copy_was_written(ours: Playground) -> None:
    sync = ours.start_sync("first")
    team = ours.namespace(selected=False)
    ours.forbid_secrets(team, "none")
    ours.opt(team, "enabled")
    eventually(lambda: dict(ours.events(team)), lambda seen: "CopyDenied" in seen)
    assert regarding(ours, team, "CopyDenied") == {("Secret", COPY)}
    ours.delete(team, "resourcequotas", "none")
    ours.await_selected(team, "first")

    # While sync is suspended, its Lease is valid for some seconds more: it leads, and the copy is due.
    sync.program.signal(signal.SIGSTOP)
    try:
        ours.patch(team, "secrets", COPY, {"data": dockerconfigjson("of somebody else")})
        steps = explained(ours, f"ns/{team}", team)["steps"]
    finally:
        sync.program.signal(signal.SIGCONT)
    step = next(each for each in steps if each["gate"] == "copy")
    assert step["reason"] == "copy-due"
    assert "quota" not in step["why"]
    assert "CopyDenied" not in step["advice"]


def test_what_stops_all_of_sync_is_named_in_each_namespace(ours: Playground) -> None:
    ours.set_source("first")
    with taken(ours, NAMESPACES):
        ours.installation.start_sync()
        team = ours.namespace(selected=True)
        told = eventually(lambda: dict(ours.events(ours.installation.namespace)), lambda seen: "WatchForbidden" in seen)
        assert "namespaces" in told["WatchForbidden"]

        def copy_step() -> dict[str, Any]:
            return next(each for each in explained(ours, f"ns/{team}", team)["steps"] if each["gate"] == "copy")

        # The Event may come before the Lease, and until then nobody leads.
        step = eventually(copy_step, lambda seen: "does not let namespaces be watched" in seen["why"])
    assert step["advice"].endswith(f"-n {ours.installation.namespace} --field-selector reason=WatchForbidden")


def test_an_object_that_does_not_exist_is_one_sentence(shared: Playground, team: str) -> None:
    absent = of_release(shared, "explain", "pod/absent", "-n", team)
    assert absent.err == (
        f"error: Pod absent does not exist in namespace {team}; choose another with -n, or list them: "
        f"kubectl get pods -n {team}\n"
    )


# All objects of a kind


def test_all_objects_of_a_kind_are_explained_and_the_one_without_its_reference_comes_first(shared: Playground) -> None:
    namespace = shared.namespace(selected=False)
    old = pod("old")
    old["metadata"]["labels"] = {"app": "api"}
    shared.create(namespace, "pods", old)
    shared.opt(namespace, "enabled")
    shared.await_selected(namespace, FIRST_PASSWORD)
    shared.await_injection(namespace)
    new = pod("new")
    new["metadata"]["labels"] = {"app": "api"}
    shared.create(namespace, "pods", new)
    shared.create(namespace, "pods", pod("another"))

    ran = of_release(shared, "explain", "pods", "-l", "app=api", "-n", namespace)
    assert ran.code == 1, ran.err
    assert [line.split()[:2] for line in ran.out.splitlines()] == [
        ["STOP", "pod-without-reference:"],
        ["PASS:", "Pod/new"],
    ]
    assert ran.err.splitlines()[-1] == "1 of 2 Pods needs attention: 1 STOP, 1 PASS"
    names = of_release(shared, "explain", "pods", "-n", namespace, "-o", "name")
    assert (names.code, names.out) == (1, "pod/old\n")
    documents = json.loads(of_release(shared, "explain", "pods", "-A", "-l", "app=api", "-o", "json").out)
    assert [each["object"] for each in documents if each["namespace"] == namespace] == ["Pod/old", "Pod/new"]


def test_all_service_accounts_and_namespaces_of_the_cluster_are_explained(shared: Playground, team: str) -> None:
    for kind in ("sa", "ns"):
        ran = of_release(shared, "explain", kind, "-A", "-o", "json")
        documents = json.loads(ran.out)
        assert ran.code == any(each["result"] == "stop" for each in documents), ran.err
        results = {each["namespace"]: each["result"] for each in documents}
        assert (results[team], results["kube-system"]) == ("pass", "skip")
        alone = of_release(shared, "explain", f"ns/{team}" if kind == "ns" else "sa/default", "-n", team, "-o", "json")
        assert json.loads(alone.out) in documents


def regarding(ours: Playground, namespace: str, reason: str) -> set[tuple[str, str]]:
    """Return kind and name of the objects that Events of a reason are about."""
    events = ours.cluster.api.call("GET", f"/api/v1/namespaces/{namespace}/events")["items"]
    found = (event["involvedObject"] for event in events if event["reason"] == reason)
    return {(each["kind"], each["name"]) for each in found}


# With few rights


@pytest.fixture(scope="module")
def tenant(cluster: Cluster, shared: Playground, team: str) -> Path:
    """A kubeconfig of somebody who may see the namespace team, and nothing of the release."""
    user = f"tenant-{team}"
    rules = {
        f"{user}-namespaces": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}],
        f"{user}-view": [
            {"apiGroups": [""], "resources": ["pods", "serviceaccounts"], "verbs": ["get", "list"]},
        ],
    }
    documents: list[dict[str, Any]] = []
    group = "rbac.authorization.k8s.io"
    subject = {"apiGroup": group, "kind": "User", "name": user}
    for name, rule in rules.items():
        role = {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rule}
        documents.append(role)
        binding = {"roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name}, "subjects": [subject]}
        metadata = {"name": name, "namespace": team}
        documents.append({"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": metadata, **binding})
    shared.cluster.kubectl(
        "apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
    )
    await_right(cluster, user, "get", "namespaces", namespace=team, name=team)
    await_right(cluster, user, "list", "pods", namespace=team)
    return cluster.kubeconfig_with_client_certificate(user)


def test_who_may_not_see_the_release_is_told_what_to_give(tenant: Path, team: str) -> None:
    ran = run(tenant, "explain", "pod/web", "-n", team)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "error: no release of pull-secret-webhook was found in this cluster, because you lack the right to list "
        "mutatingwebhookconfigurations: name it with --release and --release-namespace, and give a configuration "
        "with --config, if the command has this flag\n"
    )


def test_what_may_not_be_read_is_left_open_and_the_rest_is_explained(
    shared: Playground, tenant: Path, team: str
) -> None:
    installation = shared.installation
    shared.create(team, "serviceaccounts", service_account("watched"))
    given = (f"--release-namespace={installation.namespace}", f"--config={installation.configuration_file}")
    ran = of_release(shared, "explain", "sa/watched", "-n", team, *given, "-o", "json", kubeconfig=tenant)

    assert ran.code == 0, ran.err
    found = results(json.loads(ran.out))
    assert found["reference"] == ("pass", "already-present")
    assert found["copy"] == ("unknown", "copy-not-seen")
    assert found["webhook registered"] == ("pass", None)  # the chart's reader may get it by name
    assert f"warning: you lack the right to get secrets/{COPY} in namespace {team}; " in ran.err
    assert f"warning: you lack the right to get secrets/{SOURCE} in namespace {installation.namespace}; " in ran.err
    # Nothing is due here, so the rights to the Lease and the Events do not matter.
    assert "leases" not in ran.err
    assert "events" not in ran.err
