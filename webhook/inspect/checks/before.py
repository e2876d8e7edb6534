"""Check a cluster before an installation: the version of its API server, your rights, and what is in the way."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from webhook.errors import ApiError, Refused
from webhook.inspect.checks.codes import BEFORE
from webhook.inspect.checks.result import CheckResult, Checkup, finding, note, unknown
from webhook.inspect.checks.rights import (
    BINDINGS,
    EVICTIONS_GUARD,
    GUARDS,
    OPT_IN_GUARD,
    POLICIES,
    REHEARSED_POD,
    TOKENS_GUARD,
    WEBHOOKS_GUARD,
    decode_access_review,
)
from webhook.inspect.reader import lacking
from webhook.kube.resources import MUTATING_WEBHOOK_CONFIGURATIONS, NAMESPACES, PODS, Resource
from webhook.kube.wire import PartialObjectMetadata, decoder
from webhook.report.protocol import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from webhook.inspect.reader import Reader

OLDEST = (1, 28)
"""The oldest Kubernetes that the chart supports, as in its Chart.yaml."""

WITH_POLICIES = (1, 30)
"""The first Kubernetes with ValidatingAdmissionPolicies in the version that the chart uses."""

REVIEWS = Resource("/apis/authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews")
CLUSTER_ROLES = Resource("/apis/rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles")
CERT_MANAGER = "cert-manager.io"

_ADMISSION, _RBAC = "admissionregistration.k8s.io", "rbac.authorization.k8s.io"
_OF_CLUSTER = (
    (_ADMISSION, "mutatingwebhookconfigurations"),
    (_RBAC, "clusterroles"),
    (_RBAC, "clusterrolebindings"),
)
_POLICIES = ((_ADMISSION, "validatingadmissionpolicies"), (_ADMISSION, "validatingadmissionpolicybindings"))
_OF_NAMESPACE = (
    ("", "secrets"),
    ("", "configmaps"),
    ("", "serviceaccounts"),
    ("", "services"),
    ("apps", "deployments"),
    (_RBAC, "roles"),
    (_RBAC, "rolebindings"),
)


class _Version(msgspec.Struct, frozen=True, rename="camel"):
    git_version: str = ""


class _Group(msgspec.Struct, frozen=True):
    name: str = ""


class _Groups(msgspec.Struct, frozen=True):
    groups: tuple[_Group, ...] = ()


_decode_version: Callable[[bytes], _Version] = decoder(_Version)
_decode_groups: Callable[[bytes], _Groups] = decoder(_Groups)
_decode_metadata: Callable[[bytes], PartialObjectMetadata] = decoder(PartialObjectMetadata)


def check_before(
    reader: Reader, release: str, namespace: str, fullname: str, *, uses_cert_manager: bool = False
) -> Checkup:
    """Run the checks before an installation of a release; UsageError without an API server.

    ``fullname`` is the name of its objects, or the prefix of their names.
    """
    version = _version(reader)
    checks = {
        "PSW090": lambda: _of_version(version),
        "PSW091": lambda: _rights(reader, namespace, version),
        "PSW092": lambda: _cert_manager(reader) if uses_cert_manager else iter(()),
        "PSW093": lambda: _namespace(reader, namespace),
        "PSW094": lambda: _names(reader, release, namespace, fullname, version),
    }
    outcomes: list[CheckResult] = []
    for code in BEFORE:
        try:
            outcomes += list(checks[code]()) or [CheckResult(code, Severity.OK, "")]
        except ApiError as error:
            outcomes.append(unknown(code, str(error)))
    return Checkup(tuple(outcomes))


def _version(reader: Reader) -> tuple[int, ...]:
    text = _decode_version(reader.get_path("/version")).git_version
    return tuple(map(int, re.findall(r"\d+", text)[:2]))


def _of_version(version: tuple[int, ...]) -> Iterator[CheckResult]:
    text = ".".join(map(str, version))
    if version < OLDEST:
        yield finding("PSW090", f"the API server is Kubernetes {text}")
    elif version < WITH_POLICIES:
        yield note("PSW090", f"the API server is Kubernetes {text}, so guard.enabled has no effect")


def _rights(reader: Reader, namespace: str, version: tuple[int, ...]) -> Iterator[CheckResult]:
    kinds = [(*kind, "") for kind in (*_OF_CLUSTER, *(_POLICIES if version >= WITH_POLICIES else ()))]
    for group, resource, where in (*kinds, *((*kind, namespace) for kind in _OF_NAMESPACE)):
        attributes = {"verb": "create", "group": group, "resource": resource, "namespace": where}
        review = reader.client.create(REVIEWS, {"spec": {"resourceAttributes": attributes}})
        if not decode_access_review(review).status.allowed:
            option = f" -n {where}" if where else ""
            kind = f"{resource}.{group}" if group else resource
            command = f"kubectl auth can-i create {kind}{option}"
            yield finding("PSW091", lacking("create", resource, where), command)


def _cert_manager(reader: Reader) -> Iterator[CheckResult]:
    groups = _decode_groups(reader.get_path("/apis")).groups
    if all(group.name != CERT_MANAGER for group in groups):
        yield finding("PSW092", f"the API server does not serve {CERT_MANAGER}")


def _namespace(reader: Reader, namespace: str) -> Iterator[CheckResult]:
    content = reader.get(NAMESPACES, namespace)
    if content is None:
        yield note("PSW093", f"namespace {namespace} does not exist: helm install --create-namespace creates it")
        return
    if _decode_metadata(content).metadata.deletion_timestamp is not None:
        yield finding("PSW093", f"namespace {namespace} is being deleted")
        return
    body = {"apiVersion": "v1", "kind": "Pod", **REHEARSED_POD}
    try:
        reader.client.request(
            "POST", PODS.path(namespace), query={"dryRun": "All"}, body=body, content_type="application/json"
        )
    # A policy or a webhook that denies it chooses the code, so not every refusal is 403.
    except Refused as error:
        yield finding("PSW093", f"a Pod like those of the chart is refused in namespace {namespace}: {error}")


def _names(
    reader: Reader, release: str, namespace: str, fullname: str, version: tuple[int, ...]
) -> Iterator[CheckResult]:
    optional = (WEBHOOKS_GUARD, TOKENS_GUARD, EVICTIONS_GUARD, OPT_IN_GUARD)
    guards = (*GUARDS, *optional) if version >= WITH_POLICIES else ()
    for resource, name in (
        (MUTATING_WEBHOOK_CONFIGURATIONS, fullname),
        (CLUSTER_ROLES, f"{fullname}-sync"),
        (CLUSTER_ROLES, f"{fullname}-webhook"),
        *((kind, f"{fullname}-{guard}") for guard in guards for kind in (POLICIES, BINDINGS)),
    ):
        content = reader.get(resource, name)
        if content is None:
            continue
        annotations = _decode_metadata(content).metadata.annotations or {}
        owner = tuple(annotations.get(f"meta.helm.sh/release-{part}", "") for part in ("name", "namespace"))
        if owner != (release, namespace):
            owner_text = (
                f"belongs to release {owner[0]} in namespace {owner[1]}" if owner[0] else "was not made by Helm"
            )
            yield finding(
                "PSW094", f"{resource.kind} {name} exists and {owner_text}", f"kubectl get {resource.plural} {name}"
            )
