"""The scope All on a real API server: each namespace is selected, unless it is excluded or opts out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import binaries
from tests.cluster.cluster import Cluster
from tests.integration.site.commands import of_release
from tests.integration.site.playground import COPY, Playground, eventually, names, pod, service_account

EXAMPLES = Path(__file__).parents[2] / "examples"
OF_KUBERNETES = ("kube-system", "kube-public", "kube-node-lease")


@pytest.fixture(scope="module")
def everywhere(control_plane: binaries.Binaries) -> Iterator[Playground]:  # noqa: ARG001 (built before it is started)
    """An installation on a cluster of its own: in a shared one it would write into the namespaces of other tests."""
    with (
        Cluster.start() as cluster,
        Playground.make(cluster, optIn={"scope": "All"}, excludedNamespaces=["infra", "closed-*"]) as playground,
    ):
        playground.label = "pullsecrets.webhook/inject"
        for name in ("infra", "closed-a"):
            cluster.create_namespace(name, {playground.label: "enabled"})
        playground.set_source("first")
        playground.start()
        playground.await_selected("default", "first")
        playground.await_injection("default")
        yield playground


def injected(ours: Playground, namespace: str) -> bool:
    """Return whether a new Pod gets the reference, although its ServiceAccount may have none."""
    spec = ours.create(namespace, "pods", pod("probe", serviceAccountName="bare"), "?dryRun=All")["spec"]
    return COPY in names(spec)


def untouched(ours: Playground, namespace: str) -> bool:
    ours.create(namespace, "serviceaccounts", service_account("bare"))
    eventually(lambda: ours.get(namespace, "serviceaccounts", "bare"))
    copy, account = ours.get(namespace, "secrets", COPY), ours.references(namespace, "bare")
    return copy is None and account == [] and not injected(ours, namespace)


@pytest.mark.parametrize("namespace", [*OF_KUBERNETES, "infra", "closed-a"])
def test_excluded_namespaces_are_left_alone(everywhere: Playground, namespace: str) -> None:
    # A namespace that was created later has its copy, so this one has had its turn.
    everywhere.await_selected(everywhere.namespace(selected=False), "first")
    assert untouched(everywhere, namespace)


def test_a_namespace_without_a_label_is_selected_and_one_that_opts_out_is_not(everywhere: Playground) -> None:
    team = everywhere.namespace(selected=False)
    everywhere.await_selected(team, "first")
    everywhere.create(team, "serviceaccounts", service_account("bare"))
    eventually(lambda: injected(everywhere, team))

    everywhere.opt(team, "disabled")
    everywhere.await_left(team)
    everywhere.delete(team, "serviceaccounts", "bare")
    eventually(lambda: not injected_anyhow(everywhere, team))
    everywhere.opt(team, None)
    everywhere.await_selected(team, "first")


def injected_anyhow(ours: Playground, namespace: str) -> bool:
    """Return whether a new ServiceAccount gets the reference: the API server follows labels by a watch of its own."""
    return COPY in names(ours.create(namespace, "serviceaccounts", service_account("probe"), "?dryRun=All"))


def test_the_commands_know_the_scope(everywhere: Playground) -> None:
    out, team = everywhere.namespace(selected=False), everywhere.namespace(selected=False)
    for namespace in (out, team):  # else a copy may still come to the one that opts out, and then go
        everywhere.await_selected(namespace, "first")
    everywhere.opt(out, "disabled")
    everywhere.await_left(out)

    ran = eventually(lambda: of_release(everywhere, "plan", "-A"), lambda seen: seen.code == 0)
    assert "namespaces are as they should be" in ran.err
    ran = of_release(everywhere, "plan", f"--label=ns/{out}", f"--unlabel=ns/{team}", "-o", "json")
    effects = {(row["namespace"], row["effect"]) for row in json.loads(ran.out)["rows"]}
    assert {(out, "create"), (team, "delete")} <= effects
    ran = of_release(everywhere, "explain", f"ns/{out}")
    assert "opts out by its label pullsecrets.webhook/inject=disabled" in " ".join(ran.out.split())
    assert f"kubectl label namespace {out} pullsecrets.webhook/inject-" in ran.out
    eventually(lambda: findings(everywhere), lambda found: not found)  # a leader may just be late with its Lease


def findings(ours: Playground) -> set[tuple[str, str]]:
    """Return code and detail of what ``check`` finds."""
    ran = of_release(ours, "check", f"--release-namespace={ours.installation.namespace}", "-o", "json")
    return {(each["code"], each["detail"]) for each in json.loads(ran.out)["checks"] if each["result"] == "finding"}


def test_the_policy_of_the_examples_labels_new_namespaces_that_have_no_label(everywhere: Playground) -> None:
    cluster = everywhere.cluster
    if not cluster.api.answers("/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies"):
        pytest.skip("this API server has no MutatingAdmissionPolicy: it came to v1 in Kubernetes 1.36")

    def label_of(name: str, labels: dict[str, str] | None = None) -> str | None:
        body = {"metadata": {"name": name, "labels": labels or {}}}
        made = cluster.api.call("POST", "/api/v1/namespaces?dryRun=All", body)
        value: str | None = made["metadata"]["labels"].get(everywhere.label)
        return value

    cluster.kubectl("apply", "-f", str(EXAMPLES / "labelling.yaml"))
    try:
        eventually(lambda: label_of("team-z"), lambda value: value == "enabled")
        assert label_of("team-z", {everywhere.label: "disabled"}) == "disabled"
        assert label_of("openshift-dns") is None
    finally:
        cluster.kubectl("delete", "-f", str(EXAMPLES / "labelling.yaml"))


def test_a_label_that_was_meant_to_opt_out_is_found(everywhere: Playground) -> None:
    team = everywhere.namespace(selected=False, labels={everywhere.label: "disable"})
    everywhere.await_selected(team, "first")
    ran = of_release(everywhere, "check", f"--release-namespace={everywhere.installation.namespace}", "-o", "json")
    (found,) = [each for each in json.loads(ran.out)["checks"] if each["code"] == "PSW031" and team in each["detail"]]
    assert "was pullsecrets.webhook/inject=disabled meant?" in found["detail"]
    everywhere.opt(team, None)
