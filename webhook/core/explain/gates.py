"""Explain one decision gate by gate: those before its reason were passed, and its reason names the one that stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.core.catalog import advice
from webhook.core.explain.step import Step, Verdict
from webhook.core.gates import BY_REASON, Decision, passed
from webhook.core.model import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.core.gates import Case
    from webhook.core.model import PullSecret

_REFERENCED = (Reason.ALREADY_PRESENT, Reason.INJECTED)


def whole_steps(case: Case, decision: Decision) -> Iterator[Step]:
    """Yield the gates that an object or a namespace passed as a whole, and the one that stopped it, if any."""
    stopped_by = Reason.INJECTED if decision.gates else decision.reason
    for gate in passed(case.walk.whole, stopped_by):
        yield Step(gate.name, Verdict.PASS, gate.passed(case))
    if stopped_by is not Reason.INJECTED:
        yield _stop(stopped_by, case, decision)


def pull_secret_steps(case: Case, decision: Decision, entry: PullSecret) -> Iterator[Step]:
    """Yield the gates that one pull secret passed, and the one where it stopped; none about the reference itself."""
    case.entry = entry
    reason = dict(decision.gates)[entry.name]
    for gate in passed(case.walk.each, reason):
        if gate.used(case) and gate.reason not in _REFERENCED:
            yield Step(gate.name, Verdict.PASS, gate.passed(case), pull_secret=entry.name)
    if reason not in _REFERENCED:
        yield _stop(reason, case, Decision(reason, gates=((entry.name, reason),)), entry.name)


def _stop(reason: Reason, case: Case, decision: Decision, pull_secret: str = "") -> Step:
    """Return the step at which a decision ended."""
    verdict = Verdict.UNKNOWN if reason is Reason.NAMESPACE_UNKNOWN else Verdict.STOP
    gate = BY_REASON[reason]
    todo = advice(reason) if gate.command is None else gate.command(case)
    return Step(gate.name, verdict, gate.stopped(case, decision.stopped_at(reason)), reason, todo, pull_secret)
