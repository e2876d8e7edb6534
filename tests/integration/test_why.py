"""The situations in which people ask why: one command names the cause and the next command, in at most 12 lines.

Each situation is built on a real API server, and the answer is read on a terminal of 80 columns. :data:`SITUATIONS` has
all of them; a test names those that it builds with :func:`situation`.
"""

from __future__ import annotations

import json
import math
import re
import signal
import socket
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bench.filling import Filling
from tests.cluster import binaries
from tests.cluster.cluster import Cluster
from tests.cluster.processes import COMMAND, clean_environment
from tests.integration.conftest import FIRST_PASSWORD
from tests.integration.site.commands import Ran, of_release, on_a_terminal, run
from tests.integration.site.playground import (
    COPY,
    REGISTRY,
    SOURCE,
    Playground,
    dockerconfigjson,
    eventually,
    names,
    pod,
    service_account,
)

COLUMNS, LINES = 80, 12
_ERASED = re.compile(r"(?:[^\n]*\n)?[^\n]*\x1b\[1A\x1b\[2K|[^\n]*\x1b\[2K")
"""The text that a terminal has removed: a line that is erased, and the line above where the cursor goes up first."""
_CONTROL = re.compile(r"\x1b\[[?0-9]*[A-Za-z]")
TYPE = "kubernetes.io/dockerconfigjson"
NEXT = re.compile(r"(?:kubectl|helm|pullsecrets) [a-z-]+|--context|--kubeconfig")
"""The beginning of a command to paste, or the flag that is missing."""

SITUATIONS = (
    "no source yet",
    "source in another namespace",
    "source of type Opaque",
    "only credential helpers",
    "typing error in the registry of the source",
    "typing error in the label",
    "label on the Pod instead of the Namespace",
    "Pod older than the label",
    "ServiceAccount opted out, and its Pod",
    "image of another registry",
    "foreign Secret with the copy's name",
    "GitOps resets the list",
    "quota or policy refuses the copy",
    "name dropped without retired",
    "excluded namespace labelled",
    "webhook Pods down",
    "MutatingWebhookConfiguration deleted",
    "ConfigMap deleted or broken",
    "tenant with edit or view",
    "no kubeconfig, dead server, wrong DNS, bad token",
    "wrong context",
    "wrong flags",
    "2,018 namespaces",
    "80 columns, no colour, pipes, Ctrl-C",
    "cleanup with a wrong namespace",
    "source missing while every copy is good",
    "TLS Secret missing",
)


def situation(*names: str) -> pytest.MarkDecorator:
    """Mark a test with the situations that it builds."""
    assert set(names) <= set(SITUATIONS), names
    return pytest.mark.situation(*names)


def test_every_situation_has_a_test() -> None:
    marks = [mark for found in globals().values() if callable(found) for mark in getattr(found, "pytestmark", ())]
    built = {name for mark in marks if mark.name == "situation" for name in mark.args}
    assert len(SITUATIONS) == 27
    assert built == set(SITUATIONS)


def lines_at(text: str, columns: int = COLUMNS) -> int:
    """Return how many lines of a terminal a text has in the end, when a progress bar has been erased."""
    text = _CONTROL.sub("", _ERASED.sub("", text))
    return sum(max(1, math.ceil(len(line) / columns)) for line in text.splitlines())


def unfolded(text: str) -> str:
    """Return the text of a terminal with each sentence on one line."""
    return " ".join(text.replace(" \\\n", " ").split())


def answer(playground: Playground, *arguments: str, kubeconfig: Path | None = None) -> Ran:
    release = f"--release={playground.installation.release}"
    return on_a_terminal(kubeconfig or playground.cluster.kubeconfig, *arguments, release)


def message(
    playground: Playground,
    *arguments: str,
    says: tuple[str, ...],
    code: int = 1,
    kubeconfig: Path | None = None,
    first: Callable[[], object] = lambda: None,
) -> str:
    """Run a command, and look for the cause and the next command in a short answer; return it.

    ``first`` is done before each look, for what does not last.
    """

    def look() -> Ran:
        first()
        return answer(playground, *arguments, kubeconfig=kubeconfig)

    ran = eventually(
        look,
        lambda seen: seen.code == code and all(word in unfolded(seen.out) for word in says),
    )
    short(ran, has_next=code != 0)
    return ran.out


def short(ran: Ran, *, has_next: bool = True) -> None:
    text = ran.out + ran.err
    assert lines_at(text) <= LINES, text
    assert "Traceback" not in text
    assert not has_next or NEXT.search(text), text


def pasted(playground: Playground, text: str) -> None:
    """Run the next command of an answer, as a person pastes it."""
    command = next(line for line in text.splitlines() if line.startswith("Next: ")).removeprefix("Next: ")
    folder = playground.cluster.kubectl_path.parent
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin",
        "HOME": str(playground.cluster.directory),
        "KUBECONFIG": str(playground.cluster.kubeconfig),
    }
    done = subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.fixture(scope="module")
def team(shared: Playground) -> str:
    """A selected namespace in which everything is as it should be."""
    name = shared.namespace(selected=True)
    shared.await_selected(name, FIRST_PASSWORD)
    shared.await_injection(name)
    shared.await_reference_of_pods(name)
    return name


# Labels of a namespace or an object


def test_a_healthy_pod_is_one_line(shared: Playground, team: str) -> None:
    shared.create(team, "pods", pod("healthy"))
    ran = of_release(shared, "explain", "pod", "healthy", "-n", team)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"PASS: Pod/healthy in namespace {team}: everything is in place\n"


@situation("typing error in the label")
@pytest.mark.parametrize("value", ["true", "Enabled"])
def test_a_wrong_value_of_the_label_is_named(shared: Playground, value: str) -> None:
    name = shared.namespace(selected=False, labels={shared.label: value})
    command = f"kubectl label namespace {name} {shared.label}=enabled --overwrite"
    message(shared, "explain", "ns", name, says=("SKIP namespace-not-opted-in", f"{shared.label}={value}", command))


@situation("typing error in the label")
def test_a_mistyped_key_of_the_label_is_named_and_taken_away(shared: Playground) -> None:
    typed = shared.label.replace("inject", "injekt")
    name = shared.namespace(selected=False, labels={typed: "enabled"})
    command = f"kubectl label namespace {name} {shared.label}=enabled {typed}-"
    message(shared, "explain", f"ns/{name}", says=("namespace-not-opted-in", "typing error", f"Next: {command}"))


@situation("typing error in the label")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pullsecret.webhook/inject", "enabled"),
        ("pull-secrets.webhook/inject", "true"),
        ("pullsecrets.webhook/enabled", "true"),
        ("pullsecrets.webhook/inject", "enable"),
        ("inject", "enabled"),
    ],
)
def test_typing_errors_of_the_default_label_are_named(shared: Playground, tmp_path: Path, key: str, value: str) -> None:
    default = "pullsecrets.webhook/inject"
    configuration = {"pullSecrets": [{"name": COPY, "sources": [{"secretName": SOURCE}]}]}
    head = {"apiVersion": "pullsecrets.webhook/v1alpha1", "kind": "Configuration"}
    file = tmp_path / "configuration.yaml"
    file.write_text(json.dumps({**head, **configuration}))
    name = shared.namespace(selected=False, labels={key: value})
    correction = "--overwrite" if key == default else f"{key}-"
    command = f"kubectl label namespace {name} {default}=enabled {correction}"
    says = ("namespace-not-opted-in", f"{key}={value}", f"Next: {command}")
    message(shared, "explain", f"ns/{name}", "--config", str(file), says=says)


@situation("label on the Pod instead of the Namespace")
def test_a_label_on_the_pod_belongs_on_the_namespace(shared: Playground) -> None:
    name = shared.namespace(selected=False)
    labelled = pod("web")
    labelled["metadata"]["labels"] = {shared.label: "enabled"}
    shared.create(name, "pods", labelled)
    command = f"kubectl label namespace {name} {shared.label}=enabled"
    says = ("namespace-not-opted-in", "it belongs on the namespace", command)
    message(shared, "explain", "po/web", "-n", name, says=says)


@situation("excluded namespace labelled")
def test_an_excluded_namespace_that_has_the_label(shared: Playground) -> None:
    where = shared.installation.namespace
    shared.opt(where, "enabled")
    command = f"Next: kubectl label namespace {where} {shared.label}-"
    says = ("SKIP namespace-excluded", "the release namespace", "its opt-in label has no effect", command)
    message(shared, "explain", f"ns/{where}", says=says)


@situation("Pod older than the label")
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
    message(
        shared,
        "explain",
        "deploy/api",
        "-n",
        name,
        says=("STOP pod-without-reference", "3 Pods lack the reference", restart),
    )
    message(shared, "explain", "pod", owned[0], "-n", name, says=("pod-without-reference", restart))
    message(shared, "explain", "pod", "bare", "-n", name, says=("pod-without-reference", "kubectl replace --force"))


@situation("ServiceAccount opted out, and its Pod")
def test_a_service_account_that_opted_out_and_its_pod(shared: Playground, team: str) -> None:
    out = service_account("out")
    out["metadata"]["labels"] = {shared.label: "disabled"}
    shared.create(team, "serviceaccounts", out)
    command = f"kubectl -n {team} label serviceaccount out {shared.label}-"
    message(shared, "explain", "sa", "out", "-n", team, says=("SKIP object-disabled", command))
    shared.create(team, "pods", pod("of-out", serviceAccountName="out"))
    message(shared, "explain", "pod", "of-out", "-n", team, says=("PASS",), code=0)


@situation("image of another registry")
def test_an_image_of_another_registry(shared: Playground, team: str) -> None:
    shared.create(team, "pods", pod("other", image="other.example.net/app"))
    says = ("STOP registry-not-covered", "other.example.net/app", f"it has {REGISTRY}", "Next: ")
    message(shared, "explain", "pod/other", "-n", team, says=says)


def test_a_typing_error_in_a_registry(shared: Playground, team: str) -> None:
    shared.create(team, "pods", pod("typo", image="registry.exmaple.com/app"))
    says = ("STOP registry-not-covered", f"did you mean {REGISTRY}?")
    message(shared, "explain", "pod/typo", "-n", team, says=says)


@situation("foreign Secret with the copy's name")
def test_a_foreign_secret_in_the_place_of_the_copy(shared: Playground) -> None:
    name = shared.namespace(selected=False)
    shared.apply(name, "Secret", COPY, {"stringData": {"theirs": "value"}})
    shared.opt(name, "enabled")
    says = ("STOP copy-conflict", "it was written by test", f"Next: kubectl -n {name} get secret {COPY}")
    message(shared, "explain", "sa/default", "-n", name, says=says)
    pasted(shared, message(shared, "explain", f"ns/{name}", says=says))
    shared.await_selected(name, FIRST_PASSWORD)
    kept = shared.get(name, "secrets", f"{COPY}-before")
    assert kept is not None
    assert list(kept["data"]) == ["theirs"]


@situation("foreign Secret with the copy's name")
def test_a_foreign_secret_with_an_owner_leads_to_its_owner(shared: Playground) -> None:
    name = shared.namespace(selected=False)
    account = shared.get(name, "serviceaccounts", "default")
    assert account is not None
    owner = {"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "name": "theirs"}
    metadata = {"name": COPY, "ownerReferences": [{**owner, "uid": account["metadata"]["uid"]}]}
    shared.create(name, "secrets", {"metadata": metadata})
    shared.opt(name, "enabled")
    named = "externalsecret.external-secrets.io/theirs"
    says = ("STOP copy-conflict", f"it belongs to {named}", f"Next: kubectl -n {name} get {named} -o yaml")
    message(shared, "explain", f"ns/{name}", says=says)


@situation("quota or policy refuses the copy")
def test_a_quota_that_refuses_the_copy(shared: Playground) -> None:
    name = shared.namespace(selected=False)
    shared.forbid_secrets(name)
    shared.opt(name, "enabled")
    says = ("STOP copy-due", "exceeded quota", f"Next: kubectl -n {name} describe resourcequota")
    message(shared, "explain", f"ns/{name}", says=says)


@situation("quota or policy refuses the copy")
def test_a_policy_that_refuses_the_copy(shared: Playground) -> None:
    name = shared.namespace(selected=False)
    policy = f"no-secrets-{name}"
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}]
    group = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": policy}}
    constraints = {"resourceRules": rules, "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
    spec = {"matchConstraints": constraints, "validations": [{"expression": "false", "message": "no"}]}
    binding = {"policyName": policy, "validationActions": ["Deny"]}
    items = [
        {**group, "kind": "ValidatingAdmissionPolicy", "spec": spec},
        {**group, "kind": "ValidatingAdmissionPolicyBinding", "spec": binding},
    ]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    shared.cluster.kubectl("apply", "-f", "-", input=listed)
    try:
        probe = f"/api/v1/namespaces/{name}/secrets?dryRun=All"
        body = {"metadata": {"name": "probe"}}
        eventually(lambda: shared.cluster.api.request("POST", probe, body).status == 422)
        shared.opt(name, "enabled")
        command = f"Next: kubectl get validatingadmissionpolicy {policy} -o yaml"
        message(
            shared, "explain", f"ns/{name}", says=("STOP copy-due", f"ValidatingAdmissionPolicy '{policy}'", command)
        )
    finally:
        shared.cluster.kubectl("delete", "-f", "-", input=listed)


# Sources


def opaque(registries: dict[str, Any]) -> dict[str, Any]:
    return {"data": {".dockerconfigjson": b64encode(json.dumps(registries).encode()).decode()}}


@situation(
    "no source yet",
    "source in another namespace",
    "source of type Opaque",
    "only credential helpers",
    "source missing while every copy is good",
)
def test_sources_that_cannot_be_copied_and_one_that_is_missed_later(playground: Callable[..., Playground]) -> None:
    source = "only-here"
    ours = playground(pullSecrets=[{"name": COPY, "sources": [{"secretName": source}]}])
    ours.installation.start_sync().wait_ready()
    ours.installation.start_serve().wait_ready()
    where, team = ours.installation.namespace, ours.namespace(selected=True)
    create = f"kubectl -n {where} create secret docker-registry {source}"
    message(ours, "explain", f"ns/{team}", says=("STOP source-absent", f"Next: {create}"))

    ours.apply(where, "Secret", source, {"type": TYPE, **opaque({"credHelpers": {REGISTRY: "ecr-login"}})})
    says = ("STOP source-auths-invalid", "credential helpers, which nodes cannot call", f"Next: {create}")
    message(ours, "explain", f"ns/{team}", says=says)
    ours.delete(where, "secrets", source)

    ours.apply(where, "Secret", source, {"stringData": {"password": "x"}})
    kept = f"Next: kubectl -n {where} get secret {source} -o yaml | sed"
    text = message(
        ours, "explain", f"ns/{team}", says=("STOP source-type-unsupported", kept, f"{source}-before", create)
    )
    pasted(ours, text)
    assert ours.get(where, "secrets", f"{source}-before")
    eventually(lambda: ours.get(team, "secrets", COPY))  # of the source that the command has made
    ours.delete(where, "secrets", source)

    ours.apply(where, "Secret", source, {"data": dockerconfigjson("first")})
    retyped = ("NOTE copy-kept", "has the type 'Opaque'", kept, "kubectl replace --force")
    pasted(ours, message(ours, "explain", f"ns/{team}", says=retyped, code=0))
    ours.await_selected(team, "first")
    ours.delete(where, "secrets", source)
    message(ours, "explain", f"ns/{team}", says=("NOTE copy-kept", f"Next: {create}"), code=0)

    elsewhere = ours.namespace(selected=False)
    ours.apply(elsewhere, "Secret", source, {"type": TYPE, "data": dockerconfigjson("second")})
    moved = (f"in namespace {elsewhere}", f"Next: kubectl -n {elsewhere} get secret {source}")
    pasted(ours, message(ours, "explain", f"ns/{team}", says=("NOTE copy-kept", *moved), code=0))
    ours.await_selected(team, "second")


@situation("typing error in the registry of the source")
def test_a_typing_error_in_the_registry_of_a_source(playground: Callable[..., Playground]) -> None:
    ours = playground()
    where = ours.installation.namespace
    ours.apply(where, "Secret", SOURCE, {"type": TYPE, "data": dockerconfigjson("first", "registry.exmaple.com")})
    ours.installation.start_sync().wait_ready()
    team = ours.namespace(selected=True)
    eventually(lambda: ours.references(team) == [COPY])
    ours.await_reference_of_pods(team)
    ours.create(team, "pods", pod("web"))
    says = (
        "STOP registry-not-covered",
        "did you mean registry.exmaple.com? If not, source harbor has the typing error",
        f"Next: kubectl -n {where} create secret docker-registry {SOURCE} --docker-server={REGISTRY}",
    )
    message(ours, "explain", "pod/web", "-n", team, says=says)


# The installation


@situation("MutatingWebhookConfiguration deleted", "ConfigMap deleted or broken")
def test_parts_of_the_installation_that_are_gone(ours: Playground) -> None:
    ours.start_sync("first")
    installation, team = ours.installation, ours.namespace(selected=True)
    ours.await_selected(team, "first")
    path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{installation.fullname}"
    ours.cluster.api.call("DELETE", path)
    command = f"Next: helm get manifest {installation.release} -n {installation.namespace} | kubectl apply -f -"
    message(ours, "explain", "sa/default", "-n", team, says=("STOP webhook-not-registered", command))

    where = f"{installation.namespace}/{installation.fullname}"
    body = {"data": {"config.yaml": "apiVersion: pullsecrets.webhook/v1alpha1\nkind: Configuration\npullSecret: []\n"}}
    ours.patch(installation.namespace, "configmaps", installation.fullname, body)
    broken = (f"ConfigMap {where}", "pullSecret: unknown field", "kubectl get configmap")
    message(ours, "explain", "sa/default", "-n", team, says=broken, code=2)
    ours.delete(installation.namespace, "configmaps", installation.fullname)
    absent = (f"ConfigMap {where} of release {installation.release} does not exist", command)
    message(ours, "explain", "sa/default", "-n", team, says=absent, code=2)


@situation("webhook Pods down", "TLS Secret missing")
def test_a_webhook_without_ready_pods_and_one_without_its_certificate(ours: Playground) -> None:
    """The certificate is behind a Service, as in a cluster, whose Pods do not run."""
    sync = ours.start_sync("first")
    installation, team = ours.installation, ours.namespace(selected=True)
    ours.await_selected(team, "first")
    eventually(lambda: ours.get(installation.namespace, "secrets", installation.tls_secret))
    assert sync.stop() == 0
    service = {"namespace": installation.namespace, "name": f"{installation.fullname}-webhook", "path": "/mutate"}
    path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{installation.fullname}"
    for hook in (0, 1):
        config = f"/webhooks/{hook}/clientConfig"
        changes: list[dict[str, Any]] = [
            {"op": "remove", "path": f"{config}/url"},
            {"op": "add", "path": f"{config}/service", "value": service},
        ]
        ours.cluster.api.json_patch(path, changes)
    place = f"{installation.namespace}/{installation.fullname}"
    down = (
        "STOP webhook-unreachable",
        f"Service {place}-webhook leads to no ready replica",
        "new objects pass as they are",
    )
    labels = f"-l app.kubernetes.io/instance={installation.release},app.kubernetes.io/component="
    pods = f"Next: kubectl -n {installation.namespace} get pods {labels}"
    message(ours, "explain", "sa/default", "-n", team, says=(*down, f"{pods}webhook"))
    ours.delete(installation.namespace, "secrets", installation.tls_secret)
    absent = f"Secret {place}-tls with the certificate does not exist"
    message(ours, "explain", "sa/default", "-n", team, says=(*down, absent, f"{pods}sync"))


@situation("name dropped without retired")
def test_a_name_that_was_dropped_without_being_retired(playground: Callable[..., Playground]) -> None:
    ours = playground()
    ours.start_sync("first")
    ours.installation.start_serve().wait_ready()
    team = ours.namespace(selected=True)
    ours.await_selected(team, "first")
    ours.installation.set_configuration(pullSecrets=[{"name": "other", "sources": [{"secretName": SOURCE}]}])
    eventually(lambda: ours.get(team, "secrets", "other"))
    says = (
        f"Secret/{COPY}",
        "it is a copy of release",
        f"{COPY} is not in the configuration any more",
        f"Next: helm upgrade {ours.installation.release} CHART -n {ours.installation.namespace} --reuse-values",
    )
    message(ours, "explain", f"Secret/{COPY}", "-n", team, says=says)


@situation("GitOps resets the list")
def test_a_tool_that_resets_the_list_while_the_webhook_is_down_and_while_it_is_up(ours: Playground) -> None:
    ours.start_sync("first")
    team = ours.namespace(selected=True)
    ours.await_selected(team, "first")

    def reset() -> list[str]:
        return names(ours.patch(team, "serviceaccounts", "default", {"imagePullSecrets": [{"name": "theirs"}]}))

    def reasons_after_a_reset() -> list[str]:
        reset()
        return [reason for reason, _ in ours.events(team)]

    eventually(reasons_after_a_reset, lambda seen: "ReferenceRemovedRepeatedly" in seen)
    says = (
        "STOP reference-due",
        f"somebody keeps taking {COPY} out",
        f"Next: kubectl -n {team} get serviceaccount default -o yaml --show-managed-fields",
    )
    # Sync still adds it now and then.
    message(ours, "explain", "sa/default", "-n", team, says=says, first=reset)

    serve = ours.installation.start_serve()
    serve.wait_ready()
    eventually(reset, lambda seen: COPY in seen)
    message(ours, "explain", "sa/default", "-n", team, says=("PASS", "everything is in place"), code=0)


@situation("cleanup with a wrong namespace")
def test_cleanup_with_a_wrong_namespace_names_the_right_one(ours: Playground) -> None:
    ours.start_sync("first")
    installation = ours.installation
    flags = [f"--config={installation.configuration_file}", f"--release={installation.release}", "--dry-run"]
    flags.append(f"--webhook-configuration={installation.webhook_configuration}")
    ran = on_a_terminal(ours.cluster.kubeconfig, "cleanup", "--release-namespace=default", *flags)
    assert ran.code == 2
    assert f"belongs to release {installation.release} in namespace {installation.namespace}" in unfolded(ran.out)
    assert f"nothing was changed; give --release-namespace {installation.namespace}" in unfolded(ran.out)
    short(ran, has_next=False)


# The person who asks


@situation("tenant with edit or view")
@pytest.mark.parametrize("role", ["view", "edit"])
def test_a_tenant_is_answered_about_their_pod(shared: Playground, role: str) -> None:
    name = shared.namespace(selected=False)
    shared.create(name, "pods", pod("old"))
    shared.opt(name, "enabled")
    shared.await_selected(name, FIRST_PASSWORD)
    shared.cluster.kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user=why-{role}", "-n", name)
    tenant = shared.cluster.kubeconfig_with_client_certificate(f"why-{role}")
    says = (
        "STOP pod-without-reference",
        f"it does not reference {COPY}, which is due",
        f"Next: kubectl -n {name} get pod",
    )
    message(shared, "explain", "pod/old", "-n", name, says=says, kubeconfig=tenant)


@situation("tenant with edit or view")
def test_a_person_without_rights_is_told_which_are_missing(shared: Playground) -> None:
    nobody = shared.cluster.kubeconfig_with_client_certificate("why-nobody")
    says = ("you lack the right to get namespace default", "Next: kubectl auth can-i get namespaces/default")
    message(shared, "explain", "ns/default", says=says, code=2, kubeconfig=nobody)


@situation("no kubeconfig, dead server, wrong DNS, bad token", "wrong context")
def test_connections_that_do_not_work_are_one_sentence(shared: Playground, tmp_path: Path) -> None:
    whole = shared.cluster.kubeconfig.read_text()
    number = 0

    def config(text: str) -> Path:
        nonlocal number
        number += 1
        file = tmp_path / f"config-{number}"
        file.write_text(text)
        return file

    users = yaml.safe_load(whole)
    users["users"][0]["user"] = {"token": "invented"}
    cases = [
        (config(re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:1", whole)), (), "no answer from the API server"),
        (config(re.sub(r"127\.0\.0\.1:\d+", "api.invalid:6443", whole)), (), "(NameResolutionError)"),
        (config(json.dumps(users)), (), "refuses the credentials"),
        (config(""), (), "cannot be used"),
        (shared.cluster.kubeconfig, ("--context", "prod"), "no context prod; choose with --context: "),
        (Path("/nowhere/config"), (), "it does not exist; give a readable file with --kubeconfig"),
    ]
    for kubeconfig, flags, words in cases:
        ran = on_a_terminal(kubeconfig, "explain", "ns/default", *flags)
        assert ran.code == 2
        assert words in unfolded(ran.out)
        assert ran.out.count("\n") == 1
        short(ran)
    ran = on_a_terminal(None, "explain", "ns/default", HOME="/nonexistent", KUBECONFIG="")
    assert ran.code == 2
    assert "does not exist or is empty: give a file with --kubeconfig, or set KUBECONFIG" in unfolded(ran.out)
    short(ran)


@situation("wrong flags")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("explain", "pod/web", "--nmespace", "x"), "--namespace"),
        (("explian", "pod/web"), "Did you mean 'explain'"),
        (("explain",), "pullsecrets explain --help"),
        (("check", "-n", "team"), "name it with --release-namespace"),
        (("explain", "pod/web", "-o", "jsn"), "'json'"),
    ],
)
def test_wrong_flags_are_one_sentence(arguments: tuple[str, ...], words: str) -> None:
    ran = on_a_terminal(None, *arguments)
    assert ran.code == 2
    assert words in ran.out
    assert ran.out.count("\n") == 1
    short(ran)


@situation("80 columns, no colour, pipes, Ctrl-C")
def test_terminals_pipes_and_an_interrupt(shared: Playground) -> None:
    name = shared.namespace(selected=False)
    command = ["explain", f"ns/{name}", f"--release={shared.installation.release}"]
    ran = on_a_terminal(shared.cluster.kubeconfig, *command, NO_COLOR="1")
    assert [
        line for line in ran.out.splitlines() if len(line) > COLUMNS and not line.lstrip().startswith("Next: ")
    ] == []
    short(ran)
    piped = run(shared.cluster.kubeconfig, *command)
    assert (piped.out.count("\n"), "\x1b" in piped.out, piped.code) == (1, False, 1)

    whole: list[str] = [str(COMMAND), *command, f"--kubeconfig={shared.cluster.kubeconfig}"]
    process = subprocess.Popen(
        whole, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()  # as head does when it has enough
    assert process.stderr is not None
    with process:
        assert process.stderr.read() == ""
    assert process.returncode == 1


@situation("80 columns, no colour, pipes, Ctrl-C")
def test_an_interrupt_while_the_api_server_does_not_answer_ends_without_a_traceback(tmp_path: Path) -> None:
    """The server accepts the connection and says nothing, so the command waits when Ctrl-C comes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = f"http://127.0.0.1:{listener.getsockname()[1]}"
        names = {"name": "x", "cluster": {"server": server}}
        context = {"name": "x", "context": {"cluster": "x", "user": "x"}}
        config = {
            "clusters": [names],
            "contexts": [context],
            "users": [{"name": "x", "user": {}}],
            "current-context": "x",
        }
        file = tmp_path / "config"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **config}))
        process = subprocess.Popen(
            # A shell that starts tests in the background ignores the signal, and so do all processes below it.
            ["env", "--default-signal=INT", COMMAND, "explain", "ns/default", f"--kubeconfig={file}"],
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        connection, _ = listener.accept()
        with connection:
            connection.recv(1)  # the request is on its way
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=60)
    assert (process.returncode, out, error) == (130, "", "")


@pytest.fixture(scope="module")
def crowded(control_plane: binaries.Binaries) -> Iterator[Playground]:  # noqa: ARG001 (built before it is started)
    """A cluster of its own with 2,018 namespaces, of which one has a foreign Secret."""
    with Cluster.start() as cluster, Playground.make(cluster) as playground:
        playground.start_sync(FIRST_PASSWORD)
        there = len(cluster.api.call("GET", "/api/v1/namespaces")["items"])
        Filling(cluster.kubeconfig).create([f"team-{number:04}" for number in range(2018 - there)], {})
        yield playground


@situation("2,018 namespaces")
def test_two_thousand_namespaces_are_one_line_and_the_odd_one_is_named(crowded: Playground) -> None:
    message(crowded, "plan", "-A", says=("All 2,018 namespaces are as they should be.",), code=0)
    crowded.apply("team-1806", "Secret", COPY, {"stringData": {"theirs": "value"}})
    crowded.opt("team-1806", "enabled")
    says = (f"team-1806, Secret/{COPY}", "copy-conflict", "pullsecrets explain ns/team-1806")
    message(crowded, "plan", "-A", says=says, code=0)
