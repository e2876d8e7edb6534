"""What can go wrong with an installation: each a function that does it, and the codes by which it is found."""

from __future__ import annotations

import signal
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tests.integration.faults.certificates import (
    another_certificate_is_served,
    expired_leaf,
    key_of_another,
    leaf_not_renewed,
    leaf_of_another_name,
    no_certificate,
    trust_another,
    wipe_bundle,
)
from tests.integration.site.patient import ADMISSION, MERGE, Patient
from tests.integration.site.playground import COPY, SOURCE, dockerconfigjson, eventually, names, service_account
from webhook.rules.expiry import EXPIRES_ANNOTATION
from webhook.rules.ownership import labels_for

RBAC = "/apis/rbac.authorization.k8s.io/v1"


def take_right(patient: Patient, kind: str, name: str, resource: str, resource_name: str = "") -> None:
    """Take the rule about a resource out of a role."""
    path = f"{RBAC}/{kind}/{name}"
    rules = patient.put_back(path)["rules"]
    kept = [
        rule
        for rule in rules
        if resource not in rule["resources"] or (resource_name and resource_name not in rule.get("resourceNames", ()))
    ]
    assert kept != rules
    patient.api.json_patch(path, [{"op": "replace", "path": "/rules", "value": kept}])


def sync_may_not_patch_accounts(patient: Patient) -> None:
    take_right(patient, "clusterroles", f"{patient.name}-sync", "serviceaccounts")


def sync_may_not_read_copies(patient: Patient) -> None:
    take_right(patient, "clusterroles", f"{patient.name}-sync", "secrets")


def sync_may_not_hold_the_lease(patient: Patient) -> None:
    take_right(patient, f"namespaces/{patient.namespace}/roles", f"{patient.name}-sync", "leases")


def webhook_may_not_read_its_certificate(patient: Patient) -> None:
    take_right(patient, f"namespaces/{patient.namespace}/roles", f"{patient.name}-webhook", "secrets")


def sync_may_read_every_secret(patient: Patient) -> None:
    path = f"{RBAC}/clusterroles/{patient.name}-sync"
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}
    patient.patch(path, [{"op": "add", "path": "/rules/-", "value": rule}])


def no_configuration(patient: Patient) -> None:
    patient.put_back(patient.configuration_path)
    patient.api.call("DELETE", patient.configuration_path)


def no_webhook_for_pods(patient: Patient) -> None:
    patient.patch(patient.configuration_path, [{"op": "remove", "path": "/webhooks/0"}])


def not_asked_about_updates(patient: Patient) -> None:
    path = "/webhooks/1/rules/0/operations"
    patient.patch(patient.configuration_path, [{"op": "replace", "path": path, "value": ["CREATE"]}])


def widened_selector(patient: Patient) -> None:
    patient.patch(patient.configuration_path, [{"op": "replace", "path": "/webhooks/0/namespaceSelector", "value": {}}])


def release_not_excluded(patient: Patient) -> None:
    path = "/webhooks/1/namespaceSelector/matchExpressions/1/values"
    patient.patch(patient.configuration_path, [{"op": "replace", "path": path, "value": ["kube-system"]}])


def no_object_selector(patient: Patient) -> None:
    patient.patch(patient.configuration_path, [{"op": "replace", "path": "/webhooks/1/objectSelector", "value": {}}])


def other_failure_policy(patient: Patient) -> None:
    patient.patch(patient.configuration_path, [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}])


def other_match_policy(patient: Patient) -> None:
    patient.patch(patient.configuration_path, [{"op": "replace", "path": "/webhooks/0/matchPolicy", "value": "Exact"}])


def condition_of_another(patient: Patient) -> None:
    path = "/webhooks/0/matchConditions/0/expression"
    patient.patch(patient.configuration_path, [{"op": "replace", "path": path, "value": "false"}])


def no_source(patient: Patient) -> None:
    path = f"/api/v1/namespaces/{patient.namespace}/secrets/{SOURCE}"
    patient.put_back(path)
    patient.api.call("DELETE", path)


def source_with_a_hash_in_its_name(patient: Patient) -> None:
    no_source(patient)
    name = f"{SOURCE}-7ct58987ht"
    where = f"/api/v1/namespaces/{patient.namespace}/secrets"
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": dockerconfigjson("first")}
    patient.api.call("POST", where, body)
    patient.afterwards(lambda: patient.api.call("DELETE", f"{where}/{name}"))


def no_source_for_a_new_namespace(patient: Patient) -> None:
    no_source(patient)
    path = f"/api/v1/namespaces/{patient.namespace}/secrets/{patient.installation.state_secret}"
    patient.put_back(path)
    patient.api.call("DELETE", path)
    name = patient.ours.namespace(selected=True)
    patient.afterwards(lambda: patient.ours.cluster.delete_namespace(name))
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    patient.ours.opt(name, None)  # so that the webhook, which runs, does not give the reference back
    take_reference(patient, account)
    patient.ours.opt(name, "enabled")


def take_reference(patient: Patient, account: str) -> None:
    """Take all references out of a ServiceAccount, again until the API server knows not to call the webhook."""
    empty = {"imagePullSecrets": None}
    eventually(lambda: not names(patient.api.call("PATCH", account, empty, MERGE)))


def malformed_source(patient: Patient) -> None:
    path = f"/api/v1/namespaces/{patient.namespace}/secrets/{SOURCE}"
    value = b64encode(b'{"auths": {}}').decode()
    patient.patch(path, [{"op": "replace", "path": "/data/.dockerconfigjson", "value": value}])


def annotate_expiry(patient: Patient, expires: str) -> None:
    path = f"/api/v1/namespaces/{patient.namespace}/secrets/{SOURCE}"
    patient.patch(path, [{"op": "add", "path": "/metadata/annotations", "value": {EXPIRES_ANNOTATION: expires}}])


def expired_credential(patient: Patient) -> None:
    annotate_expiry(patient, "2026-01-01T00:00:00Z")


def credential_that_expires_very_soon(patient: Patient) -> None:
    annotate_expiry(patient, (datetime.now(UTC) + timedelta(days=2)).isoformat(timespec="seconds"))


def unreadable_expiry(patient: Patient) -> None:
    annotate_expiry(patient, "tomorrow")


def copy_path(patient: Patient) -> str:
    return f"/api/v1/namespaces/{patient.team}/secrets/{COPY}"


def no_copy(patient: Patient) -> None:
    patient.put_back(copy_path(patient))
    patient.api.call("DELETE", copy_path(patient))


def edited_copy(patient: Patient) -> None:
    patient.patch(copy_path(patient), [{"op": "replace", "path": "/data", "value": dockerconfigjson("edited")}])


def foreign_copy(patient: Patient) -> None:
    patient.patch(copy_path(patient), [{"op": "remove", "path": "/metadata/labels"}])


def no_reference(patient: Patient) -> None:
    patient.put_back(patient.configuration_path)
    patient.api.call("DELETE", patient.configuration_path)  # else the webhook gives it back in the same request
    path = f"/api/v1/namespaces/{patient.team}/serviceaccounts/default"
    take_reference(patient, path)
    reference = [{"op": "add", "path": "/imagePullSecrets", "value": [{"name": COPY}]}]
    patient.afterwards(lambda: patient.api.json_patch(path, reference))


def left_behind(patient: Patient) -> None:
    patient.ours.opt(patient.team, None)
    patient.afterwards(lambda: patient.ours.opt(patient.team, "enabled"))


def value_typed_wrong(patient: Patient) -> None:
    patient.ours.opt(patient.team, "Enabled")
    patient.afterwards(lambda: patient.ours.opt(patient.team, "enabled"))


def key_typed_wrong(patient: Patient) -> None:
    name = patient.ours.namespace(selected=False, labels={patient.ours.label.replace("inject", "injct"): "enabled"})
    patient.afterwards(lambda: patient.ours.cluster.delete_namespace(name))


def excluded_and_labelled(patient: Patient) -> None:
    path = "/api/v1/namespaces/kube-public"
    label = patient.ours.label
    patient.api.call("PATCH", path, {"metadata": {"labels": {label: "enabled"}}}, MERGE)
    patient.afterwards(lambda: patient.api.call("PATCH", path, {"metadata": {"labels": {label: None}}}, MERGE))


def dropped_name(patient: Patient) -> None:
    labels = labels_for(patient.installation.release, patient.namespace)
    body = {"metadata": {"name": "dropped", "labels": labels}, "stringData": {"old": "value"}}
    patient.ours.create(patient.team, "secrets", body)
    patient.afterwards(lambda: patient.ours.delete(patient.team, "secrets", "dropped"))


def no_config_map(patient: Patient) -> None:
    path = f"/api/v1/namespaces/{patient.namespace}/configmaps/{patient.name}"
    patient.put_back(path)
    patient.api.call("DELETE", path)


def refused_pods(patient: Patient) -> None:
    account = service_account("enforcing")
    account["metadata"] |= {
        "labels": {patient.ours.label: "disabled"},
        "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"},
    }
    patient.ours.create(patient.team, "serviceaccounts", account)
    patient.afterwards(lambda: patient.ours.delete(patient.team, "serviceaccounts", "enforcing"))


def invalid_configuration(patient: Patient) -> None:
    path = f"/api/v1/namespaces/{patient.namespace}/configmaps/{patient.name}"
    text = patient.api.call("GET", path)["data"]["config.yaml"]
    patient.patch(
        path, [{"op": "replace", "path": "/data/config.yaml", "value": text.replace("pullSecrets:", "pullSecret:")}]
    )


def nobody_leads(patient: Patient) -> None:
    patient.hold_lease(renewed=datetime.now(UTC) - timedelta(hours=2))


def leader_of_the_future(patient: Patient) -> None:
    patient.hold_lease(renewed=datetime.now(UTC) + timedelta(minutes=10))


def webhook_is_down(patient: Patient) -> None:
    patient.serve.program.signal(signal.SIGSTOP)
    patient.afterwards(lambda: patient.serve.program.signal(signal.SIGCONT))


def replicas_that_are_not_ready(patient: Patient) -> None:
    for role, image in (("webhook", "registry.example.com/psw:1"), ("sync", "registry.example.com/psw:2")):
        name = f"{patient.name}-{role}"
        labels = {"app": name}
        pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": role, "image": image}]}}
        spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": pod}
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
        path = f"/apis/apps/v1/namespaces/{patient.namespace}/deployments"
        patient.api.call("POST", path, body)
        patient.afterwards(lambda path=f"{path}/{name}": patient.api.call("DELETE", path))  # type: ignore[misc]


def unguarded(patient: Patient) -> None:
    path = f"{ADMISSION}/validatingadmissionpolicies/{patient.name}-secrets"
    bindings = path.replace("policies", "policybindings")
    if patient.api.request("GET", path).status == 200:
        patient.put_back(bindings)
        patient.api.call("DELETE", bindings)
        return
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "true"}]}
    policy = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "spec": spec}
    patient.api.call("POST", path.rpartition("/")[0], {**policy, "metadata": {"name": f"{patient.name}-secrets"}})
    patient.afterwards(lambda: patient.api.call("DELETE", path))


FAULTS: list[tuple[Callable[[Patient], None], set[str]]] = [
    (wipe_bundle, {"PSW015", "PSW070"}),
    (trust_another, {"PSW015", "PSW071"}),
    (expired_leaf, {"PSW021"}),
    (leaf_not_renewed, {"PSW021"}),
    (leaf_of_another_name, {"PSW022"}),
    (key_of_another, {"PSW020"}),
    (no_certificate, {"PSW020"}),
    (sync_may_not_patch_accounts, {"PSW001"}),
    (sync_may_not_read_copies, {"PSW001"}),
    (sync_may_not_hold_the_lease, {"PSW001"}),
    (webhook_may_not_read_its_certificate, {"PSW002"}),
    (sync_may_read_every_secret, {"PSW003"}),
    (no_configuration, {"PSW010"}),
    (no_webhook_for_pods, {"PSW010", "PSW070"}),
    (not_asked_about_updates, {"PSW011"}),
    (widened_selector, {"PSW012"}),
    (release_not_excluded, {"PSW012"}),
    (no_object_selector, {"PSW012"}),
    (other_failure_policy, {"PSW013"}),
    (other_match_policy, {"PSW013"}),
    (condition_of_another, {"PSW014", "PSW070"}),
    (no_source, {"PSW040"}),
    (source_with_a_hash_in_its_name, {"PSW040"}),
    (no_source_for_a_new_namespace, {"PSW040", "PSW050", "PSW053"}),
    (malformed_source, {"PSW041"}),
    (expired_credential, {"PSW045"}),
    (credential_that_expires_very_soon, {"PSW046"}),
    (unreadable_expiry, {"PSW048"}),
    (no_copy, {"PSW050"}),
    (edited_copy, {"PSW051"}),
    (foreign_copy, {"PSW052"}),
    (no_reference, {"PSW053"}),
    (left_behind, {"PSW054"}),
    (refused_pods, {"PSW055"}),
    (value_typed_wrong, {"PSW031"}),
    (key_typed_wrong, {"PSW031"}),
    (excluded_and_labelled, {"PSW033"}),
    (dropped_name, {"PSW034"}),
    (invalid_configuration, {"PSW030"}),
    (no_config_map, {"PSW030"}),
    (nobody_leads, {"PSW060"}),
    (leader_of_the_future, {"PSW063"}),
    (webhook_is_down, {"PSW070", "PSW071"}),
    (another_certificate_is_served, {"PSW023", "PSW070", "PSW071"}),
    (unguarded, {"PSW080"}),
    (replicas_that_are_not_ready, {"PSW061", "PSW062"}),
]

ALSO: dict[str, set[str]] = {
    # What one fault brings about beside the code that is looked for.
    "expired_leaf": {"PSW023", "PSW070", "PSW071"},
    "leaf_not_renewed": {"PSW023"},
    "leaf_of_another_name": {"PSW023", "PSW070", "PSW071"},
    "no_configuration": {"PSW070", "PSW071"},
    "no_reference": {"PSW010", "PSW070", "PSW071"},
    "value_typed_wrong": {"PSW054"},
}
