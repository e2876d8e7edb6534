"""How the copies of one namespace stand: what is there, compared with what should be."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from webhook.rules.gates import selected_pull_secrets
from webhook.rules.plan import leaving_copies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import Copy, NamespaceState


class CopyState(StrEnum):
    """How one copy stands; in a selected namespace each pull secret's copy is in one of the first six."""

    CURRENT = "current"
    """There, with the content that its sources have now."""
    STALE = "stale"
    """There, but not with that content."""
    KEPT = "kept"
    """There with the last good content, as far as that is known, while a source cannot be used."""
    MISSING = "missing"
    """Not there, or about to go."""
    CONFLICTING = "conflicting"
    """A Secret that is not ours has its name."""
    FAILING = "failing"
    """Stale or missing, and the last try to write it has failed."""
    LEAVING = "leaving"
    """Still there in a namespace that is not selected (any more), or of a retired pull secret."""


class CopyStatus(msgspec.Struct, frozen=True):
    """How one copy was last seen; whether a ``content_hash`` is current depends on the sources, which change.

    A struct, because standings are counted by value at every look: a frozen dataclass takes four times as long to hash.
    """

    secret: str
    state: CopyState
    """While it is not current."""
    content_hash: str = ""
    """Of a copy that is there and could be current."""
    reason: str = ""
    """Of one that is failing."""

    def now(self, content_hash: str | None, last_good: str | None = None) -> CopyState:
        """Return its state while its content should have this hash; None while a source cannot be used.

        ``last_good`` is the hash of the last good content then, None where that is not known.
        """
        if self.content_hash and content_hash is None and last_good in (None, self.content_hash):
            return CopyState.KEPT
        return CopyState.CURRENT if self.content_hash and self.content_hash == content_hash else self.state


def standings(state: NamespaceState, configuration: Configuration) -> Iterator[CopyStatus]:
    """Yield how each copy stands that a namespace should have, then each that should go."""
    wanted = [entry.name for entry in selected_pull_secrets(configuration, state.namespace)]
    for name in wanted:
        yield _standing(name, state.copies.get(name), state)
    if not state.namespace.terminating:
        for copy in leaving_copies(state, configuration, wanted):
            yield CopyStatus(copy.name, CopyState.LEAVING)


def _standing(name: str, copy: Copy | None, state: NamespaceState) -> CopyStatus:
    if copy is None:
        return CopyStatus(name, CopyState.MISSING)
    if state.is_foreign(copy):
        return CopyStatus(name, CopyState.CONFLICTING)
    if copy.terminating:
        return CopyStatus(name, CopyState.MISSING)
    to_be_written = copy.replaceable_only or not state.is_proven(copy)
    return CopyStatus(name, CopyState.STALE, "" if to_be_written else copy.content_hash)
