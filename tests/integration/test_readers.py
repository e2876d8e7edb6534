"""A user with the role `view` in one namespace: the commands answer, and no right on Secrets came with that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.install import Installation, install
from tests.integration.site.commands import Ran, run
from tests.integration.site.playground import eventually, own_label

RELEASE = "pull-secret-webhook"
VIEWER = "viewer-of-team-a"
SOURCE, COPY = "harbor", "registry-credentials"
LABEL = own_label()
"""`check` reports namespaces of other tests whose labels look like the default one."""
VALUES = {
    "optIn": {"label": LABEL},
    "pullSecrets": [{"name": COPY, "sources": [SOURCE]}],
    "retired": ["old-credentials"],
}


@pytest.fixture(scope="module")
def release(cluster: Cluster) -> Iterator[Installation]:
    with install(cluster, RELEASE, "readers-system", VALUES) as installation:
        eventually(lambda: all(allowed(cluster, "get", *one) for one in explained_by(installation)))
        yield installation


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Iterator[str]:
    """A namespace in which the viewer has `view`, and that has opted in."""
    name = "readers-team-a"
    cluster.create_namespace(name, {LABEL: "enabled"})
    cluster.kubectl("create", "rolebinding", "viewer", "--clusterrole=view", f"--user={VIEWER}", f"--namespace={name}")
    eventually(lambda: allowed(cluster, "get", "pods", name))
    yield name
    cluster.delete_namespace(name)


def allowed(cluster: Cluster, verb: str, resource: str, namespace: str, name: str = "", group: str = "") -> bool:
    """Return whether the API server lets the viewer do this; it learns of rights by watches."""
    groups = ["system:authenticated"]
    return cluster.may(VIEWER, verb, resource, groups, namespace=namespace, name=name, group=group)


def explained_by(release: Installation) -> list[tuple[str, str, str, str]]:
    """Return resource, namespace, name and group of the objects that explain needs."""
    return [
        ("mutatingwebhookconfigurations", "", release.fullname, "admissionregistration.k8s.io"),
        ("leases", release.namespace, release.lease, "coordination.k8s.io"),
        ("configmaps", release.namespace, release.fullname, ""),
    ]


def test_a_viewer_of_one_namespace_gets_no_right_on_secrets(cluster: Cluster, release: Installation, team: str) -> None:
    names = ["", COPY, "old-credentials", SOURCE, release.tls_secret, release.ca_secret, release.state_secret]
    verbs = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
    places = [team, release.namespace, "default", ""]
    found = [
        (verb, place, name)
        for verb in verbs
        for place in places
        for name in names
        if allowed(cluster, verb, "secrets", place, name)
    ]
    assert found == []
    assert allowed(cluster, "get", "pods", team)


def test_a_viewer_reads_the_three_objects_that_explain_needs_by_name_alone(
    cluster: Cluster, release: Installation
) -> None:
    group, kind = "admissionregistration.k8s.io", "mutatingwebhookconfigurations"
    assert all(allowed(cluster, "get", *one) for one in explained_by(release))
    for verb in ("list", "watch", "update", "patch", "delete"):
        assert not allowed(cluster, verb, kind, "", release.fullname, group)
        assert not allowed(cluster, verb, "configmaps", release.namespace, release.fullname)
    assert not allowed(cluster, "get", "configmaps", release.namespace, "kube-root-ca.crt")
    assert not allowed(cluster, "get", kind, "", "another", group)


def test_the_rights_are_part_of_view_edit_and_admin(cluster: Cluster, release: Installation) -> None:
    def rules(role: str) -> str:
        return json.dumps(cluster.api.call("GET", f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{role}")["rules"])

    assert eventually(lambda: all(release.fullname in rules(role) for role in ("view", "edit", "admin")))


@pytest.fixture(scope="module")
def viewer(cluster: Cluster, release: Installation, team: str) -> Path:
    """The kubeconfig of the viewer, in whose namespace the copy and a Pod are."""
    cluster.kubectl(
        "create", "secret", "docker-registry", SOURCE, f"--namespace={release.namespace}",
        "--docker-server=registry.example.com", "--docker-username=robot", "--docker-password=invented",
    )  # fmt: skip
    release.start_sync().wait_ready()
    release.start_serve().wait_ready()
    account = f"/api/v1/namespaces/{team}/serviceaccounts/default"
    eventually(lambda: COPY in str(cluster.api.call("GET", account).get("imagePullSecrets")))
    cluster.kubectl("run", "web", "--image=registry.example.com/team/web:1", f"--namespace={team}")
    return cluster.kubeconfig_with_client_certificate(VIEWER)


def answered(ran: Ran) -> str:
    """Return the output of a command that did not end with an error."""
    assert ran.code != 2, ran.err
    assert "Traceback" not in ran.err
    assert "invented" not in ran.out + ran.err
    return ran.out


def test_explain_answers_a_viewer_about_their_pod_without_a_flag_for_the_release(viewer: Path, team: str) -> None:
    out = answered(run(viewer, "explain", "pod/web", f"--namespace={team}"))
    assert COPY in out


def test_explain_answers_a_viewer_about_their_namespace(viewer: Path, team: str) -> None:
    ran = run(viewer, "explain", f"ns/{team}")
    assert COPY in answered(ran)
    assert f"you lack the right to get secrets/{COPY} in namespace {team}" in ran.out + ran.err


def test_plan_answers_a_viewer_about_their_namespace(viewer: Path, team: str) -> None:
    out = answered(run(viewer, "plan", f"--namespace={team}"))
    assert "web" in out


def test_coverage_answers_a_viewer_about_their_namespace(viewer: Path, team: str) -> None:
    out = answered(run(viewer, "coverage", f"--namespace={team}"))
    assert "registry.example.com/team/web:1" in out


@pytest.mark.parametrize("command", ["plan", "coverage"])
def test_what_a_viewer_may_not_see_is_refused_with_the_missing_right(viewer: Path, command: str) -> None:
    ran = run(viewer, command, "--namespace=kube-system")
    assert ran.code == 2
    assert "you lack the right to" in ran.err


def test_helm_test_checks_without_any_right_on_secrets(viewer: Path, release: Installation) -> None:
    """With the rights of its own identity: all that can be checked is in order, and Secrets are what it may not see."""
    assert viewer.exists()  # the release runs
    options = [f"--release={release.release}", f"--release-namespace={release.namespace}", "--wait"]
    ran = run(release.check_kubeconfig, "check", *options, "--allow-unknown", "-o", "json")
    assert ran.code == 0, ran.out + ran.err
    results = {each["code"]: each["result"] for each in json.loads(ran.out)["checks"]}
    assert results["PSW060"] == results["PSW030"] == results["PSW001"] == results["PSW080"] == "ok"
    assert run(release.check_kubeconfig, "check", *options).code == 2


def test_helm_test_fails_where_no_replica_leads(viewer: Path, release: Installation) -> None:
    assert viewer.exists()
    release.processes["sync"].kill()
    options = [f"--release={release.release}", f"--release-namespace={release.namespace}"]
    ran = eventually(
        lambda: run(release.check_kubeconfig, "check", *options, "--allow-unknown"), lambda ran: "PSW060" in ran.out
    )
    assert ran.code == 1
