"""Decide about one object in a namespace that may be unknown, and write the decision as a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.rules.configuration import Reason
from webhook.rules.gates import BY_REASON, Case, Decision, decide
from webhook.rules.text import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import Namespace, Subject


def decide_in(namespace: Namespace | None, subject: Subject, configuration: Configuration) -> Decision:
    """Return the decision about ``subject``; ``NAMESPACE_UNKNOWN`` if it depends on unknown labels."""
    if namespace is not None:
        return decide(subject, configuration, namespace)
    decision = decide(subject, configuration)
    # Unknown labels count as whatever permits most, so an object that is stopped even then is certainly stopped.
    if decision.added or any(gate is Reason.NAMESPACE_UNKNOWN for _, gate in decision.gates):
        return Decision(Reason.NAMESPACE_UNKNOWN)
    return decision


UNREADABLE = "a required field is missing or has a wrong type, so it stays unchanged"


def sentence(reason: Reason, subject: Subject, configuration: Configuration, decision: Decision) -> str:
    """Return the sentence for ``decision`` on ``subject`` with ``reason``."""
    if reason is Reason.INJECTED:
        return f"{listed(decision.added)} {'is' if len(decision.added) == 1 else 'are'} due here and not yet referenced"
    return stop_sentence(reason, Case(configuration, subject.namespace, None, subject), decision)


def removed_sentence(names: Sequence[str], configuration: Configuration, without_copy: Collection[str] = ()) -> str:
    """Return why references are removed, as a clause; empty for no names. No Secret has a name in ``without_copy``."""
    copies = [name for name in names if name in configuration.secret_names and name not in without_copy]
    others = [name for name in names if name not in copies]
    parts = [f"the copy of {listed(copies)} will be deleted"] if copies else []
    parts += [f"{listed(others)} {'is' if len(others) == 1 else 'are'} not due any more"] if others else []
    return "; ".join(parts)


def stop_sentence(reason: Reason, case: Case, decision: Decision) -> str:
    """Return the sentence of the gate that stopped an object or a namespace."""
    return BY_REASON[reason].stopped(case, decision.stopped_at(reason))


def selected_sentence(decision: Decision) -> str:
    """Return the sentence for a selected namespace, with the pull secrets that it gets and declines."""
    declined = decision.stopped_at(Reason.NAMESPACE_DECLINES)
    message = f"selected; gets {listed(decision.added)}"
    return f"{message}; declines {listed(declined)}" if declined else message
