"""The last gates of a pull secret: the reference itself, the copy that it names, and the registries of the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.core.actions import FindingReason
from webhook.core.catalog import advice
from webhook.core.coverage import uncovered
from webhook.core.explain.step import Step, Verdict
from webhook.core.model import Reason
from webhook.core.preview.copies import copy_rows
from webhook.core.preview.row import Effect, PreviewReason
from webhook.core.text import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from webhook.core.actions import NamespacePlan
    from webhook.core.inject import Subject
    from webhook.core.preview.row import Row
    from webhook.core.preview.world import World

_UNCOVERED_SHOWN = 3
_WITHHELD = {
    FindingReason.REFERENCE_REQUIRED: 'ServiceAccount "{}" enforces its references and may not be given {}',
    FindingReason.REFERENCES_TOO_MANY: 'ServiceAccount "{}" has too many references to be given {}',
}


def reference_step(subject: Subject, pull_secret: str, reason: Reason, *, exists: bool) -> Step:
    """Return whether an object references a pull secret that is due; one that does not exist yet is given it."""
    gate = "reference"
    if reason is Reason.ALREADY_PRESENT:
        return Step(gate, Verdict.PASS, f"it references {pull_secret}", reason, pull_secret=pull_secret)
    if not exists:
        why = f"{pull_secret} is added when it is created"
        return Step(gate, Verdict.PASS, why, Reason.INJECTED, pull_secret=pull_secret)
    missing = PreviewReason.POD_WITHOUT_REFERENCE if subject.kind == "Pod" else PreviewReason.REFERENCE_DUE
    why = f"it does not reference {pull_secret}, which is due"
    return Step(gate, Verdict.STOP, why, missing, advice(missing), pull_secret)


def copy_step(world: World, namespace: str, pull_secret: str, *, exists: bool) -> Step | None:
    """Return how the copy of a pull secret in a namespace stands; None for a namespace that is not known."""
    if namespace not in world.states:
        return None
    state, plan = world.states[namespace], world.plans[namespace]
    rows = copy_rows(state, plan, world.configuration, world.expected, world.unseen_copies)
    row = next((row for row in rows if row.title == f"Secret/{pull_secret}" and row.effect is not Effect.DELETE), None)
    return None if row is None else _copy_step(row, pull_secret, exists=exists)


def _copy_step(row: Row, pull_secret: str, *, exists: bool) -> Step:
    gate = "copy"
    if row.effect is Effect.PROBLEM:
        return Step(gate, Verdict.STOP, row.why, row.reason, advice(row.reason), pull_secret)
    if row.effect.is_change and exists:
        lacking = "is not there yet" if row.effect is Effect.CREATE else "does not hold what its sources have now"
        reason = PreviewReason.COPY_DUE
        return Step(gate, Verdict.STOP, f"the copy {lacking}", reason, advice(reason), pull_secret)
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


def account_steps(plan: NamespacePlan, pull_secret: str, *, exists: bool) -> list[Step]:
    """Return what the ServiceAccounts of a namespace lack of a pull secret, and what keeps them from it."""
    gate = "ServiceAccounts"
    lacking = [each.service_account.name for each in (*plan.required, *plan.additions) if pull_secret in each.names]
    steps = [
        Step(
            gate,
            Verdict.STOP,
            _WITHHELD[finding.reason].format(finding.service_account, pull_secret),
            finding.reason,
            advice(finding.reason),
            pull_secret,
        )
        for finding in plan.findings
        if finding.reason in _WITHHELD and finding.secret == pull_secret
    ]
    if not lacking:
        return steps or [Step(gate, Verdict.PASS, "each that is included references it", pull_secret=pull_secret)]
    if not exists:
        return [*steps, Step(gate, Verdict.PASS, f"{listed(lacking)} would be given it", pull_secret=pull_secret)]
    reason = PreviewReason.REFERENCE_DUE
    return [*steps, Step(gate, Verdict.STOP, f"{listed(lacking)} lack it", reason, advice(reason), pull_secret)]


def _has(names: Collection[str]) -> str:
    return "has" if len(names) == 1 else "have"
