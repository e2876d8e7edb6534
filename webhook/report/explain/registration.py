"""Describe the MutatingWebhookConfiguration, as far as an explanation needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from webhook.report.explain.step import Step
from webhook.report.preview.row import PreviewReason
from webhook.report.protocol import Severity
from webhook.report.reasons import advice
from webhook.rules.labels import EVERYTHING, Selector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from webhook.rules.objects import Namespace, Subject

NAME_LABEL = "kubernetes.io/metadata.name"
"""The label that the API server gives each namespace, with its name."""

RESOURCES: Mapping[str, str] = {"Pod": "pods", "ServiceAccount": "serviceaccounts"}


_EFFECTS: Mapping[str, str] = {
    "Ignore": "; new objects pass as they are",
    "Fail": "; the API server refuses new objects",
}
"""The effect of each failurePolicy while no replica answers."""


class Hook(msgspec.Struct, frozen=True):
    """One entry of a MutatingWebhookConfiguration; ``asks`` holds pairs of resource and operation."""

    name: str
    asks: frozenset[tuple[str, str]]
    namespace_selector: Selector = EVERYTHING
    object_selector: Selector = EVERYTHING
    failure_policy: str = "Ignore"
    has_ca_bundle: bool = True
    """True if it has a caBundle, without which the API server trusts no certificate of ours."""

    def selects(self, namespace: Namespace, labels: Mapping[str, str]) -> bool:
        """Return True if the API server calls the webhook for an object with these labels, judged by the selectors."""
        of_namespace = {NAME_LABEL: namespace.name, **namespace.labels}
        return self.namespace_selector.matches(of_namespace) and self.object_selector.matches(labels)


class Reachability(msgspec.Struct, frozen=True):
    """True if a replica can answer, None if that cannot be determined; a sentence about it, and the next command."""

    answers: bool | None
    message: str
    command: str = ""


class Registration(msgspec.Struct, frozen=True):
    """The MutatingWebhookConfiguration of the release, by its name; without any hook if it does not exist."""

    name: str
    hooks: tuple[Hook, ...]
    reach: Reachability

    def hook_for(self, kind: str) -> Hook | None:
        """Return the hook that is called for new objects of a kind."""
        return next((hook for hook in self.hooks if (RESOURCES[kind], "CREATE") in hook.asks), None)


def registration_steps(registration: Registration, kind: str) -> Iterator[Step]:
    """Yield steps about the API server's calls of the webhook for a kind of object, and about their answers."""
    hook = registration.hook_for(kind)
    if hook is None:
        message = f"no webhook of MutatingWebhookConfiguration {registration.name} is called for new {RESOURCES[kind]}"
        yield _step("webhook registered", Severity.FAULT, message, PreviewReason.WEBHOOK_NOT_REGISTERED)
        return
    message = f"{hook.name} of MutatingWebhookConfiguration {registration.name} is called for new {RESOURCES[kind]}"
    yield Step("webhook registered", Severity.OK, message)
    yield _reached(registration.reach, hook)


def selection_steps(registration: Registration, subject: Subject, namespace: Namespace) -> Iterator[Step]:
    """Yield steps about differences between the selectors at the API server and the configuration for an object."""
    hook = registration.hook_for(subject.kind)
    if hook is None:
        return
    if hook.selects(namespace, subject.labels):
        yield Step("webhook asked", Severity.OK, f"the selectors of {hook.name} match")
    else:
        message = f"the selectors of {hook.name} do not match the labels, so the API server does not call it"
        yield _step("webhook asked", Severity.FAULT, message, PreviewReason.WEBHOOK_NOT_ASKED)


def _reached(reach: Reachability, hook: Hook) -> Step:
    gate = "webhook reachable"
    if not hook.has_ca_bundle:
        message = f"{hook.name} has no caBundle, so the API server trusts no certificate that is served"
        return _step(gate, Severity.FAULT, message, PreviewReason.WEBHOOK_UNREACHABLE)
    if reach.answers is None:
        return _step(gate, Severity.UNKNOWN, reach.message, PreviewReason.WEBHOOK_NOT_SEEN)
    if not reach.answers:
        effect = _EFFECTS.get(hook.failure_policy, "")
        message = f"{reach.message}{effect}"
        return replace(_step(gate, Severity.FAULT, message, PreviewReason.WEBHOOK_UNREACHABLE), command=reach.command)
    return Step(gate, Severity.OK, reach.message)


def _step(gate: str, severity: Severity, message: str, reason: PreviewReason) -> Step:
    return Step(gate, severity, message, reason, advice(reason))
