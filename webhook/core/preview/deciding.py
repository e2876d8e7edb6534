"""The decision about one object in a namespace that may not be known, as admission and sync would take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.core.gates import Decision, decide
from webhook.core.model import Reason

if TYPE_CHECKING:
    from webhook.core.inject import Subject
    from webhook.core.model import Configuration
    from webhook.core.selection import Namespace


def decide_in(namespace: Namespace | None, subject: Subject, configuration: Configuration) -> Decision:
    """Return what is to be done with ``subject``; ``NAMESPACE_UNKNOWN`` where that depends on labels not known."""
    if namespace is not None:
        return decide(subject, configuration, namespace)
    decision = decide(subject, configuration)
    # Without labels everything is assumed that a label could allow: what is stopped even so is stopped for certain.
    if decision.added or any(gate is Reason.NAMESPACE_UNKNOWN for _, gate in decision.gates):
        return Decision(Reason.NAMESPACE_UNKNOWN)
    return decision
