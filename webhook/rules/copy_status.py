"""Compare the copies of one namespace with their intended state."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from webhook.rules.gates import selected_pull_secrets
from webhook.rules.namespace_tokens import is_sealed
from webhook.rules.plan import leaving_copies

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from webhook.rules.configuration import Configuration, PullSecret
    from webhook.rules.objects import Copy, NamespaceState


NO_HASHES: Mapping[str, str] = MappingProxyType({})


class CopyState(StrEnum):
    """The state of one copy; in a selected namespace each pull secret's copy is in one of the first six."""

    CURRENT = "current"
    """It exists with the present content of its sources."""
    STALE = "stale"
    """It exists with another content, or with other labels or annotations than the configured ones."""
    KEPT = "kept"
    """It exists with the last good content, as far as that is known, while a source cannot be used."""
    MISSING = "missing"
    """It does not exist, or is about to be deleted."""
    CONFLICTING = "conflicting"
    """A Secret that is not ours has its name."""
    FAILING = "failing"
    """It is stale or missing, and the last try to write it has failed."""
    LEAVING = "leaving"
    """It exists in a namespace that is not selected (any more), or belongs to a retired pull secret."""


class CopyStatus(msgspec.Struct, frozen=True):
    """The last seen state of one copy; the sources, which change, decide if a ``content_hash`` is current.

    It is a struct because equal values are counted at every check: a frozen dataclass takes four times as long to hash.
    """

    secret: str
    state: CopyState
    """The state while it is not current."""
    content_hash: str = ""
    """The hash of a copy that exists and could be current."""
    reason: str = ""
    """The reason of a failing copy."""

    def current_state(self, content_hash: str | frozenset[str] | None, last_good: str | None = None) -> CopyState:
        """Return the state while the content should have this hash, or one of these; None without a usable source.

        ``last_good`` is the hash of the last good content then, None if that is unknown.
        """
        if self.content_hash and content_hash is None and last_good in (None, self.content_hash):
            return CopyState.KEPT
        if isinstance(content_hash, frozenset):
            return CopyState.CURRENT if self.content_hash in content_hash else self.state
        return CopyState.CURRENT if self.content_hash and self.content_hash == content_hash else self.state


def copy_statuses(
    state: NamespaceState,
    configuration: Configuration,
    hashes: Mapping[str, str | None] = NO_HASHES,
    now: datetime | None = None,
    entries: Sequence[PullSecret] | None = None,
) -> Iterator[CopyStatus]:
    """Yield the state of each copy that a namespace should have, then of each that should be deleted.

    ``hashes`` and ``now`` are needed only for copies with tokens of their namespace. ``entries`` are the pull secrets
    that select the namespace, if they are known already.
    """
    if entries is None:
        entries = selected_pull_secrets(configuration, state.namespace)
    entries = [entry for entry in entries if not entry.tenant_owned]
    selected = [entry.name for entry in entries]
    for entry in entries:
        status = _copy_status(entry, state.copies.get(entry.name), state, hashes.get(entry.name))
        yield _with_tokens(status, entry, state, hashes.get(entry.name), now) if entry.tokens else status
    if not state.namespace.terminating:
        for copy in leaving_copies(state, configuration, selected):
            yield CopyStatus(copy.name, CopyState.LEAVING)


def _with_tokens(
    status: CopyStatus, entry: PullSecret, state: NamespaceState, basis: str | None, now: datetime | None
) -> CopyStatus:
    """Return the state of a copy with tokens; all that are right have the same hash, whatever their content."""
    copy = state.copies.get(entry.name)
    if copy is None or not status.content_hash:
        return status
    is_right = basis is not None and is_sealed(entry, copy, basis, state.token_accounts or {})
    is_expired = now is not None and copy.issued.expires_at is not None and copy.issued.expires_at <= now
    return msgspec.structs.replace(status, content_hash=basis if is_right and not is_expired else "")


def _copy_status(entry: PullSecret, copy: Copy | None, state: NamespaceState, content_hash: str | None) -> CopyStatus:
    name = entry.name
    if copy is None:
        return CopyStatus(name, CopyState.MISSING)
    if state.is_foreign(copy):
        return CopyStatus(name, CopyState.CONFLICTING)
    if copy.terminating:
        return CopyStatus(name, CopyState.MISSING)
    to_be_written = copy.replaceable_only or not state.is_proven(copy)
    # Without a hash no content is due, so no copy is written.
    to_be_written |= content_hash is not None and copy.metadata != entry.copies.stored
    return CopyStatus(name, CopyState.STALE, "" if to_be_written else copy.content_hash)
