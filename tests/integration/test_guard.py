"""The ValidatingAdmissionPolicies of the chart on a real API server: what they let pass, and what they refuse.

RBAC cannot say what is written, only to what; here somebody with a token of the sync loop tries the rest.
"""

from __future__ import annotations

import contextlib
import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cluster.api import Answer
from tests.cluster.cluster import Cluster
from tests.integration.hostile.impostor import JSON_PATCH, MERGE, Impostor
from tests.integration.policies.guarding import await_guard, is_refused, refused, stored
from tests.integration.policies.judge import export
from tests.integration.policies.static import StaticCluster
from tests.integration.site.playground import COPY, Playground, eventually, service_account
from tests.integration.site.rights import await_right

OLD = "old-credentials"


@contextmanager
def guarded_by_files() -> Iterator[Playground]:
    """Install the chart without guard policies, which the API server reads from a file instead."""
    without = {"enabled": False}
    with StaticCluster.start() as static, Playground.make(static.cluster, retired=[OLD], guard=without) as playground:
        objects = playground.installation.render(guard={"enabled": True})
        stdin = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        exported = export("validating-admission-policy", "--static", "--filename=-", stdin=stdin)
        static.publish("ValidatingAdmissionPolicy", exported)
        yield playground


@pytest.fixture(scope="module", params=["chart", "static"])
def guarded(request: pytest.FixtureRequest) -> Iterator[Playground]:
    """An installation in which nothing runs, with both policies about the sync identity in force."""
    with contextlib.ExitStack() as stack:
        if request.param == "static":
            playground = stack.enter_context(guarded_by_files())
        else:
            playground = stack.enter_context(Playground.make(request.getfixturevalue("cluster"), retired=[OLD]))
        await_guard(playground)
        yield playground


@pytest.fixture(scope="module")
def sync(guarded: Playground) -> Impostor:
    return Impostor.of(guarded, "sync")


@pytest.fixture
def tenant(guarded: Playground) -> str:
    return guarded.namespace(selected=True)


@pytest.fixture
def stranger(guarded: Playground) -> str:
    return guarded.namespace(selected=False)


# Copies


def test_a_copy_is_made_changed_and_deleted(sync: Impostor, tenant: str) -> None:
    first = stored(sync.apply_secret(tenant))
    second = stored(sync.apply_secret(tenant, data={".dockerconfigjson": "e30="}))
    assert first["metadata"]["uid"] == second["metadata"]["uid"]
    stored(sync.delete_secret(tenant))


def test_no_copy_is_made_where_nobody_has_asked_for_one(sync: Impostor, guarded: Playground, stranger: str) -> None:
    refused(sync.apply_secret(stranger), "a namespace that has opted in")
    for excluded in ("kube-system", guarded.installation.namespace):
        guarded.opt(excluded, "enabled")
        try:
            refused(sync.apply_secret(excluded), "is not excluded")
        finally:
            guarded.opt(excluded, None)


def test_what_a_namespace_got_before_it_opted_out_is_deleted_and_not_changed(
    sync: Impostor, guarded: Playground, tenant: str
) -> None:
    stored(sync.apply_secret(tenant))
    guarded.opt(tenant, None)
    eventually(lambda: sync.apply_secret(tenant, query="&dryRun=All").status == 403)
    refused(sync.apply_secret(tenant, data={".dockerconfigjson": "e30="}), "has opted in")
    stored(sync.delete_secret(tenant))


def test_a_retired_name_is_only_taken_away(sync: Impostor, guarded: Playground, tenant: str) -> None:
    refused(sync.apply_secret(tenant, OLD), "the name of a configured pull secret")
    copy = {"metadata": {"labels": sync.our_labels}, "type": "kubernetes.io/dockerconfigjson"}
    guarded.apply(
        tenant,
        "Secret",
        OLD,
        {
            "data": {".dockerconfigjson": "e30="},
            **copy,
            "metadata": {"name": OLD, "namespace": tenant, "labels": sync.our_labels},
        },
    )
    stored(sync.delete_secret(tenant, OLD))


@pytest.mark.parametrize("kind", ["Opaque", "kubernetes.io/tls", "kubernetes.io/service-account-token"])
def test_a_copy_is_of_no_other_type(sync: Impostor, tenant: str, kind: str) -> None:
    data = {"tls.crt": "", "tls.key": ""} if kind.endswith("tls") else {}
    annotations = {"kubernetes.io/service-account.name": "default"}
    labels = {"labels": sync.copy_labels(tenant), "annotations": annotations}
    refused(sync.apply_secret(tenant, type=kind, data=data, metadata=labels), "of type kubernetes.io/dockerconfigjson")


@pytest.mark.parametrize(
    "wrong",
    [
        {"app.kubernetes.io/managed-by": "Helm"},
        {"pullsecrets.webhook/release": "another"},
        {"pullsecrets.webhook/release-namespace": "another"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_copy_says_whose_it_is(sync: Impostor, tenant: str, wrong: dict[str, str]) -> None:
    labels = {**sync.copy_labels(tenant), **wrong}
    refused(sync.apply_secret(tenant, metadata={"labels": labels}), "carries the labels of this")
    refused(sync.apply_secret(tenant, metadata={"labels": {}}), "carries the labels of this")


@pytest.mark.parametrize("there", [False, True], ids=["new", "there"])
def test_a_copy_carries_the_uid_of_its_namespace(
    sync: Impostor, guarded: Playground, tenant: str, stranger: str, there: bool
) -> None:
    if there:
        stored(sync.apply_secret(tenant))
    without = sync.our_labels
    for labels in (without, sync.copy_labels(stranger), {**without, "pullsecrets.webhook/namespace-uid": ""}):
        refused(sync.apply_secret(tenant, metadata={"labels": labels}), "the UID of its namespace")
    if there:
        taken = {"metadata": {"labels": {"pullsecrets.webhook/namespace-uid": None}}}
        path = f"/api/v1/namespaces/{tenant}/secrets/{COPY}"
        refused(sync.api.request("PATCH", path, taken, MERGE), "the UID of its namespace")
    found = guarded.get(tenant, "secrets", COPY)
    assert (found is not None) == there


def test_a_copy_of_an_older_release_is_given_the_uid_in_place(sync: Impostor, guarded: Playground, tenant: str) -> None:
    body = {
        "metadata": {"name": COPY, "namespace": tenant, "labels": sync.our_labels},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": "e30="},
    }
    guarded.apply(tenant, "Secret", COPY, body)
    before = guarded.get(tenant, "secrets", COPY) or {}
    after = stored(sync.apply_secret(tenant))
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["metadata"]["labels"] == sync.copy_labels(tenant)


def test_a_secret_of_somebody_else_is_neither_changed_nor_deleted(
    sync: Impostor, guarded: Playground, tenant: str
) -> None:
    guarded.apply(
        tenant, "Secret", COPY, {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "e30="}}
    )
    refused(sync.apply_secret(tenant), "is not touched")
    refused(sync.delete_secret(tenant), "is not touched")
    assert (guarded.get(tenant, "secrets", COPY) or {})["data"] == {".dockerconfigjson": "e30="}


def test_the_certificate_is_kept_and_nothing_else_under_its_name(sync: Impostor, guarded: Playground) -> None:
    namespace, name = guarded.installation.namespace, guarded.installation.tls_secret
    # Rights within one namespace, which the API server learns of by watches of their own.
    for verb, component, secret in (("patch", "sync", name), ("delete", "cleanup", guarded.installation.ca_secret)):
        user = f"system:serviceaccount:{namespace}:{guarded.installation.fullname}-{component}"
        await_right(guarded.cluster, user, verb, "secrets", namespace=namespace, name=secret)
    pair = {"tls.crt": "", "tls.key": ""}
    refused(sync.apply_secret(namespace, name), "the certificate of type kubernetes.io/tls")
    stored(sync.apply_secret(namespace, name, type="kubernetes.io/tls", data=pair))
    stored(sync.apply_secret(namespace, name, type="kubernetes.io/tls", data={**pair, "ca.crt": ""}))
    assert sync.delete_secret(namespace, name).status == 403  # that is cleanup's
    cleanup = Impostor.of(guarded, "cleanup")
    guarded.apply(namespace, "Secret", guarded.installation.ca_secret, {"type": "Opaque"})
    refused(cleanup.delete_secret(namespace, guarded.installation.ca_secret), "only a certificate that this release")
    stored(cleanup.delete_secret(namespace, name))


# ServiceAccounts


def test_references_to_configured_names_come_and_go(sync: Impostor, guarded: Playground, tenant: str) -> None:
    guarded.create(
        tenant, "serviceaccounts", service_account("app", imagePullSecrets=[{"name": "mine"}, {"name": OLD}])
    )
    stored(sync.reference(tenant, "mine", OLD, COPY, account="app"))
    stored(sync.reference(tenant, "mine", COPY, account="app"))
    stored(sync.reference(tenant, "mine", account="app"))


def test_references_that_are_not_ours_stay_as_they_are(sync: Impostor, guarded: Playground, tenant: str) -> None:
    theirs = service_account("app", imagePullSecrets=[{"name": "a"}, {"name": "b"}])
    guarded.create(tenant, "serviceaccounts", theirs)
    for names in (("a",), ("b", "a"), ("a", "b", "c"), ("a", "b", "b"), (), ("a", COPY)):
        refused(sync.reference(tenant, *names, account="app"), "only of configured and retired")
    assert guarded.references(tenant, "app") == ["a", "b"]


def test_no_reference_is_added_to_a_retired_name_nor_twice(sync: Impostor, tenant: str) -> None:
    refused(sync.reference(tenant, OLD), "only to configured pull secrets, each once")
    refused(sync.reference(tenant, COPY, COPY), "each once")


def test_no_reference_is_added_where_nobody_has_asked_for_it(
    sync: Impostor, guarded: Playground, stranger: str
) -> None:
    refused(sync.reference(stranger, COPY), "a namespace that has opted in")
    guarded.create(stranger, "serviceaccounts", service_account("app", imagePullSecrets=[{"name": COPY}]))
    stored(sync.reference(stranger, account="app"))


@pytest.mark.parametrize(
    "change",
    [
        {"secrets": [{"name": "other"}]},
        {"automountServiceAccountToken": False},
        {"metadata": {"labels": {"x": "y"}}},
        {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/admin"}}},
        {"metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}},
        {"metadata": {"finalizers": ["example.com/held"]}},
        {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "1"}]}},
    ],
    ids=lambda change: str(next(iter(change.get("metadata", change)))),
)
@pytest.mark.parametrize("component", ["sync", "cleanup"])
def test_nothing_else_of_a_service_account_changes(
    guarded: Playground, tenant: str, component: str, change: dict[str, Any]
) -> None:
    thief = Impostor.of(guarded, component)
    before = guarded.get(tenant, "serviceaccounts", "default")
    refused(thief.patch_account(tenant, change), "nothing changes but its imagePullSecrets")
    refused(thief.patch_account(tenant, {**change, "imagePullSecrets": [{"name": COPY}]}), "nothing changes but")
    assert guarded.get(tenant, "serviceaccounts", "default") == before


# The release's own webhooks


def patch_webhooks(sync: Impostor, path: str, value: object) -> Answer:
    name = sync.playground.installation.webhook_configuration
    url = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{name}"
    return sync.api.request("PATCH", url, [{"op": "add", "path": path, "value": value}], JSON_PATCH)


def test_the_bundle_of_the_webhooks_changes(sync: Impostor, guarded: Playground) -> None:
    authority = b64encode(guarded.cluster.ca_file.read_bytes()).decode()
    for position in (0, 1):
        stored(patch_webhooks(sync, f"/webhooks/{position}/clientConfig/caBundle", authority))
    stored(patch_webhooks(sync, "/webhooks/0/clientConfig/caBundle", ""))


ANYTHING = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}
WEBHOOK = {
    "name": "more.example.com",
    "clientConfig": {"url": "https://evil.example/"},
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/webhooks/0/clientConfig/url", "https://evil.example/mutate"),
        ("/webhooks/0/clientConfig", {"service": {"name": "evil", "namespace": "default"}}),
        ("/webhooks/0/rules", [ANYTHING]),
        ("/webhooks/0/rules/-", ANYTHING),
        ("/webhooks/0/name", "renamed.example.com"),
        ("/webhooks/0/failurePolicy", "Fail"),
        ("/webhooks/0/matchPolicy", "Exact"),
        ("/webhooks/0/namespaceSelector", {}),
        ("/webhooks/0/objectSelector", {}),
        ("/webhooks/0/sideEffects", "NoneOnDryRun"),
        ("/webhooks/0/timeoutSeconds", 30),
        ("/webhooks/0/admissionReviewVersions", ["v1", "v1beta1"]),
        ("/webhooks/0/reinvocationPolicy", "Never"),
        ("/webhooks/0/matchConditions", []),
        ("/webhooks/-", WEBHOOK),
        ("/webhooks", []),
        ("/metadata/labels/x", "y"),
        ("/metadata/annotations", {"cert-manager.io/inject-ca-from": "evil/evil"}),
        ("/metadata/finalizers", ["example.com/held"]),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_nothing_else_of_the_webhooks_changes(sync: Impostor, path: str, value: object) -> None:
    refused(patch_webhooks(sync, path, value), "nothing changes but their caBundle")


def test_everybody_else_is_none_of_the_guards_business(guarded: Playground, tenant: str) -> None:
    guarded.apply(tenant, "Secret", COPY, {"type": "Opaque"})
    guarded.apply(
        tenant, "ServiceAccount", "default", {"imagePullSecrets": [{"name": "x"}], "secrets": [{"name": "y"}]}
    )
    guarded.delete(tenant, "secrets", COPY)


def test_without_any_name_the_expressions_still_hold(cluster: Cluster) -> None:
    with Playground.make(cluster, pullSecrets=[]) as empty:
        namespace = empty.namespace(selected=True)
        thief = Impostor.of(empty, "sync")
        change = {"metadata": {"labels": {"x": "y"}}}
        eventually(lambda: thief.patch_account(namespace, change, query="?dryRun=All"), is_refused)
        refused(thief.reference(namespace, COPY), "only of configured and retired")
