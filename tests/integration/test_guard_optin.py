"""The policy that makes the opt-in label a right of its own, on a real API server: for and against."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.api import Answer
from tests.cluster.cluster import Cluster
from tests.integration.policies.guarding import refused, stored
from tests.integration.site.playground import Playground, eventually


@pytest.fixture(scope="module")
def reserving(cluster: Cluster) -> Iterator[Playground]:
    """An installation that reserves its label, two people who may edit namespaces, and one who may opt in as well."""
    with Playground.make(cluster, guard={"reserveOptIn": True}) as playground:
        namespace = playground.installation.namespace
        edit = {
            "apiGroups": [""],
            "resources": ["namespaces", "namespaces/status"],
            "verbs": ["create", "get", "patch"],
        }
        opt_in = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["opt-in"]}
        for person, rules in (("tenant", [edit]), ("platform", [edit, opt_in])):
            name = f"{playground.installation.release}-{person}"
            playground.apply(namespace, "ServiceAccount", person, {})
            subject = {"kind": "ServiceAccount", "name": person, "namespace": namespace}
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
            rbac(playground, "ClusterRole", name, {"rules": rules})
            rbac(playground, "ClusterRoleBinding", name, {"roleRef": reference, "subjects": [subject]})
        editor = cluster.api_as("tenant", namespace)
        body = {"metadata": {"name": "x", "labels": {playground.label: "enabled"}}}
        eventually(lambda: "opt-in" in editor.request("POST", "/api/v1/namespaces?dryRun=All", body).text)
        opting = cluster.api_as("platform", namespace)
        eventually(lambda: opting.request("POST", "/api/v1/namespaces?dryRun=All", body).status == 201)
        yield playground
        for person in ("tenant", "platform"):
            name = f"{playground.installation.release}-{person}"
            for kind in ("clusterrolebinding", "clusterrole"):
                cluster.kubectl("delete", kind, name)


def rbac(playground: Playground, kind: str, name: str, body: dict[str, Any]) -> None:
    group = "rbac.authorization.k8s.io/v1"
    whole = {"apiVersion": group, "kind": kind, "metadata": {"name": name}, **body}
    playground.cluster.api.call("POST", f"/apis/{group}/{kind.lower()}s", whole)


def label(playground: Playground, person: str, namespace: str, value: str | None, subresource: str = "") -> Answer:
    api = playground.cluster.api_as(person, playground.installation.namespace)
    body = {"metadata": {"labels": {playground.label: value}}}
    return api.request("PATCH", f"/api/v1/namespaces/{namespace}{subresource}", body, "application/merge-patch+json")


def test_who_may_opt_in_sets_changes_and_removes_the_label(reserving: Playground) -> None:
    namespace = reserving.namespace(selected=False)
    for value in ("enabled", "disabled", None):
        stored(label(reserving, "platform", namespace, value))


def test_who_may_only_edit_the_namespace_may_not(reserving: Playground) -> None:
    outside, inside = reserving.namespace(selected=False), reserving.namespace(selected=True)
    for namespace, value in ((outside, "enabled"), (inside, None), (inside, "x")):
        for subresource in ("", "/status"):
            answer = label(reserving, "tenant", namespace, value, subresource)
            refused(answer, f"the right to opt-in namespaces/{namespace}")
            assert f"serviceaccount:{reserving.installation.namespace}:tenant lacks it" in answer.json()["message"]
    api = reserving.cluster.api_as("tenant", reserving.installation.namespace)
    body = {"metadata": {"name": f"t-{uuid.uuid4().hex[:8]}", "labels": {reserving.label: "enabled"}}}
    refused(api.request("POST", "/api/v1/namespaces", body), "the right to opt-in")


@pytest.fixture
def granted(reserving: Playground) -> Iterator[Callable[..., None]]:
    """Give the tenant every right on Namespace objects that a binding of this kind can give, for one test."""
    undo: list[list[str]] = []

    def grant(kind: str, where: str, rule: dict[str, Any]) -> None:
        name = f"extra-{uuid.uuid4().hex[:8]}"
        subject = {"kind": "ServiceAccount", "name": "tenant", "namespace": reserving.installation.namespace}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        at = f"namespaces/{where}/" if kind == "Role" else ""
        whole = {"apiGroups": [""], "resources": ["namespaces"], **rule}
        for plural, body in (
            (f"{kind.lower()}s", {"rules": [whole]}),
            (f"{kind.lower()}bindings", {"roleRef": reference, "subjects": [subject]}),
        ):
            path = f"/apis/rbac.authorization.k8s.io/v1/{at}{plural}"
            reserving.cluster.api.call("POST", path, {"metadata": {"name": name}, **body})
            undo.append([plural, name, f"--namespace={where}"])

    yield grant
    for each in undo:
        reserving.cluster.kubectl("delete", *each)


def test_the_verb_can_be_given_for_one_namespace_by_its_name(
    reserving: Playground, granted: Callable[..., None]
) -> None:
    mine, other = reserving.namespace(selected=False), reserving.namespace(selected=False)
    granted("ClusterRole", mine, {"verbs": ["opt-in"], "resourceNames": [mine]})
    eventually(lambda: label(reserving, "tenant", mine, "enabled").status == 200)
    refused(label(reserving, "tenant", other, "enabled"), f"opt-in namespaces/{other}")


def test_who_administers_a_namespace_cannot_give_it_to_himself(
    reserving: Playground, granted: Callable[..., None]
) -> None:
    mine = reserving.namespace(selected=False)
    granted("Role", mine, {"verbs": ["*"]})
    identity = f"--as=system:serviceaccount:{reserving.installation.namespace}:tenant"
    question = ["auth", "can-i", "opt-in", f"namespaces/{mine}", identity, f"--namespace={mine}"]
    eventually(lambda: reserving.cluster.kubectl(*question, check=False).strip() == "yes")
    refused(label(reserving, "tenant", mine, "enabled"), f"opt-in namespaces/{mine}")


def test_everything_else_of_a_namespace_is_as_free_as_before(reserving: Playground) -> None:
    namespace = reserving.namespace(selected=True)
    api = reserving.cluster.api_as("tenant", reserving.installation.namespace)
    body = {"metadata": {"labels": {"team": "a"}, "annotations": {"x": "y"}}}
    stored(api.request("PATCH", f"/api/v1/namespaces/{namespace}", body, "application/merge-patch+json"))
    stored(api.request("POST", "/api/v1/namespaces", {"metadata": {"name": f"t-{uuid.uuid4().hex[:8]}"}}))


def test_a_namespace_with_the_label_can_still_be_deleted(reserving: Playground, cluster: Cluster) -> None:
    namespace = reserving.namespace(selected=True)
    cluster.delete_namespace(namespace)
    eventually(lambda: cluster.api.request("GET", f"/api/v1/namespaces/{namespace}").status == 404)
