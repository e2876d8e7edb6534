"""What would be if somebody labelled a namespace, or if another configuration were in force."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from webhook.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from webhook.core.model import Configuration, OptIn
    from webhook.core.selection import Namespace


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The namespaces that would opt in, and those that would opt out."""

    opted_in: frozenset[str] = frozenset()
    opted_out: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """All of them."""
        return self.opted_in | self.opted_out

    def apply(self, namespaces: Iterable[Namespace], opt_in: OptIn) -> list[Namespace]:
        """Return the namespaces as they would be; UsageError when one of them does not exist."""
        found = [self._labelled(namespace, opt_in) for namespace in namespaces]
        absent = sorted(self.names - {namespace.name for namespace in found})
        if absent:
            raise UsageError(
                f"namespace {absent[0]} does not exist, or is not among those that are looked at; list them: "
                "kubectl get namespaces"
            )
        return found

    def _labelled(self, namespace: Namespace, opt_in: OptIn) -> Namespace:
        if namespace.name in self.opted_in:
            return replace(namespace, labels={**namespace.labels, opt_in.label: opt_in.value})
        if namespace.name in self.opted_out:
            labels = {key: value for key, value in namespace.labels.items() if key != opt_in.label}
            return replace(namespace, labels=labels)
        return namespace


def forgotten(running: Configuration | None, chosen: Configuration) -> list[str]:
    """Return the names that are gone from the chosen configuration without being retired: their copies would stay."""
    return [] if running is None else sorted(set(running.secret_names) - set(chosen.secret_names))
