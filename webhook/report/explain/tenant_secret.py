"""The step about a Secret that belongs to its namespace: its state, as far as the rights of the caller show it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

from webhook.report.explain.commands import create_source
from webhook.report.explain.step import Step
from webhook.report.preview.row import PreviewReason
from webhook.report.protocol import Severity
from webhook.report.reasons import advice
from webhook.rules.keyring import SecretState
from webhook.rules.text import some

_REGISTRIES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class TenantSecret:
    """A Secret of a namespace as its nodes read it; nothing of its content but the registries."""

    state: SecretState
    registries: frozenset[str] = frozenset()
    problem: str = ""
    """A clause that says why nodes get no credential from it."""
    command: str = ""
    """The command that solves the problem."""
    is_copy: bool = False
    """True for a copy from the time when the pull secret had sources."""

    @property
    def helps(self) -> bool:
        """Return whether nodes get a credential from it."""
        return bool(self.registries)


def tenant_step(namespace: str, name: str, secret: TenantSecret | None) -> Step:
    """Return the step about the Secret of a namespace; None without a cluster."""
    step = Step("Secret", Severity.OK, f"Secret {name} belongs to the namespace, and sync never reads it")
    step = replace(step, pull_secret=name)
    if secret is None:
        return step
    if secret.state is SecretState.UNREAD:
        command = f"kubectl auth can-i get secrets/{shlex.quote(name)} -n {shlex.quote(namespace)}"
        why = "you lack the right to get it, so it is not known whether it exists"
        return _told(step, Severity.UNKNOWN, why, PreviewReason.TENANT_SECRET_NOT_SEEN, command)
    if secret.state is SecretState.ABSENT:
        why = "it does not exist, so references to it have no effect"
        return _told(step, Severity.NOTE, why, PreviewReason.TENANT_SECRET_ABSENT, create_source(namespace, name))
    if secret.problem:
        reason = PreviewReason.TENANT_SECRET_UNUSABLE
        return _told(step, Severity.FAULT, secret.problem, reason, secret.command)
    origin = " as a copy from before, which is not updated" if secret.is_copy else ""
    registries = some(sorted(secret.registries), _REGISTRIES_SHOWN)
    return replace(step, why=f"{step.why}; it exists{origin}, with credentials for {registries}")


def _told(step: Step, severity: Severity, why: str, reason: PreviewReason, command: str) -> Step:
    return replace(
        step, severity=severity, why=f"{step.why}; {why}", reason=reason, advice=advice(reason), command=command
    )
