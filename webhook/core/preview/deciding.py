"""Decide about one object as admission and sync would, even if its namespace is unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.core.gates import Decision, decide
from webhook.core.model import Reason

if TYPE_CHECKING:
    from webhook.core.inject import Subject
    from webhook.core.model import Configuration
    from webhook.core.selection import Namespace


def decide_in(namespace: Namespace | None, subject: Subject, configuration: Configuration) -> Decision:
    """Return the decision about ``subject``; ``NAMESPACE_UNKNOWN`` if it depends on unknown labels."""
    if namespace is not None:
        return decide(subject, configuration, namespace)
    decision = decide(subject, configuration)
    # Unknown labels count as whatever permits most, so an object that is stopped even then is certainly stopped.
    if decision.added or any(gate is Reason.NAMESPACE_UNKNOWN for _, gate in decision.gates):
        return Decision(Reason.NAMESPACE_UNKNOWN)
    return decision
