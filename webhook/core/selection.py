"""Which namespaces a pull secret applies to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from webhook.core.model import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.core.model import Configuration, PullSecret


@dataclass(frozen=True, slots=True)
class Namespace:
    """What a decision reads of a namespace."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    terminating: bool = False


def namespace_stop(configuration: Configuration, namespace: Namespace) -> Reason | None:
    """Return why nothing at all applies to a namespace, or None when it has opted in."""
    if namespace.name in configuration.excluded_namespaces:
        return Reason.NAMESPACE_EXCLUDED
    if namespace.terminating:
        return Reason.NAMESPACE_TERMINATING
    if namespace.labels.get(configuration.opt_in.label) != configuration.opt_in.value:
        return Reason.NAMESPACE_NOT_OPTED_IN
    return None


def selected_pull_secrets(configuration: Configuration, namespace: Namespace) -> tuple[PullSecret, ...]:
    """Return the pull secrets for which ``namespace`` is a selected namespace."""
    if namespace_stop(configuration, namespace) is not None:
        return ()
    return tuple(entry for entry in configuration.pull_secrets if entry.namespace_selector.matches(namespace.labels))
