"""Which namespaces a pull secret applies to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from webhook.core.model import Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from webhook.core.model import Configuration, PullSecret

DECLINE_ANNOTATION = "pullsecrets.webhook/decline"
"""On a Namespace: the names of pull secrets that it does not want, separated by commas."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """What a decision reads of a namespace."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    terminating: bool = False
    declined: frozenset[str] = frozenset()
    """The pull secrets that it does not want; it counts only where the configuration lets namespaces decline."""
    uid: str = ""
    """Tells it from a namespace of the same name that was there before. Empty in a manifest that has none."""


def declined_names(annotations: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the pull secrets that a namespace with these annotations does not want."""
    text = annotations.get(DECLINE_ANNOTATION)
    return frozenset(filter(None, (name.strip() for name in text.split(",")))) if text else frozenset()


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
    return tuple(entry for entry, stop in pull_secret_stops(configuration, namespace) if stop is None)


def pull_secret_stops(configuration: Configuration, namespace: Namespace) -> Iterator[tuple[PullSecret, Reason | None]]:
    """Yield each pull secret, and why it does not apply to a namespace that has opted in; None where it does."""
    for entry in configuration.pull_secrets:
        yield entry, pull_secret_stop(entry, configuration, namespace.name, namespace.labels, namespace.declined)


def pull_secret_stop(
    entry: PullSecret, configuration: Configuration, name: str, labels: Mapping[str, str], declined: Collection[str]
) -> Reason | None:
    """Return why one pull secret does not apply to a namespace that has opted in, or None."""
    if not entry.namespace_selector.matches(labels):
        return Reason.NAMESPACE_NOT_SELECTED
    if not entry.may_go_to(name):
        return Reason.SOURCE_NOT_FOR_NAMESPACE
    return Reason.NAMESPACE_DECLINES if configuration.opt_in.may_decline and entry.name in declined else None
