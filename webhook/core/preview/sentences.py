"""Explain each decision about one object in a sentence for ``plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.core.gates import BY_REASON, Case
from webhook.core.model import Reason
from webhook.core.text import listed

if TYPE_CHECKING:
    from webhook.core.gates import Decision
    from webhook.core.inject import Subject
    from webhook.core.model import Configuration

UNREADABLE = "a required field is missing or has a wrong type, so it stays unchanged"


def sentence(reason: Reason, subject: Subject, configuration: Configuration, decision: Decision) -> str:
    """Return the sentence for ``decision`` on ``subject`` with ``reason``."""
    if reason is Reason.INJECTED:
        return f"{listed(decision.added)} {'is' if len(decision.added) == 1 else 'are'} due here and not yet referenced"
    return stop_sentence(reason, Case(configuration, subject.namespace, None, subject), decision)


def stop_sentence(reason: Reason, case: Case, decision: Decision) -> str:
    """Return the sentence of the gate that stopped an object or a namespace."""
    return BY_REASON[reason].stopped(case, decision.stopped_at(reason))


def selected_sentence(decision: Decision) -> str:
    """Return the sentence for an opted-in namespace, with the pull secrets that it gets and declines."""
    declined = decision.stopped_at(Reason.NAMESPACE_DECLINES)
    why = f"opted in; gets {listed(decision.added)}"
    return f"{why}; declines {listed(declined)}" if declined else why
