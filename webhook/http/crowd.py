"""Decide which connection ends when a port is full.

The peer address with the most connections loses one: the oldest without an accepted request, otherwise the one that has
been idle longest. So connections that send nothing make room for the API server, and one address cannot take the places
that another one needs.
"""

from __future__ import annotations

from typing import Protocol


class Member(Protocol):
    """The parts of a connection that matter for its place."""

    peer: str
    due: float

    @property
    def idle(self) -> bool:
        """True while none of its requests is being read or answered."""

    def evict(self) -> None:
        """End immediately."""


class Crowd:
    """The connections of one port, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._strangers: dict[str, dict[Member, None]] = {}
        self._known: dict[str, set[Member]] = {}
        self._sizes: dict[str, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def admits(self, peer: str) -> bool:
        """Return whether ``peer`` may open one more connection; this may evict another one."""
        if self._count < self._limit:
            return True
        victim = self._oldest_stranger() or self._idle_of_largest(peer)
        if victim is None:
            return False
        self.leave(victim)
        victim.evict()
        return True

    def evict_stranger(self) -> bool:
        """Evict the first candidate without an accepted request; False when every connection has had one."""
        victim = self._oldest_stranger()
        if victim is None:
            return False
        self.leave(victim)
        victim.evict()
        return True

    def join(self, member: Member) -> None:
        """Add a connection that has not had an accepted request."""
        self._strangers.setdefault(member.peer, {})[member] = None
        self._sizes[member.peer] = self._sizes.get(member.peer, 0) + 1
        self._count += 1

    def accept(self, member: Member) -> None:
        """Record the first accepted request of a connection."""
        if self._drop_stranger(member):
            self._known.setdefault(member.peer, set()).add(member)

    def leave(self, member: Member) -> None:
        """Remove a connection, if it is still present."""
        if not (self._drop_stranger(member) or self._drop_known(member)):
            return
        self._count -= 1
        self._sizes[member.peer] -= 1
        if not self._sizes[member.peer]:
            del self._sizes[member.peer]

    def _drop_stranger(self, member: Member) -> bool:
        strangers = self._strangers.get(member.peer, {})
        if member not in strangers:
            return False
        del strangers[member]
        if not strangers:
            del self._strangers[member.peer]
        return True

    def _drop_known(self, member: Member) -> bool:
        known = self._known.get(member.peer, set())
        if member not in known:
            return False
        known.remove(member)
        if not known:
            del self._known[member.peer]
        return True

    def _oldest_stranger(self) -> Member | None:
        if not self._strangers:
            return None
        peer = max(self._strangers, key=self._sizes.__getitem__)
        return next(iter(self._strangers[peer]))

    def _idle_of_largest(self, newcomer: str) -> Member | None:
        if not self._known:
            return None
        peer = max(self._known, key=self._sizes.__getitem__)
        if peer != newcomer and self._sizes[peer] <= self._sizes.get(newcomer, 0) + 1:
            return None
        idle = [member for member in self._known[peer] if member.idle]
        return min(idle, key=lambda member: member.due, default=None)
