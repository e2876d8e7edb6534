from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
import structlog.testing
from msgspec.structs import replace

from webhook.rules.configuration import Configuration, OptIn, PullSecret, Reason
from webhook.rules.labels import Operator, Requirement, Selector
from webhook.rules.objects import Namespace
from webhook.serve.handler import Handler, ReviewReply

PLAIN = Configuration((PullSecret("registry", ("source",)),))
FOR_TEAM_A = Configuration(
    (replace(PLAIN.pull_secrets[0], namespace_selector=Selector((Requirement("team", Operator.IN, ("a",)),))),)
)
KINDS = {"pods": "Pod", "serviceaccounts": "ServiceAccount"}
POD: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "web-"}, "spec": {}}
SERVICE_ACCOUNT: dict[str, Any] = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "builder"}}


def handler(configuration: Configuration = PLAIN, labels: Mapping[str, Mapping[str, str]] | None = None) -> Handler:
    known = {name: Namespace(name, of_namespace) for name, of_namespace in (labels or {}).items()}
    return Handler(lambda: configuration, known.get)


def request(object_: object, resource: str = "pods", operation: str = "CREATE", **more: object) -> dict[str, Any]:
    return {
        "uid": "u1",
        "kind": {"group": "", "version": "v1", "kind": KINDS.get(resource, "ConfigMap")},
        "resource": {"group": "", "version": "v1", "resource": resource},
        "namespace": "team-a",
        "operation": operation,
        "object": object_,
        **more,
    }


def without(request: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in request.items() if name != field}


def ask(request: dict[str, Any], by: Handler | None = None) -> ReviewReply:
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    return (by or handler()).handle(json.dumps(review).encode())


def patch_in(answer: ReviewReply) -> object:
    """The patch in an answer, which is checked to be one that the API server accepts."""
    review = json.loads(answer.body)
    response = review["response"]
    assert (review["apiVersion"], review["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert (response["uid"], response["allowed"]) == ("u1", True)
    assert ("patch" in response) == ("patchType" in response) == (answer.decision == "patched")
    return json.loads(base64.b64decode(response["patch"])) if "patch" in response else None


def test_the_answer_to_a_pod_is_exactly_this() -> None:
    patch = base64.b64encode(b'[{"op":"add","path":"/spec/imagePullSecrets","value":[{"name":"registry"}]}]')
    assert ask(request(POD)).body == (
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u1","allowed":true,'
        b'"auditAnnotations":{"reason":"injected","names":"registry"},"patchType":"JSONPatch","patch":"%s"}}' % patch
    )


def test_the_answer_to_what_is_left_alone_is_exactly_this() -> None:
    assert ask(request(None, operation="DELETE")).body == (
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u1","allowed":true,'
        b'"auditAnnotations":{"reason":"operation-ignored"}}}'
    )


@pytest.mark.parametrize("operation", ["CREATE", "UPDATE"])
def test_a_service_account_is_patched_when_created_and_when_updated(operation: str) -> None:
    object_ = {**SERVICE_ACCOUNT, "imagePullSecrets": [{"name": "own"}]}
    answer = ask(request(object_, "serviceaccounts", operation))
    assert patch_in(answer) == [{"op": "add", "path": "/imagePullSecrets/-", "value": {"name": "registry"}}]
    assert (answer.resource, answer.operation, answer.reason) == ("serviceaccounts", operation, Reason.INJECTED)


IGNORED = {
    "an update of a pod": (request(POD, operation="UPDATE"), Reason.OPERATION_IGNORED),
    "a connect": (request(POD, operation="CONNECT"), Reason.OPERATION_IGNORED),
    "an operation of the future": (request(POD, operation="FROB"), Reason.OPERATION_IGNORED),
    "a delete without object": (request(None, operation="DELETE"), Reason.OPERATION_IGNORED),
    "a create without object": (request(None), Reason.OBJECT_ABSENT),
    "a subresource": (request(POD, subResource="ephemeralcontainers"), Reason.RESOURCE_IGNORED),
    "another resource": (request({}, "configmaps"), Reason.RESOURCE_IGNORED),
    "pods of another group": (
        {**request(POD), "resource": {"group": "x", "version": "v1", "resource": "pods"}},
        Reason.RESOURCE_IGNORED,
    ),
    "an object of another kind": (request({**POD, "kind": "ConfigMap"}), Reason.RESOURCE_IGNORED),
    "a request of another kind": (
        request(POD, kind={"group": "", "version": "v1", "kind": "Binding"}),
        Reason.RESOURCE_IGNORED,
    ),
    "a pod without spec": (request({"kind": "Pod"}), Reason.OBJECT_UNREADABLE),
    "an object that is a list": (request([]), Reason.OBJECT_UNREADABLE),
    "a namespace that is a number": (request(POD, namespace=5), Reason.OBJECT_UNREADABLE),
    "a pod without a namespace": (without(request(POD), "namespace"), Reason.OBJECT_UNREADABLE),
    "a namespace that is null": (request(POD, namespace=None), Reason.OBJECT_UNREADABLE),
    "an empty namespace": (request(POD, namespace=""), Reason.OBJECT_UNREADABLE),
    "a pod whose namespace is stated by the object alone": (
        without(request({**POD, "metadata": {"namespace": "team-a"}}), "namespace"),
        Reason.OBJECT_UNREADABLE,
    ),
    "a service account without a namespace": (
        without(request(SERVICE_ACCOUNT, "serviceaccounts"), "namespace"),
        Reason.OBJECT_UNREADABLE,
    ),
    "references that are a string": (request({**POD, "spec": {"imagePullSecrets": "a"}}), Reason.OBJECT_UNREADABLE),
    "references that are there": (
        request({**POD, "spec": {"imagePullSecrets": [{"name": "registry"}, {"name": "registry"}]}}),
        Reason.ALREADY_PRESENT,
    ),
    "an excluded namespace": (request(POD, namespace="kube-system"), Reason.NAMESPACE_EXCLUDED),
}


@pytest.mark.parametrize(("asked", "reason"), IGNORED.values(), ids=IGNORED)
def test_there_is_no_patch_for(asked: dict[str, Any], reason: Reason) -> None:
    answer = ask(asked)
    assert patch_in(answer) is None
    assert answer.reason is reason


def test_metrics_cannot_be_flooded_with_names_that_a_client_invents() -> None:
    answer = ask(request({}, "pods-of-x", "FROB"))
    assert (answer.resource, answer.operation) == ("other", "other")


def test_the_namespace_is_that_of_the_request_and_never_that_of_the_object() -> None:
    object_ = {**POD, "metadata": {"namespace": "kube-system"}}
    assert ask(request(object_)).reason is Reason.INJECTED


def test_a_dry_run_gets_the_same_answer() -> None:
    assert ask(request(POD, dryRun=True)).body == ask(request(POD)).body


@pytest.mark.parametrize(
    ("references", "paths"),
    [
        (None, ["/spec/imagePullSecrets"]),
        ([], ["/spec/imagePullSecrets/-"]),
        ([{}], ["/spec/imagePullSecrets/-"]),
        ([{"name": None}], ["/spec/imagePullSecrets/-"]),
        ([{"name": f"n{number}"} for number in range(10_000)], ["/spec/imagePullSecrets/-"]),
    ],
)
def test_a_list_is_appended_to_where_there_is_one(references: object, paths: list[str]) -> None:
    patch: Any = patch_in(ask(request({**POD, "spec": {"imagePullSecrets": references}})))
    assert [operation["path"] for operation in patch] == paths


def test_labels_of_the_namespace_decide_where_they_are_known() -> None:
    opted_in = {"pullsecrets.webhook/inject": "enabled"}
    by_labels = handler(FOR_TEAM_A, {"in": {**opted_in, "team": "a"}, "out": {**opted_in, "team": "b"}})
    assert ask(request(POD, namespace="in"), by_labels).reason is Reason.INJECTED
    assert ask(request(POD, namespace="out"), by_labels).reason is Reason.NAMESPACE_NOT_SELECTED
    assert ask(request(POD, namespace="new"), by_labels).reason is Reason.INJECTED


def test_labels_from_before_the_namespace_opted_in_are_not_believed() -> None:
    late = handler(FOR_TEAM_A, {"team-a": {"team": "b"}})
    assert ask(request(POD), late).reason is Reason.INJECTED
    assert ask(request(SERVICE_ACCOUNT, "serviceaccounts"), late).reason is Reason.NAMESPACE_UNKNOWN


def test_a_namespace_may_decline_and_is_not_known_before_it_is() -> None:
    configuration = replace(PLAIN, opt_in=OptIn(may_decline=True))
    declining = Namespace("in", {"pullsecrets.webhook/inject": "enabled"}, declined=frozenset({"registry"}))
    asked = Handler(lambda: configuration, {"in": declining}.get)
    assert ask(request(POD, namespace="in"), asked).reason is Reason.NAMESPACE_DECLINES
    assert ask(request(POD, namespace="new"), asked).reason is Reason.INJECTED
    assert ask(request(SERVICE_ACCOUNT, "serviceaccounts", namespace="new"), asked).reason is Reason.NAMESPACE_UNKNOWN
    deaf = Handler(lambda: PLAIN, {"in": declining}.get)
    assert ask(request(POD, namespace="in"), deaf).reason is Reason.INJECTED


def test_one_request_reads_one_snapshot_of_the_configuration() -> None:
    configurations = iter([PLAIN, Configuration(())])
    assert ask(request(POD), Handler(lambda: next(configurations), lambda _: None)).added == ("registry",)
    assert next(configurations).pull_secrets == ()


def test_a_large_object_is_answered_well_within_the_timeout() -> None:
    fields: dict[str, Any] = {f"f:key{number}": {"f:value": {}} for number in range(40_000)}
    object_ = {**POD, "metadata": {"managedFields": [{"fieldsV1": fields}], "annotations": {"big": "x" * 2_000_000}}}
    assert ask(request(object_)).reason is Reason.INJECTED


def test_a_defect_of_ours_keeps_no_object_from_being_admitted() -> None:
    def broken() -> Configuration:
        raise ZeroDivisionError

    with structlog.testing.capture_logs() as logged:
        answer = ask(request(POD), Handler(broken, lambda _: None))
    assert patch_in(answer) is None
    assert (answer.reason, answer.uid) == (Reason.INTERNAL_ERROR, "u1")
    assert [(line["event"], line["uid"]) for line in logged] == [("admission decision failed", "u1")]


def test_an_answer_names_its_request_for_the_log() -> None:
    answer = ask(request({**POD, "metadata": {"name": "web", "generateName": "web-"}}))
    assert (answer.uid, answer.namespace, answer.name, answer.generate_name) == ("u1", "team-a", "web", "web-")
    for resource, object_ in (("pods", POD), ("serviceaccounts", {"metadata": {"generateName": "web-"}})):
        answer = ask(request(object_, resource))
        assert (answer.name, answer.generate_name) == ("", "web-")
