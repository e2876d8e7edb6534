"""Each decision as one sentence about one object, for a person who reads ``plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.core.gates import BY_REASON, Case
from webhook.core.model import Reason
from webhook.core.text import listed

if TYPE_CHECKING:
    from webhook.core.gates import Decision
    from webhook.core.inject import Subject
    from webhook.core.model import Configuration

UNREADABLE = "a field that decides is absent or has a wrong type, so it is left as it is"


def sentence(reason: Reason, subject: Subject, configuration: Configuration, decision: Decision) -> str:
    """Return why ``decision`` on ``subject`` came out with ``reason``."""
    if reason is Reason.INJECTED:
        return f"{listed(decision.added)} {'is' if len(decision.added) == 1 else 'are'} due here and not yet referenced"
    return stop_sentence(reason, Case(configuration, subject.namespace, None, subject), decision)


def stop_sentence(reason: Reason, case: Case, decision: Decision) -> str:
    """Return the sentence of the gate at which an object or a namespace was stopped."""
    return BY_REASON[reason].stopped(case, decision.stopped_at(reason))


def selected_sentence(decision: Decision) -> str:
    """Return what applies to a namespace that has opted in, and what it has declined."""
    declined = decision.stopped_at(Reason.NAMESPACE_DECLINES)
    why = f"it opts in: {listed(decision.added)} {'applies' if len(decision.added) == 1 else 'apply'}"
    return f"{why}; it declines {listed(declined)}" if declined else why
