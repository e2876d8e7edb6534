"""The ValidatingAdmissionPolicies that hold the identities to what they are for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from webhook.errors import NotFound
from webhook.kube.resources import Collection, Resource
from webhook.kube.wire import ObjectMeta  # noqa: TC001 - msgspec evaluates the annotations
from webhook.live.check.outcome import Check, Context, Outcome, finding, note

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "/apis/admissionregistration.k8s.io/v1"
POLICIES = Resource(_PREFIX, "ValidatingAdmissionPolicy", "validatingadmissionpolicies")
BINDINGS = Resource(_PREFIX, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings")
GUARDS = ("secrets", "serviceaccounts")
"""What is guarded: the policies are called after the release and this."""


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


def _look(context: Context) -> Iterator[Outcome]:
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


GUARDED = Check(("PSW080",), _look)
