"""Count the copies that a rollout has reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.rules.gates import selected_pull_secrets
from webhook.rules.ownership import Ownership, ownership_of
from webhook.rules.rollout import HoldReason, Progress, Stage, priority_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.rules.configuration import Configuration, PullSecret
    from webhook.rules.objects import Copy, Namespace
    from webhook.rules.rollout import Rollout
    from webhook.sync.caches import Caches
    from webhook.sync.status_index import StatusIndex

_BEFORE_ROLLING_OUT = frozenset({Stage.PROPOSED, Stage.PROVED, Stage.CANARY})


class RolloutReach:
    """Reads the caches and the states of copies; a Secret that is not ours is never reached, and does not count."""

    def __init__(self, caches: Caches, status_index: StatusIndex) -> None:
        self._caches = caches
        self._status_index = status_index

    def progress(self, configuration: Configuration, name: str, rollout: Rollout) -> Progress:
        """Return the copies that have the proposed content of a pull secret."""
        entry = next((entry for entry in configuration.pull_secrets if entry.name == name), None)
        if entry is None or not self._is_listed(name):
            return Progress(remaining=1)
        content = rollout.proposed or rollout.base
        reached, total = self._status_index.reach(name, content)
        needs_canary = rollout.stage in _BEFORE_ROLLING_OUT or rollout.reason is HoldReason.CANARY_EMPTY
        canary = list(self._canary(configuration, entry)) if needs_canary else []
        remaining = total - reached
        if rollout.stage is Stage.ROLLING_OUT and not remaining:
            # The index knows a namespace only after its first plan, so the end of a rollout is counted.
            remaining = sum(not _has(copy, content) for copy in self._copies(configuration, name))
        return Progress(len(canary), sum(_has(copy, content) for copy in canary), remaining, total)

    def in_canary(self, configuration: Configuration, name: str, content: str) -> list[str]:
        """Return the canary namespaces whose copy has a content, in order."""
        entry = next((entry for entry in configuration.pull_secrets if entry.name == name), None)
        if entry is None or not self._is_listed(name):
            return []
        copies = self._canary(configuration, entry)
        return sorted(copy.namespace for copy in copies if copy is not None and copy.content_hash == content)

    def outdated(self, configuration: Configuration, name: str, content: str) -> list[str]:
        """Return the namespaces whose copy has another content, in the order in which they get it.

        The API server refuses Pods of ServiceAccounts that enforce their references more often, so these come first.
        """
        caches = self._caches
        found = [
            copy.namespace
            for copy in (self._copies(configuration, name) if self._is_listed(name) else ())
            if copy is not None and copy.content_hash != content
        ]
        return sorted(found, key=lambda namespace: (not caches.enforces_references(namespace), *self._rank(namespace)))

    def _rank(self, namespace: str) -> tuple[int, str]:
        known = self._caches.namespaces.get(namespace)
        return (0 if known is None else -priority_of(known.labels)), namespace

    def _is_listed(self, name: str) -> bool:
        return self._caches.has_synced and self._caches.has_listed(name)

    def _canary(self, configuration: Configuration, entry: PullSecret) -> Iterator[Copy | None]:
        if entry.rollout is None:
            return
        for namespace in self._caches.namespaces.names():
            if entry.rollout.is_canary(namespace) and (known := self._caches.namespaces.get(namespace)) is not None:
                yield from self._copy(configuration, known, entry.name)

    def _copies(self, configuration: Configuration, name: str) -> Iterator[Copy | None]:
        """Yield the copy of each selected namespace; None where it is missing."""
        for namespace in self._caches.namespaces.names():
            if (known := self._caches.namespaces.get(namespace)) is not None:
                yield from self._copy(configuration, known, name)

    def _copy(self, configuration: Configuration, namespace: Namespace, name: str) -> Iterator[Copy | None]:
        """Yield the copy in a namespace that is to have one, if it does not hold a foreign Secret."""
        if all(entry.name != name for entry in selected_pull_secrets(configuration, namespace)):
            return
        copy = self._caches.copy(namespace.name, name)
        if copy is None or ownership_of(copy.mark, namespace.uid) is not Ownership.FOREIGN:
            yield copy


def _has(copy: Copy | None, content: str) -> bool:
    return copy is not None and copy.content_hash == content
