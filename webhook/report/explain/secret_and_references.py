"""Steps about the Secret of a pull secret in a namespace, a copy or the namespace's own, and the references to it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from webhook.errors import SourceInvalid
from webhook.report.explain.commands import NO_FACTS, SecretFacts, conflict_command, create_source, source_command
from webhook.report.explain.step import Step
from webhook.report.preview.copies import METADATA_DIFFERS, copy_rows, last_good_copy
from webhook.report.preview.row import Effect, PreviewReason
from webhook.report.protocol import Severity
from webhook.report.reasons import advice
from webhook.rules.actions import FindingReason
from webhook.rules.backfill import subject_of
from webhook.rules.configuration import Reason
from webhook.rules.gates import decide
from webhook.rules.keyring import SecretState
from webhook.rules.text import counted, listed, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from webhook.report.explain.obstacle import ControllerState
    from webhook.report.preview.cluster_view import ClusterView
    from webhook.report.preview.row import Row
    from webhook.report.preview.secrets import Expected
    from webhook.rules.actions import NamespacePlan
    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import NamespaceState, Subject

_SOURCE_FAULTS = (FindingReason.SOURCE_UNAVAILABLE, PreviewReason.COPY_KEPT, PreviewReason.COPY_OUTDATED)

_NAMES_SHOWN = 5
_REGISTRIES_SHOWN = 5
_WITHHELD = {
    FindingReason.REFERENCE_REQUIRED: 'ServiceAccount "{}" enforces its references and must not get {}',
    FindingReason.REFERENCES_TOO_MANY: 'ServiceAccount "{}" has too many references to get {}',
}


def reference_step(
    subject: Subject, pull_secret: str, reason: Reason, copy: Step | None, writer: ControllerState, *, exists: bool
) -> Step:
    """Return the step about the reference to a pull secret that applies; a new object will get the reference.

    ``copy`` is the step about a copy that the reference waits for: the controller adds none before there is a copy.
    """
    gate = "reference"
    if reason is Reason.ALREADY_PRESENT:
        return Step(gate, Severity.OK, f"it references {pull_secret}", reason, pull_secret=pull_secret)
    if not exists:
        message = f"{pull_secret} is added when it is created"
        return Step(gate, Severity.OK, message, Reason.INJECTED, pull_secret=pull_secret)
    message = f"it does not reference {pull_secret}, which is due"
    if subject.kind == "Pod":
        missing = PreviewReason.POD_WITHOUT_REFERENCE
        return Step(gate, Severity.FAULT, message, missing, advice(missing), pull_secret)
    return _reference_due(gate, message, pull_secret, copy, writer, (subject.name,))


def _reference_due(
    gate: str, message: str, pull_secret: str, copy: Step | None, writer: ControllerState, accounts: Iterable[str]
) -> Step:
    if copy is not None and copy.severity is Severity.FAULT and copy.reason != PreviewReason.COPY_DUE:
        todo = "sync adds it when there is a copy; the gate copy shows why there is none"
        message = f"{message}, and there is no copy to reference"
        return Step(gate, Severity.FAULT, message, PreviewReason.REFERENCE_DUE, todo, pull_secret, follows=True)
    # The copy comes first, so an obstacle to the copy is an obstacle to the reference.
    targets = {("Secret", pull_secret), *(("ServiceAccount", name) for name in accounts)}
    step = writer.due(gate, message, PreviewReason.REFERENCE_DUE, pull_secret, targets)
    return replace(step, follows=copy is not None and copy.severity is Severity.FAULT)


def copy_step(
    cluster: ClusterView,
    namespace: str,
    pull_secret: str,
    writer: ControllerState,
    *,
    exists: bool,
    elsewhere: Mapping[str, Sequence[str]],
    secrets: Mapping[str, SecretFacts],
) -> Step | None:
    """Return the step about the copy of a pull secret in a namespace; None if the namespace is unknown.

    ``elsewhere`` has the namespaces with a Secret of a missing source's name; ``secrets`` has the facts about sources
    that cannot be copied, and about foreign Secrets in the place of copies.
    """
    if namespace not in cluster.states:
        return None
    state, plan = cluster.states[namespace], cluster.plans[namespace]
    rows = copy_rows(state, plan, cluster.configuration, cluster.expected, cluster.unseen_copies)
    row = next((row for row in rows if row.title == f"Secret/{pull_secret}" and row.effect is not Effect.DELETE), None)
    if row is None:
        return None
    write = next((write for write in plan.copies if write.name == pull_secret), None)
    if exists and write is not None and write.only_metadata and row.effect.is_change:
        targets = {("Secret", pull_secret)}
        message = f"the copy has its content; {METADATA_DIFFERS}"
        return writer.due("copy", message, PreviewReason.COPY_DUE, pull_secret, targets)
    step = _copy_step(row, pull_secret, writer, cluster.expected[pull_secret], exists=exists)
    if step.advice == advice(PreviewReason.COPY_DUE) and row.effect is Effect.UPDATE:
        return _in_turn(step, cluster.expected[pull_secret].turn_in(namespace))
    if step.reason == FindingReason.COPY_CONFLICT and exists:
        return _about_conflict(step, namespace, secrets.get(pull_secret, NO_FACTS))
    return _about_source(step, cluster, pull_secret, elsewhere, secrets) if step.reason in _SOURCE_FAULTS else step


def _in_turn(step: Step, rate: int) -> Step:
    """Return the step about a due copy that nothing keeps from being written; ``rate`` is the limit of a rotation."""
    if not rate:
        return step
    pace = f"sync changes at most {counted(rate, 'copy', 'copies')} a second"
    message = f"{step.message}; it waits for its turn, because {pace}"
    return replace(
        step, severity=Severity.NOTE, message=message, command=f"kubectl pullsecrets rotate {step.pull_secret} --wait"
    )


def _about_conflict(step: Step, namespace: str, facts: SecretFacts) -> Step:
    """Return the step about a foreign Secret with its owner, and with a command that keeps its content."""
    message = f"{step.message}; {facts.owner}" if facts.owner else step.message
    return replace(step, message=message, command=conflict_command(namespace, step.pull_secret, facts))


def _about_source(
    step: Step,
    cluster: ClusterView,
    pull_secret: str,
    elsewhere: Mapping[str, Sequence[str]],
    secrets: Mapping[str, SecretFacts],
) -> Step:
    """Return a step about a source that cannot be copied, with the reason of the source and its next command."""
    entry = next(entry for entry in cluster.configuration.pull_secrets if entry.name == pull_secret)
    for name in entry.sources:
        problem = cluster.sources.read.get(name)
        if not isinstance(problem, SourceInvalid):
            continue
        others, facts = elsewhere.get(name, ()), secrets.get(name, NO_FACTS)
        where = f"{'namespace' if len(others) == 1 else 'namespaces'} {listed(others)}"
        message = f"{step.message}; a Secret of that name is in {where}" if others else step.message
        message = f"{message}; {facts.owner}" if facts.controller else message
        reason = problem.reason if step.reason == FindingReason.SOURCE_UNAVAILABLE else step.reason
        command = source_command(cluster.release_namespace or "RELEASE_NAMESPACE", name, problem.reason, others, facts)
        return replace(step, message=message, reason=reason, advice=advice(problem.reason), command=command)
    return step


def _copy_step(row: Row, pull_secret: str, writer: ControllerState, expected: Expected, *, exists: bool) -> Step:
    gate, last_good = "copy", expected.last_good
    if row.effect is Effect.PROBLEM:
        return Step(gate, Severity.FAULT, row.message, row.reason, advice(row.reason), pull_secret)
    if row.effect.is_change and exists:
        content = "what its sources have now" if expected.stored is None else "the content of its stage"
        content = content if last_good is None else last_good_copy(last_good)
        lacking = "is not there yet" if row.effect is Effect.CREATE else f"does not hold {content}"
        if last_good is not None:
            lacking = f"{lacking}; it is to be {row.message}"
        targets = {("Secret", pull_secret)}
        return writer.due(gate, f"the copy {lacking}", PreviewReason.COPY_DUE, pull_secret, targets)
    if row.effect is Effect.UNDECIDED:
        return Step(gate, Severity.UNKNOWN, row.message, row.reason, advice(row.reason), pull_secret)
    if row.reason == PreviewReason.SOURCE_NOT_SEEN and not row.effect.is_change:
        message = f"the copy is there; whether it is current is not known: it is {row.message}"
        return Step(gate, Severity.OK, message, row.reason, pull_secret=pull_secret)
    if row.reason == PreviewReason.COPY_KEPT:
        return Step(gate, Severity.NOTE, f"the copy is {row.message}", row.reason, advice(row.reason), pull_secret)
    return Step(gate, Severity.OK, f"the copy is {row.message}", row.reason, pull_secret=pull_secret)


def account_steps(
    state: NamespaceState,
    plan: NamespacePlan,
    configuration: Configuration,
    pull_secret: str,
    copy: Step | None,
    writer: ControllerState,
    *,
    exists: bool,
) -> list[Step]:
    """Return the step about the ServiceAccounts of a namespace that lack a pull secret now, and the obstacles."""
    gate = "ServiceAccounts"
    withheld = [finding for finding in plan.findings if finding.reason in _WITHHELD and finding.secret == pull_secret]
    steps = [
        Step(
            gate,
            Severity.FAULT,
            _WITHHELD[finding.reason].format(finding.service_account, pull_secret),
            finding.reason,
            advice(finding.reason),
            pull_secret,
        )
        for finding in withheld
    ]
    namespace = state.namespace
    reasons = {
        account.name: dict(decide(subject_of(account, namespace), configuration, namespace).gates).get(pull_secret)
        for account in state.service_accounts
        if not account.terminating and account.references is not None
    }
    named = {finding.service_account for finding in withheld}
    lacking = [name for name, reason in reasons.items() if reason is Reason.INJECTED and name not in named]
    if lacking and exists:
        verb = "lacks" if len(lacking) == 1 else "lack"
        return [
            *steps,
            _reference_due(gate, f"{some(lacking, _NAMES_SHOWN)} {verb} it", pull_secret, copy, writer, lacking),
        ]
    if lacking:
        return [
            *steps,
            Step(gate, Severity.OK, f"{some(lacking, _NAMES_SHOWN)} would get it", pull_secret=pull_secret),
        ]
    unreadable = [account.name for account in state.service_accounts if account.references is None]
    if unreadable:
        reason = Reason.OBJECT_UNREADABLE
        message = f"the imagePullSecrets of {some(unreadable, _NAMES_SHOWN)} cannot be read"
        return [*steps, Step(gate, Severity.FAULT, message, reason, advice(reason), pull_secret)]
    if steps:
        return steps
    holding = sum(reason is Reason.ALREADY_PRESENT for reason in reasons.values())
    message = "each that is included references it" if holding else "the namespace has none that is included"
    return [Step(gate, Severity.OK, message, pull_secret=pull_secret)]


class TenantSecret(msgspec.Struct, frozen=True):
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
    """Return the step about a Secret that belongs to a namespace; ``secret`` is None without a cluster."""
    step = Step("Secret", Severity.OK, f"Secret {name} belongs to the namespace, and sync never reads it")
    step = replace(step, pull_secret=name)
    if secret is None:
        return step
    if secret.state is SecretState.UNREAD:
        command = f"kubectl auth can-i get secrets/{shlex.quote(name)} -n {shlex.quote(namespace)}"
        message = "you lack the right to get it, so it is not known whether it exists"
        return _with_reason(step, Severity.UNKNOWN, message, PreviewReason.TENANT_SECRET_NOT_SEEN, command)
    if secret.state is SecretState.ABSENT:
        message = "it does not exist, so references to it have no effect"
        return _with_reason(
            step, Severity.NOTE, message, PreviewReason.TENANT_SECRET_ABSENT, create_source(namespace, name)
        )
    if secret.problem:
        reason = PreviewReason.TENANT_SECRET_UNUSABLE
        return _with_reason(step, Severity.FAULT, secret.problem, reason, secret.command)
    origin = " as an older copy, which is not updated" if secret.is_copy else ""
    registries = some(sorted(secret.registries), _REGISTRIES_SHOWN)
    return replace(step, message=f"{step.message}; it exists{origin}, with credentials for {registries}")


def _with_reason(step: Step, severity: Severity, message: str, reason: PreviewReason, command: str) -> Step:
    return replace(
        step,
        severity=severity,
        message=f"{step.message}; {message}",
        reason=reason,
        advice=advice(reason),
        command=command,
    )
