"""Hold the state that all connections of one port share.

If a port is full, :class:`Crowd` decides which connection ends: the peer address with the most connections loses one,
the oldest without an accepted request, otherwise the one that has been idle longest. So connections that send nothing
make room for the API server, and one address cannot take the places that another one needs. :class:`Turns` lets peers
take turns at the application.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from webhook.http.rejections import Rejections

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

    from webhook.http.connection import Connection
    from webhook.http.counters import Traffic
    from webhook.http.limits import Limits
    from webhook.http.message import Head
    from webhook.http.reply import Refusal, Reply


class Member(Protocol):
    """The parts of a connection that matter for its place."""

    peer: str
    due: float
    kept: int
    """Bytes that wait because of it."""

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

    def keeper(self) -> Member | None:
        """Return the connection that must end first when all together keep too many bytes; None if none keeps any.

        A new connection in its handshake keeps none, so it never pays for the others.
        """
        kept = {
            peer: sum(member.kept for group in (self._strangers, self._known) for member in group.get(peer, ()))
            for peer in self._sizes
        }
        peer = max(kept, key=kept.__getitem__, default=None)
        if peer is None:
            return None
        for group in (self._strangers, self._known):
            keepers = [member for member in group.get(peer, ()) if member.kept]
            if keepers:
                # The one without progress for the longest time: what an API server sends is complete in milliseconds.
                return min(keepers, key=lambda member: member.due)
        return None

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


class Turns:
    """Starts up to ``limit`` requests; waiting ones are started peer by peer, not in their order of arrival.

    A connection has one request at a time, so the number of waiting requests is bounded by the connections.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: dict[str, deque[Callable[[], bool]]] = {}

    def take(self, peer: str, start: Callable[[], bool]) -> None:
        """Call ``start`` when it is the turn of this request; it returns False if the client has gone.

        Each start that returned True must be followed by a call of ``give_back``.
        """
        self._waiting.setdefault(peer, deque()).append(start)
        self._go_on()

    def give_back(self) -> None:
        """End the turn of one request."""
        self._free += 1
        self._go_on()

    def _go_on(self) -> None:
        while self._free and self._waiting:
            peer, requests = next(iter(self._waiting.items()))
            start = requests.popleft()
            del self._waiting[peer]
            if requests:
                self._waiting[peer] = requests  # behind all others
            self._free -= 1
            if not start():
                self._free += 1


class Service(Protocol):
    """Answers POST requests to one path, ahead of the port's application."""

    path: str

    def check(self, head: Head, length: int) -> None:
        """Raise Refusal for a request whose body does not have to be read."""

    def check_body(self, size: int) -> None:
        """Raise Refusal when ``size`` bytes of a body exceed a limit."""

    def is_heavy(self, body: bytes) -> bool:
        """Return whether the answer takes more than a few milliseconds."""

    def reply(self, body: bytes) -> Reply:
        """Return the answer."""

    def work(self, body: bytes) -> Callable[[], Reply]:
        """Do the heavy part of an answer, in any thread; the event loop calls the returned function."""

    def refuse(self, refusal: Refusal) -> Reply:
        """Return the answer to a rejected request."""


class Port:
    """The limits, the counters and the application of one port, on the event loop that serves it."""

    def __init__(
        self, name: str, limits: Limits, traffic: Traffic, app: ASGIApp, service: Service | None, most: int
    ) -> None:
        self.limits = limits
        self.traffic = traffic
        self.app = app
        self.service = service
        self.path = service.path if service is not None else ""
        self.crowd = Crowd(most)
        self.connections: set[Connection] = set()
        self.turns = Turns(limits.applications)
        self.rejections = Rejections(name, traffic)
        self.loop = asyncio.get_running_loop()
        self.tasks: set[asyncio.Task[None]] = set()
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="large bodies")
        """One thread, so that only one large body at a time takes the memory for decoding."""

    def join(self, connection: Connection) -> None:
        """Add a connection."""
        self.crowd.join(connection)
        self.connections.add(connection)
        self.traffic.connections = len(self.connections)

    def leave(self, connection: Connection) -> None:
        """Remove a connection that has ended."""
        self.crowd.leave(connection)
        self.connections.discard(connection)
        self.traffic.connections = len(self.connections)

    def count(self, connection: Connection, size: int) -> bool:
        """Count bytes that wait; False when all connections together keep too many."""
        connection.kept += size
        self.traffic.kept_bytes += size
        return self._has_room

    def keep(self, connection: Connection, size: int) -> bool:
        """Count bytes that wait, and evict others when they are too many; False when this connection must end."""
        self.count(connection, size)
        while not self._has_room:
            victim = self.crowd.keeper()
            if victim is None or victim is connection:
                return False
            self.crowd.leave(victim)
            victim.evict()
        return True

    @property
    def _has_room(self) -> bool:
        return self.traffic.kept_bytes <= self.limits.kept_bytes

    def release(self, connection: Connection, size: int) -> None:
        """Count bytes that do not wait any more."""
        connection.kept -= size
        self.traffic.kept_bytes -= size
