"""The last gates of a pull secret: the reference itself, the copy that it names, and the registries of the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.core.actions import FindingReason
from webhook.core.backfill import subject_of
from webhook.core.catalog import advice
from webhook.core.coverage import uncovered
from webhook.core.explain.step import Step, Verdict
from webhook.core.gates import decide
from webhook.core.model import Reason
from webhook.core.preview.copies import copy_rows, last_good_copy
from webhook.core.preview.row import Effect, PreviewReason
from webhook.core.text import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from webhook.core.actions import NamespacePlan
    from webhook.core.explain.obstacle import Writer
    from webhook.core.inject import Subject
    from webhook.core.model import Configuration
    from webhook.core.preview.row import Row
    from webhook.core.preview.world import World
    from webhook.core.state import NamespaceState
    from webhook.core.state_document import LastGood

_UNCOVERED_SHOWN = 3
_NAMES_SHOWN = 5
_WITHHELD = {
    FindingReason.REFERENCE_REQUIRED: 'ServiceAccount "{}" enforces its references and may not be given {}',
    FindingReason.REFERENCES_TOO_MANY: 'ServiceAccount "{}" has too many references to be given {}',
}


def reference_step(
    subject: Subject, pull_secret: str, reason: Reason, copy: Step | None, writer: Writer, *, exists: bool
) -> Step:
    """Return whether an object references a pull secret that is due; one that does not exist yet is given it.

    ``copy`` is the step about the copy: the controller adds no reference before there is a copy.
    """
    gate = "reference"
    if reason is Reason.ALREADY_PRESENT:
        return Step(gate, Verdict.PASS, f"it references {pull_secret}", reason, pull_secret=pull_secret)
    if not exists:
        why = f"{pull_secret} is added when it is created"
        return Step(gate, Verdict.PASS, why, Reason.INJECTED, pull_secret=pull_secret)
    why = f"it does not reference {pull_secret}, which is due"
    if subject.kind == "Pod":
        missing = PreviewReason.POD_WITHOUT_REFERENCE
        return Step(gate, Verdict.STOP, why, missing, advice(missing), pull_secret)
    return _reference_due(gate, why, pull_secret, copy, writer, (subject.name,))


def _reference_due(
    gate: str, why: str, pull_secret: str, copy: Step | None, writer: Writer, accounts: Iterable[str]
) -> Step:
    if copy is not None and copy.verdict is Verdict.STOP and copy.reason != PreviewReason.COPY_DUE:
        todo = "sync adds it when there is a copy; the gate copy tells what is in the way of that"
        why = f"{why}, and there is no copy to reference"
        return Step(gate, Verdict.STOP, why, PreviewReason.REFERENCE_DUE, todo, pull_secret)
    # The copy comes first, so what is in the way of the copy is in the way of the reference.
    targets = {("Secret", pull_secret), *(("ServiceAccount", name) for name in accounts)}
    return writer.due(gate, why, PreviewReason.REFERENCE_DUE, pull_secret, targets)


def copy_step(world: World, namespace: str, pull_secret: str, writer: Writer, *, exists: bool) -> Step | None:
    """Return how the copy of a pull secret in a namespace stands; None for a namespace that is not known."""
    if namespace not in world.states:
        return None
    state, plan = world.states[namespace], world.plans[namespace]
    rows = copy_rows(state, plan, world.configuration, world.expected, world.unseen_copies)
    row = next((row for row in rows if row.title == f"Secret/{pull_secret}" and row.effect is not Effect.DELETE), None)
    if row is None:
        return None
    return _copy_step(row, pull_secret, writer, world.expected[pull_secret].last_good, exists=exists)


def _copy_step(row: Row, pull_secret: str, writer: Writer, last_good: LastGood | None, *, exists: bool) -> Step:
    gate = "copy"
    if row.effect is Effect.PROBLEM:
        return Step(gate, Verdict.STOP, row.why, row.reason, advice(row.reason), pull_secret)
    if row.effect.is_change and exists:
        content = "what its sources have now" if last_good is None else last_good_copy(last_good)
        lacking = "is not there yet" if row.effect is Effect.CREATE else f"does not hold {content}"
        if last_good is not None:
            lacking = f"{lacking}; it is to be {row.why}"
        targets = {("Secret", pull_secret)}
        return writer.due(gate, f"the copy {lacking}", PreviewReason.COPY_DUE, pull_secret, targets)
    if row.effect is Effect.UNDECIDED:
        return Step(gate, Verdict.UNKNOWN, row.why, row.reason, advice(row.reason), pull_secret)
    if row.reason == PreviewReason.SOURCE_NOT_SEEN and not row.effect.is_change:
        why = f"the copy is there; whether it is current is not known: it is {row.why}"
        return Step(gate, Verdict.PASS, why, row.reason, pull_secret=pull_secret)
    return Step(gate, Verdict.PASS, f"the copy is {row.why}", row.reason, pull_secret=pull_secret)


def coverage_step(subject: Subject, registries: Mapping[str, Collection[str]]) -> Step | None:
    """Return whether the pull secrets that a Pod gets have credentials for its images; None where nothing is known."""
    if subject.kind != "Pod" or not registries or not subject.images:
        return None
    lacking = uncovered(subject.images, {registry for known in registries.values() for registry in known})
    gate = "images"
    if not lacking:
        return Step(gate, Verdict.PASS, f"{listed(tuple(registries))} {_has(registries)} a credential for each image")
    shown = [*lacking[:_UNCOVERED_SHOWN], *(["…"] if len(lacking) > _UNCOVERED_SHOWN else [])]
    verdict = Verdict.STOP if len(lacking) == len(dict.fromkeys(subject.images)) else Verdict.UNKNOWN
    why = f"{listed(tuple(registries))} {_has(registries)} no credential for {', '.join(shown)}"
    reason = PreviewReason.REGISTRY_NOT_COVERED
    return Step(gate, verdict, why, reason, advice(reason))


def account_steps(
    state: NamespaceState,
    plan: NamespacePlan,
    configuration: Configuration,
    pull_secret: str,
    copy: Step | None,
    writer: Writer,
    *,
    exists: bool,
) -> list[Step]:
    """Return which ServiceAccounts of a namespace lack a pull secret as they are now, and what keeps them from it."""
    gate = "ServiceAccounts"
    withheld = [each for each in plan.findings if each.reason in _WITHHELD and each.secret == pull_secret]
    steps = [
        Step(
            gate,
            Verdict.STOP,
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
        return [*steps, _reference_due(gate, f"{_some(lacking)} {verb} it", pull_secret, copy, writer, lacking)]
    if lacking:
        return [*steps, Step(gate, Verdict.PASS, f"{_some(lacking)} would be given it", pull_secret=pull_secret)]
    unreadable = [account.name for account in state.service_accounts if account.references is None]
    if unreadable:
        reason = Reason.OBJECT_UNREADABLE
        why = f"the imagePullSecrets of {_some(unreadable)} cannot be read"
        return [*steps, Step(gate, Verdict.STOP, why, reason, advice(reason), pull_secret)]
    if steps:
        return steps
    holding = sum(reason is Reason.ALREADY_PRESENT for reason in reasons.values())
    why = "each that is included references it" if holding else "the namespace has none that is included"
    return [Step(gate, Verdict.PASS, why, pull_secret=pull_secret)]


def _some(names: Sequence[str]) -> str:
    """Return names as a sentence has them, at most the first few of them."""
    more = len(names) - _NAMES_SHOWN
    return f"{', '.join(names[:_NAMES_SHOWN])} and {more} more" if more > 0 else listed(names)


def _has(names: Collection[str]) -> str:
    return "has" if len(names) == 1 else "have"
