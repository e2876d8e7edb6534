"""Check the rights of the release's identities, and the policies that restrict these identities.

The rights are those of docs/rights.md, as SubjectAccessReviews.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from webhook.errors import NotFound
from webhook.inspect.checks.result import Check, Context, Outcome, finding, note
from webhook.kube.resources import Collection, Resource
from webhook.kube.wire import (
    ObjectMeta,
    decoder,
)
from webhook.rules.state_document import STATE_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_PREFIX = "/apis/admissionregistration.k8s.io/v1"
POLICIES = Resource(_PREFIX, "ValidatingAdmissionPolicy", "validatingadmissionpolicies")
BINDINGS = Resource(_PREFIX, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings")
GUARDS = ("secrets", "serviceaccounts")
"""The guarded resources; each policy is named after the release and one of these."""


class _PolicySpec(msgspec.Struct, frozen=True, rename="camel"):
    failure_policy: str = ""


class Policy(msgspec.Struct, frozen=True):
    """A ValidatingAdmissionPolicy."""

    metadata: ObjectMeta
    spec: _PolicySpec


class _BindingSpec(msgspec.Struct, frozen=True, rename="camel"):
    policy_name: str = ""
    validation_actions: tuple[str, ...] = ()


class Binding(msgspec.Struct, frozen=True):
    """A ValidatingAdmissionPolicyBinding."""

    metadata: ObjectMeta
    spec: _BindingSpec


def _look_at_guards(context: Context) -> Iterator[Outcome]:
    wanted = {f"{context.installed.fullname}-{guard}" for guard in GUARDS}
    try:
        policies = {each.metadata.name: each for each in context.reader.each(Collection(POLICIES), Policy)}
        bindings = [each.spec for each in context.reader.each(Collection(BINDINGS), Binding)]
    except NotFound:
        yield note(
            "PSW080", "this API server has no ValidatingAdmissionPolicies: nothing holds the identities but RBAC"
        )
        return
    there = wanted & policies.keys()
    if not there:
        yield note("PSW080", "no policy guards the identities: guard.enabled is off, or the policies were removed")
        return
    for name in sorted(wanted - there):
        yield finding("PSW080", f"ValidatingAdmissionPolicy {name} is gone")
    for name in sorted(there):
        if policies[name].spec.failure_policy != "Fail":
            yield finding("PSW080", f"failurePolicy of ValidatingAdmissionPolicy {name} is not Fail")
        if not any(each.policy_name == name and "Deny" in each.validation_actions for each in bindings):
            yield finding("PSW080", f"no binding enforces ValidatingAdmissionPolicy {name}")


GUARDED = Check(("PSW080",), _look_at_guards)


SUBJECT_ACCESS_REVIEWS = Resource("/apis/authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews")


class _Status(msgspec.Struct, frozen=True):
    allowed: bool = False


class _Review(msgspec.Struct, frozen=True):
    status: _Status


_decode: Callable[[bytes], _Review] = decoder(_Review)


@dataclass(frozen=True, slots=True)
class Right:
    """A right on one kind of object; an empty ``namespace`` means all, an empty ``name`` any."""

    verbs: tuple[str, ...]
    resource: str
    namespace: str = ""
    name: str = ""
    group: str = ""

    def __str__(self) -> str:
        name = f"/{self.name}" if self.name else ""
        return f"{self.resource}{name}{f' in {self.namespace}' if self.namespace else ''}"


def _sync_rights(context: Context) -> Iterator[Right]:
    installed = context.installed
    where, fullname = installed.release.namespace, installed.fullname
    yield Right(("get", "list", "watch"), "namespaces")
    yield Right(("get", "list", "watch", "patch"), "serviceaccounts")
    yield Right(("create", "patch"), "events")
    for name in installed.configuration.secret_names:
        yield Right(("get", "list", "watch", "create", "patch", "delete"), "secrets", name=name)
    for name in installed.configuration.source_names:
        yield Right(("get", "list", "watch"), "secrets", where, name)
    yield Right(("get", "create", "patch"), "leases", where, f"{fullname}-sync", "coordination.k8s.io")
    yield Right(("get", "create", "patch"), "secrets", where, f"{fullname}{STATE_SUFFIX}")
    if installed.webhook is not None and installed.webhook.certificates_mode == "self-managed":
        kind = "mutatingwebhookconfigurations"
        yield Right(("get", "list", "watch", "patch"), kind, name=fullname, group="admissionregistration.k8s.io")
        for suffix in ("tls", "ca"):
            verbs = ("get", "list", "watch", "create", "patch", "delete")
            yield Right(verbs, "secrets", where, f"{fullname}-{suffix}")


def _webhook_rights(context: Context) -> Iterator[Right]:
    installed = context.installed
    yield Right(("get", "list", "watch"), "secrets", installed.release.namespace, f"{installed.fullname}-tls")
    if installed.configuration.needs_namespace_labels:
        yield Right(("get", "list", "watch"), "namespaces")


def _look_at_rights(context: Context) -> Iterator[Outcome]:
    for code, role, rights in (
        ("PSW001", "sync", _sync_rights(context)),
        ("PSW002", "webhook", _webhook_rights(context)),
    ):
        yield from _missing(context, code, f"{context.user_prefix}-{role}", rights)
    everything = Right(("get", "list", "watch"), "secrets")
    for role in ("sync", "webhook"):
        user = f"{context.user_prefix}-{role}"
        allowed = [verb for verb in everything.verbs if _may(context, user, verb, everything)]
        if allowed:
            yield finding("PSW003", f"{user} may {', '.join(allowed)} every Secret of the cluster")


def _missing(context: Context, code: str, user: str, rights: Iterable[Right]) -> Iterator[Outcome]:
    for right in rights:
        lacking = [verb for verb in right.verbs if not _may(context, user, verb, right)]
        if lacking:
            yield finding(code, f"{user} may not {', '.join(lacking)} {right}")


def _may(context: Context, user: str, verb: str, right: Right) -> bool:
    _, _, namespace, _ = user.split(":")
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
    attributes = {
        "verb": verb,
        "group": right.group,
        "resource": right.resource,
        "namespace": right.namespace,
        "name": right.name,
    }
    body = {"spec": {"user": user, "groups": groups, "resourceAttributes": attributes}}
    return _decode(context.reader.client.create(SUBJECT_ACCESS_REVIEWS, body)).status.allowed


RIGHTS = Check(("PSW001", "PSW002", "PSW003"), _look_at_rights)
