"""What none of the chart's identities may do, and what some of them may not: the rows of a table to try out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.integration.hostile.impostor import APPLY, JSON_PATCH, MERGE
from tests.integration.site.playground import COPY, SOURCE, Playground, pod

OTHER = "database-password"
"""A Secret that is nobody's business, in the tenant's namespace and in that of the release."""

RBAC = "/apis/rbac.authorization.k8s.io/v1"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
ADMIN = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that must be answered with 403."""

    what: str
    method: str
    path: str
    body: object = None
    content_type: str = "application/json"
    headers: Mapping[str, str] | None = None


def for_everybody(playground: Playground, tenant: str) -> Iterator[Attempt]:
    """Yield what none of the three may do."""
    installation = playground.installation
    yield from _other_secrets(tenant, installation.namespace)
    yield from _secrets_at_large(tenant)
    yield from _accounts(tenant, installation.namespace, f"{installation.fullname}-sync")
    yield from _pods(tenant)
    yield from _rights(installation.fullname, tenant)
    yield from _admission(installation.fullname)
    yield from _cluster(tenant, installation.namespace, installation.fullname)


def of_webhook(playground: Playground, tenant: str) -> Iterator[Attempt]:
    """Yield what the others may, and the webhook not."""
    release, fullname = playground.installation.namespace, playground.installation.fullname
    yield from _every_verb(tenant, COPY, "a copy")
    yield from _every_verb(release, SOURCE, "a source")
    yield from _every_verb(release, f"{fullname}-ca", "the key of the authority")
    yield from _writes(release, f"{fullname}-tls", "its own certificate")
    yield Attempt("list namespaces", "GET", "/api/v1/namespaces")
    yield Attempt("list service accounts", "GET", "/api/v1/serviceaccounts")
    yield Attempt("change a service account", "PATCH", _account(tenant), {"imagePullSecrets": []}, MERGE)
    yield Attempt("read its own webhook configuration", "GET", f"{ADMISSION}/mutatingwebhookconfigurations/{fullname}")
    yield Attempt("write an event", "POST", f"/api/v1/namespaces/{tenant}/events", _event(tenant))
    yield Attempt("read the lease", "GET", _lease(release, f"{fullname}-sync"))


def of_sync(playground: Playground, tenant: str) -> Iterator[Attempt]:
    """Yield what the others may, and sync not."""
    release, fullname = playground.installation.namespace, playground.installation.fullname
    yield from _writes(release, SOURCE, "a source")
    yield Attempt("read a source's name elsewhere", "GET", _secret(tenant, SOURCE))
    yield Attempt("delete the certificate", "DELETE", _secret(release, f"{fullname}-tls"))
    yield Attempt("delete the authority", "DELETE", _secret(release, f"{fullname}-ca"))
    yield Attempt("delete its own webhooks", "DELETE", f"{ADMISSION}/mutatingwebhookconfigurations/{fullname}")
    yield Attempt("delete the lease", "DELETE", _lease(release, f"{fullname}-sync"))


def of_cleanup(playground: Playground, tenant: str) -> Iterator[Attempt]:
    """Yield what the others may, and cleanup not."""
    release, fullname = playground.installation.namespace, playground.installation.fullname
    yield from _every_verb(release, SOURCE, "a source")
    for where, name, what in ((tenant, COPY, "a copy"), (release, f"{fullname}-tls", "the certificate")):
        yield from (each for each in _writes(where, name, what) if each.method != "DELETE")
    webhooks = f"{ADMISSION}/mutatingwebhookconfigurations/{fullname}"
    yield Attempt("redirect the webhooks", "PATCH", webhooks, {"webhooks": []}, MERGE)
    yield Attempt("watch service accounts", "GET", "/api/v1/serviceaccounts?watch=true&timeoutSeconds=1")
    yield Attempt("write an event", "POST", f"/api/v1/namespaces/{tenant}/events", _event(tenant))


def _other_secrets(tenant: str, release: str) -> Iterator[Attempt]:
    for where in (tenant, release, "kube-system"):
        yield from _every_verb(where, OTHER, f"another Secret in {'the release' if where == release else where}")


def _every_verb(namespace: str, name: str, what: str) -> Iterator[Attempt]:
    selector = f"?fieldSelector=metadata.name={name}"
    yield Attempt(f"get {what}", "GET", _secret(namespace, name))
    yield Attempt(f"list {what}", "GET", f"/api/v1/namespaces/{namespace}/secrets{selector}")
    yield Attempt(f"list {what} everywhere", "GET", f"/api/v1/secrets{selector}")
    yield Attempt(f"watch {what}", "GET", f"/api/v1/namespaces/{namespace}/secrets{selector}&watch=true")
    yield from _writes(namespace, name, what)


def _writes(namespace: str, name: str, what: str) -> Iterator[Attempt]:
    path = _secret(namespace, name)
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"a": "b"}}
    yield Attempt(f"apply {what}", "PATCH", f"{path}?fieldManager=x&force=true", body, APPLY)
    yield Attempt(f"merge into {what}", "PATCH", path, {"stringData": {"a": "b"}}, MERGE)
    patch = [{"op": "add", "path": "/metadata/labels", "value": {}}]
    yield Attempt(f"patch {what}", "PATCH", path, patch, JSON_PATCH)
    yield Attempt(f"replace {what}", "PUT", path, body)
    yield Attempt(f"delete {what}", "DELETE", path)


def _secrets_at_large(tenant: str) -> Iterator[Attempt]:
    here = f"/api/v1/namespaces/{tenant}/secrets"
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": COPY}}
    yield Attempt("list every Secret", "GET", "/api/v1/secrets")
    yield Attempt("list the Secrets of a namespace", "GET", here)
    yield Attempt("watch every Secret", "GET", "/api/v1/secrets?watch=true")
    yield Attempt("list by label", "GET", f"{here}?labelSelector=app.kubernetes.io/managed-by=pull-secret-webhook")
    yield Attempt("list by two names", "GET", f"{here}?fieldSelector=metadata.name!={OTHER}")
    yield Attempt("list by type", "GET", f"{here}?fieldSelector=type=kubernetes.io/dockerconfigjson")
    yield Attempt("create a copy by POST", "POST", here, body)
    yield Attempt("replace the copy of a namespace", "PUT", f"{here}/{COPY}", body)
    yield Attempt("delete a collection", "DELETE", here)
    yield Attempt("delete a collection of one name", "DELETE", f"{here}?fieldSelector=metadata.name={COPY}")


def _accounts(tenant: str, release: str, sync: str) -> Iterator[Attempt]:
    token = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    here = f"/api/v1/namespaces/{tenant}/serviceaccounts"
    yield Attempt("a token of a tenant", "POST", f"{here}/default/token", token)
    yield Attempt("a token of sync", "POST", f"/api/v1/namespaces/{release}/serviceaccounts/{sync}/token", token)
    yield Attempt("create a service account", "POST", here, {"metadata": {"name": "x"}})
    yield Attempt("replace a service account", "PUT", f"{here}/default", {"metadata": {"name": "default"}})
    yield Attempt("delete a service account", "DELETE", f"{here}/default")
    yield Attempt("delete all service accounts", "DELETE", here)
    applied = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "new"}}
    yield Attempt("apply a new service account", "PATCH", f"{here}/new?fieldManager=x", applied, APPLY)


def _pods(tenant: str) -> Iterator[Attempt]:
    here = f"/api/v1/namespaces/{tenant}"
    yield Attempt("create a pod", "POST", f"{here}/pods", pod("x"))
    yield Attempt("list pods", "GET", f"{here}/pods")
    yield Attempt("read a log", "GET", f"{here}/pods/x/log")
    yield Attempt("run a command", "POST", f"{here}/pods/x/exec?command=sh")
    yield Attempt("add an ephemeral container", "PATCH", f"{here}/pods/x/ephemeralcontainers", {}, MERGE)
    yield Attempt("bind a pod", "POST", f"{here}/bindings", {"metadata": {"name": "x"}})
    yield Attempt("read a config map", "GET", f"{here}/configmaps/kube-root-ca.crt")
    yield Attempt("create a deployment", "POST", f"/apis/apps/v1/namespaces/{tenant}/deployments", {})
    yield Attempt("create a job", "POST", f"/apis/batch/v1/namespaces/{tenant}/jobs", {})


def _rights(fullname: str, tenant: str) -> Iterator[Attempt]:
    for kind in ("clusterroles", "clusterrolebindings"):
        yield Attempt(f"read {kind}", "GET", f"{RBAC}/{kind}/{fullname}-sync")
        yield Attempt(f"change {kind}", "PATCH", f"{RBAC}/{kind}/{fullname}-sync", {"rules": []}, MERGE)
        yield Attempt(f"delete {kind}", "DELETE", f"{RBAC}/{kind}/{fullname}-sync")
    yield Attempt("become admin", "POST", f"{RBAC}/clusterrolebindings", {"metadata": {"name": "x"}, "roleRef": ADMIN})
    here = f"{RBAC}/namespaces/{tenant}/rolebindings"
    yield Attempt("become admin of a namespace", "POST", here, {"metadata": {"name": "x"}, "roleRef": ADMIN})
    for header, value in (("Impersonate-User", "admin"), ("Impersonate-User", "system:kube-controller-manager")):
        yield Attempt(f"be {value}", "GET", "/api/v1/secrets", headers={header: value})
    masters = {"Impersonate-User": "x", "Impersonate-Group": "system:masters"}
    yield Attempt("be of system:masters", "GET", "/api/v1/secrets", headers=masters)
    review = {"spec": {"token": "x"}}
    yield Attempt("review a token", "POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
    yield Attempt("sign a certificate", "POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests", {})


def _admission(fullname: str) -> Iterator[Attempt]:
    other = f"{ADMISSION}/mutatingwebhookconfigurations/another"
    yield Attempt("read other webhooks", "GET", other)
    yield Attempt("redirect other webhooks", "PATCH", other, {"webhooks": []}, MERGE)
    yield Attempt("delete other webhooks", "DELETE", other)
    yield Attempt("list webhooks", "GET", f"{ADMISSION}/mutatingwebhookconfigurations")
    yield Attempt("create webhooks", "POST", f"{ADMISSION}/mutatingwebhookconfigurations", {"metadata": {"name": "x"}})
    yield Attempt("create a validating webhook", "POST", f"{ADMISSION}/validatingwebhookconfigurations", {})
    for kind in ("validatingadmissionpolicies", "validatingadmissionpolicybindings"):
        guard = f"{ADMISSION}/{kind}/{fullname}-secrets"
        yield Attempt(f"read {kind}", "GET", guard)
        yield Attempt(f"weaken {kind}", "PATCH", guard, {"spec": {"failurePolicy": "Ignore"}}, MERGE)
        yield Attempt(f"delete {kind}", "DELETE", guard)
    yield Attempt("create a policy that mutates", "POST", f"{ADMISSION}/mutatingadmissionpolicies", {})


def _cluster(tenant: str, release: str, fullname: str) -> Iterator[Attempt]:
    labels = {"metadata": {"labels": {"pullsecrets.webhook/inject": "enabled"}}}
    yield Attempt("label a namespace", "PATCH", f"/api/v1/namespaces/{tenant}", labels, MERGE)
    yield Attempt("label its status", "PATCH", f"/api/v1/namespaces/{tenant}/status", labels, MERGE)
    yield Attempt("delete a namespace", "DELETE", f"/api/v1/namespaces/{tenant}")
    yield Attempt("create a namespace", "POST", "/api/v1/namespaces", {"metadata": {"name": "x"}})
    configuration = f"/api/v1/namespaces/{release}/configmaps/{fullname}"
    yield Attempt("change the configuration", "PATCH", configuration, {"data": {}}, MERGE)
    yield Attempt("take another lease", "GET", _lease("kube-system", "kube-controller-manager"))
    yield Attempt("make another lease", "POST", f"/apis/coordination.k8s.io/v1/namespaces/{release}/leases", {})
    yield Attempt("delete events", "DELETE", f"/api/v1/namespaces/{tenant}/events")
    yield Attempt("list nodes", "GET", "/api/v1/nodes")
    yield Attempt("go through a node", "GET", "/api/v1/nodes/x/proxy/")
    yield Attempt("go through a service", "GET", f"/api/v1/namespaces/{tenant}/services/x/proxy/")
    yield Attempt("read metrics", "GET", "/metrics")
    yield Attempt("define a resource", "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {})


def _secret(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets/{name}"


def _account(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/serviceaccounts/default"


def _lease(namespace: str, name: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"


def _event(namespace: str) -> dict[str, Any]:
    return {"metadata": {"name": "x"}, "involvedObject": {"namespace": namespace}, "reason": "X"}
