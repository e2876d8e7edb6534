"""Situations in which people ask why: one command names the cause and the next command, in at most 12 lines."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import FIRST_PASSWORD
from tests.integration.site.commands import of_release, run
from tests.integration.site.playground import (
    COPY,
    REGISTRY,
    Playground,
    dockerconfigjson,
    eventually,
    pod,
    service_account,
)

COLUMNS, LINES = 80, 12
TYPE = "kubernetes.io/dockerconfigjson"


def lines_at(text: str, columns: int = COLUMNS) -> int:
    return sum(max(1, math.ceil(len(line) / columns)) for line in text.splitlines())


def why(playground: Playground, *arguments: str, says: tuple[str, ...], code: int = 1) -> None:
    """Run a command, and look for the cause and the next command in a short answer."""

    def answer() -> str:
        ran = of_release(playground, *arguments)
        return f"{ran.code}\n{ran.out}{ran.err}"

    text = eventually(answer, lambda seen: all(word in seen for word in says) and seen.startswith(f"{code}\n"))
    assert lines_at(text.partition("\n")[2]) <= LINES, text


@pytest.fixture(scope="module")
def team(shared: Playground) -> str:
    """A selected namespace in which everything is as it should be."""
    name = shared.namespace(selected=True)
    shared.await_selected(name, FIRST_PASSWORD)
    return name


# Labels of a namespace or an object


def test_a_healthy_pod_is_one_line(shared: Playground, team: str) -> None:
    shared.create(team, "pods", pod("healthy"))
    ran = of_release(shared, "explain", "pod", "healthy", "-n", team)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"PASS: Pod/healthy in namespace {team}: everything is in place\n"


@pytest.mark.parametrize("value", ["true", "Enabled"])
def test_a_wrong_value_of_the_label_is_named(shared: Playground, value: str) -> None:
    name = shared.namespace(selected=False, labels={shared.label: value})
    command = f"kubectl label namespace {name} {shared.label}=enabled --overwrite"
    why(shared, "explain", "ns", name, says=("SKIP namespace-not-opted-in", f"{shared.label}={value}", command))


def test_a_mistyped_key_of_the_label_is_named_and_taken_away(shared: Playground) -> None:
    typed = shared.label.replace("inject", "injekt")
    name = shared.namespace(selected=False, labels={typed: "enabled"})
    command = f"kubectl label namespace {name} {shared.label}=enabled {typed}-"
    why(shared, "explain", f"ns/{name}", says=("namespace-not-opted-in", "typing error", f"Next: {command}"))


def test_a_label_on_the_pod_belongs_on_the_namespace(shared: Playground) -> None:
    name = shared.namespace(selected=False)
    labelled = pod("web")
    labelled["metadata"]["labels"] = {shared.label: "enabled"}
    shared.create(name, "pods", labelled)
    command = f"kubectl label namespace {name} {shared.label}=enabled"
    says = ("namespace-not-opted-in", "it belongs on the namespace", command)
    why(shared, "explain", "po/web", "-n", name, says=says)


def test_an_excluded_namespace_that_has_the_label(shared: Playground) -> None:
    where = shared.installation.namespace
    says = ("SKIP namespace-excluded", f"kubectl -n {where} get configmap {shared.installation.fullname}")
    why(shared, "explain", f"ns/{where}", says=says)


def test_pods_that_are_older_than_the_label(shared: Playground) -> None:
    name = shared.namespace(selected=False)
    labels = {"app": "api"}
    template = {"metadata": {"labels": labels}, "spec": pod("")["spec"]}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "api"},
        "spec": {"replicas": 3, "selector": {"matchLabels": labels}, "template": template},
    }
    shared.cluster.api.call("POST", f"/apis/apps/v1/namespaces/{name}/deployments", deployment)
    shared.create(name, "pods", pod("bare"))

    def pods() -> list[str]:
        found = shared.cluster.api.call("GET", f"/api/v1/namespaces/{name}/pods?labelSelector=app%3Dapi")["items"]
        return [each["metadata"]["name"] for each in found]

    owned = eventually(pods, lambda seen: len(seen) == 3)
    shared.opt(name, "enabled")
    shared.await_selected(name, FIRST_PASSWORD)
    restart = f"Next: kubectl -n {name} rollout restart deployment/api"
    why(shared, "explain", "deploy/api", "-n", name, says=("STOP pod-without-reference", "3 Pods run without", restart))
    why(shared, "explain", "pod", owned[0], "-n", name, says=("pod-without-reference", restart))
    why(shared, "explain", "pod", "bare", "-n", name, says=("pod-without-reference", "kubectl replace --force"))


def test_a_service_account_that_opted_out_and_its_pod(shared: Playground, team: str) -> None:
    out = service_account("out")
    out["metadata"]["labels"] = {shared.label: "disabled"}
    shared.create(team, "serviceaccounts", out)
    command = f"kubectl -n {team} label serviceaccount out {shared.label}-"
    why(shared, "explain", "sa", "out", "-n", team, says=("SKIP object-disabled", command))
    shared.create(team, "pods", pod("of-out", serviceAccountName="out"))
    why(shared, "explain", "pod", "of-out", "-n", team, says=("PASS",), code=0)


def test_an_image_of_another_registry(shared: Playground, team: str) -> None:
    shared.create(team, "pods", pod("other", image="other.example.net/app"))
    says = ("STOP registry-not-covered", "other.example.net/app", f"it has {REGISTRY}", "Next: ")
    why(shared, "explain", "pod/other", "-n", team, says=says)


def test_a_typing_error_in_a_registry(shared: Playground, team: str) -> None:
    shared.create(team, "pods", pod("typo", image="registry.exmaple.com/app"))
    says = ("STOP registry-not-covered", f"did you mean {REGISTRY}?")
    why(shared, "explain", "pod/typo", "-n", team, says=says)


def test_a_foreign_secret_in_the_place_of_the_copy(shared: Playground) -> None:
    name = shared.namespace(selected=False)
    shared.apply(name, "Secret", COPY, {"stringData": {"theirs": "value"}})
    shared.opt(name, "enabled")
    says = ("STOP copy-conflict", f"kubectl -n {name} delete secret {COPY}")
    why(shared, "explain", f"ns/{name}", says=says)
    why(shared, "explain", "sa/default", "-n", name, says=says)


def test_a_quota_that_refuses_the_copy(shared: Playground) -> None:
    name = shared.namespace(selected=False)
    shared.forbid_secrets(name)
    shared.opt(name, "enabled")
    says = ("STOP copy-due", "quota", f"Next: kubectl get events -n {name} --field-selector reason=CopyDenied")
    why(shared, "explain", f"ns/{name}", says=says)


# Sources


def opaque(registries: dict[str, Any]) -> dict[str, Any]:
    return {"data": {".dockerconfigjson": b64encode(json.dumps(registries).encode()).decode()}}


def test_sources_that_cannot_be_copied_and_one_that_is_missed_later(playground: Callable[..., Playground]) -> None:
    source = "only-here"
    ours = playground(pullSecrets=[{"name": COPY, "sources": [{"secretName": source}]}])
    sync = ours.installation.start_sync()
    sync.wait_ready()
    where, team = ours.installation.namespace, ours.namespace(selected=True)
    create = f"Next: kubectl -n {where} create secret docker-registry {source}"
    why(ours, "explain", f"ns/{team}", says=("STOP source-absent", create))

    elsewhere = ours.namespace(selected=False)
    ours.apply(elsewhere, "Secret", source, {"type": TYPE, "data": dockerconfigjson("first")})
    moved = ("STOP source-absent", f"in namespace {elsewhere}", f"Next: kubectl -n {elsewhere} get secret {source}")
    why(ours, "explain", f"ns/{team}", says=moved)

    ours.apply(where, "Secret", source, opaque({"auths": {}}))
    delete = f"Next: kubectl -n {where} delete secret {source} && kubectl -n {where} create secret docker-registry"
    why(ours, "explain", f"ns/{team}", says=("STOP source-type-unsupported", delete))
    ours.delete(where, "secrets", source)

    ours.apply(where, "Secret", source, {"type": TYPE, **opaque({"credHelpers": {REGISTRY: "ecr-login"}})})
    says = ("STOP source-auths-invalid", f"kubectl -n {where} create secret docker-registry {source}")
    why(ours, "explain", f"ns/{team}", says=says)
    ours.delete(where, "secrets", source)

    ours.set_source("first", source)
    ours.await_selected(team, "first")
    ours.delete(where, "secrets", source)
    why(ours, "explain", f"ns/{team}", says=("NOTE copy-kept", f"kubectl -n {elsewhere} get secret {source}"), code=0)
    ours.set_source("first", source)
    why(ours, "explain", f"ns/{team}", says=("PASS",), code=0)


# The installation


def test_parts_of_the_installation_that_are_gone(ours: Playground) -> None:
    ours.start_sync("first")
    installation, team = ours.installation, ours.namespace(selected=True)
    ours.await_selected(team, "first")
    path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{installation.fullname}"
    ours.cluster.api.call("DELETE", path)
    command = f"Next: helm get manifest {installation.release} -n {installation.namespace} | kubectl apply -f -"
    why(ours, "explain", "sa/default", "-n", team, says=("STOP webhook-not-registered", command))

    where = f"{installation.namespace}/{installation.fullname}"
    body = {"data": {"config.yaml": "apiVersion: pullsecrets.webhook/v1alpha1\nkind: Configuration\npullSecret: []\n"}}
    ours.patch(installation.namespace, "configmaps", installation.fullname, body)
    broken = (f"ConfigMap {where}", "pullSecret: unknown field", "docs/configuration.md")
    why(ours, "explain", "sa/default", "-n", team, says=broken, code=2)
    ours.delete(installation.namespace, "configmaps", installation.fullname)
    absent = (f"ConfigMap {where} of release {installation.release} does not exist", "helm upgrade")
    why(ours, "explain", "sa/default", "-n", team, says=absent, code=2)


# The person who asks


@pytest.fixture
def config(shared: Playground, tmp_path: Path) -> Callable[..., Path]:
    """Write a kubeconfig with changes to that of cluster-admin."""

    def write(old: str = "", new: str = "") -> Path:
        file = tmp_path / "config"
        file.write_text(shared.cluster.kubeconfig.read_text().replace(old, new) if old else "")
        return file

    return write


def test_connections_that_do_not_work_are_one_sentence(shared: Playground, config: Callable[..., Path]) -> None:
    server = shared.cluster.api.call("GET", "/api/v1/namespaces/default")["metadata"]["name"]
    assert server == "default"
    cases = [
        (config("127.0.0.1", "127.0.0.9"), (), "no answer from the API server"),
        (shared.cluster.kubeconfig, ("--context", "prod"), "choose with --context: "),
        (Path("/nowhere/config"), (), "it does not exist; give a readable file with --kubeconfig"),
    ]
    for kubeconfig, flags, words in cases:
        ran = run(kubeconfig, "explain", "ns/default", *flags)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert words in ran.err
        assert lines_at(ran.err) <= LINES


def test_a_person_without_rights_is_told_which_are_missing(shared: Playground) -> None:
    nobody = shared.cluster.kubeconfig_with_client_certificate("why-nobody")
    ran = of_release(shared, "explain", "ns/default", kubeconfig=nobody)
    assert (ran.code, ran.out) == (2, "")
    assert "you may not get namespace default" in ran.err
    assert "ask for that right" in ran.err
    assert lines_at(ran.err) <= LINES
