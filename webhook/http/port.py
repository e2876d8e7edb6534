"""Hold the state that all connections of one port share.

If a port is full, :class:`ConnectionTable` decides which connection ends: the peer address with the most connections
loses one, the oldest without an accepted request, otherwise the one that has been idle longest. So connections that
send nothing make room for the API server, and one address cannot take the places that another one needs.
:class:`FairScheduler` lets peers take turns at the application.
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

    from webhook.http.counters import PortCounters
    from webhook.http.limits import PortLimits
    from webhook.http.message import Head
    from webhook.http.reply import Refusal, Reply


class EvictableConnection(Protocol):
    """The parts of a connection that matter for its place."""

    peer: str
    due: float
    buffered: int
    """Bytes that wait because of it."""

    @property
    def idle(self) -> bool:
        """True while none of its requests is being read or answered."""

    def evict(self) -> None:
        """End immediately."""


class ConnectionTable:
    """The connections of one port, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # A dict keeps the order of arrival, so its first connection is the oldest. A set does not.
        self._new: dict[str, dict[EvictableConnection, None]] = {}
        self._accepted: dict[str, set[EvictableConnection]] = {}
        self._sizes: dict[str, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def admits(self, peer: str) -> bool:
        """Return whether ``peer`` may open one more connection; this may evict another one."""
        if self._count < self._limit:
            return True
        # A connection without an accepted request goes first: the API server's own connections have all had one.
        evicted = self._oldest_new() or self._idle_of_largest(peer)
        if evicted is None:
            return False
        self.leave(evicted)
        evicted.evict()
        return True

    def largest_buffer_owner(self) -> EvictableConnection | None:
        """Return the connection that must end first when all together keep too many bytes; None if none keeps any.

        A new connection in its handshake keeps none, so it never pays for the others.
        """
        buffered = {
            peer: sum(
                connection.buffered for group in (self._new, self._accepted) for connection in group.get(peer, ())
            )
            for peer in self._sizes
        }
        peer = max(buffered, key=buffered.__getitem__, default=None)
        if peer is None:
            return None
        for group in (self._new, self._accepted):
            candidates = [connection for connection in group.get(peer, ()) if connection.buffered]
            if candidates:
                # The one without progress for the longest time: what an API server sends is complete in milliseconds.
                return min(candidates, key=lambda connection: connection.due)
        return None

    def join(self, connection: EvictableConnection) -> None:
        """Add a connection that has not had an accepted request."""
        self._new.setdefault(connection.peer, {})[connection] = None
        self._sizes[connection.peer] = self._sizes.get(connection.peer, 0) + 1
        self._count += 1

    def accept(self, connection: EvictableConnection) -> None:
        """Record the first accepted request of a connection."""
        if self._remove_new(connection):
            self._accepted.setdefault(connection.peer, set()).add(connection)

    def leave(self, connection: EvictableConnection) -> None:
        """Remove a connection, if it is still present."""
        if not (self._remove_new(connection) or self._remove_accepted(connection)):
            return
        self._count -= 1
        self._sizes[connection.peer] -= 1
        if not self._sizes[connection.peer]:
            del self._sizes[connection.peer]

    def _remove_new(self, connection: EvictableConnection) -> bool:
        new = self._new.get(connection.peer, {})
        if connection not in new:
            return False
        del new[connection]
        if not new:
            del self._new[connection.peer]
        return True

    def _remove_accepted(self, connection: EvictableConnection) -> bool:
        accepted = self._accepted.get(connection.peer, set())
        if connection not in accepted:
            return False
        accepted.remove(connection)
        if not accepted:
            del self._accepted[connection.peer]
        return True

    def _oldest_new(self) -> EvictableConnection | None:
        if not self._new:
            return None
        peer = max(self._new, key=self._sizes.__getitem__)
        return next(iter(self._new[peer]))

    def _idle_of_largest(self, newcomer: str) -> EvictableConnection | None:
        if not self._accepted:
            return None
        peer = max(self._accepted, key=self._sizes.__getitem__)
        # An address must not gain a place from one that has no more than itself, or two addresses would evict each
        # other forever.
        if peer != newcomer and self._sizes[peer] <= self._sizes.get(newcomer, 0) + 1:
            return None
        idle = [connection for connection in self._accepted[peer] if connection.idle]
        return min(idle, key=lambda connection: connection.due, default=None)


class FairScheduler:
    """Starts up to ``limit`` requests; waiting ones are started peer by peer, not in their order of arrival.

    A connection has one request at a time, so the number of waiting requests is bounded by the connections.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: dict[str, deque[Callable[[], bool]]] = {}

    def submit(self, peer: str, start: Callable[[], bool]) -> None:
        """Call ``start`` when it is the turn of this request; it returns False if the client has gone.

        Each start that returned True must be followed by a call of ``finish_one``.
        """
        self._waiting.setdefault(peer, deque()).append(start)
        self._start_next()

    def finish_one(self) -> None:
        """End the turn of one request."""
        self._free += 1
        self._start_next()

    def _start_next(self) -> None:
        while self._free and self._waiting:
            # A dict keeps its order of insertion, so the first key is the peer whose last turn is the longest ago.
            peer, requests = next(iter(self._waiting.items()))
            start = requests.popleft()
            del self._waiting[peer]
            if requests:
                self._waiting[peer] = requests  # behind all others
            self._free -= 1
            # A client that has gone gives its turn back without a call, because no task was started for it.
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


class PortConnection(EvictableConnection, Protocol):
    """The parts of a connection that the sweep and uvicorn use."""

    def end_overdue(self) -> None:
        """End because a deadline has passed."""

    def shutdown(self) -> None:
        """End after the answer to the request in progress; uvicorn calls this."""


class Port:
    """The limits, the counters and the application of one port, on the event loop that serves it."""

    def __init__(
        self,
        name: str,
        limits: PortLimits,
        counters: PortCounters,
        app: ASGIApp,
        service: Service | None,
        capacity: int,
    ) -> None:
        self.limits = limits
        self.counters = counters
        self.app = app
        self.service = service
        self.path = service.path if service is not None else ""
        self.table = ConnectionTable(capacity)
        self.connections: set[PortConnection] = set()
        self.scheduler = FairScheduler(limits.applications)
        self.rejections = Rejections(name, counters)
        self.loop = asyncio.get_running_loop()
        # The event loop has only weak references to tasks, so this set also keeps them alive.
        self.tasks: set[asyncio.Task[None]] = set()
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="large bodies")
        """One thread, so that only one large body at a time takes the memory for decoding."""

    def join(self, connection: PortConnection) -> None:
        """Add a connection."""
        self.table.join(connection)
        self.connections.add(connection)
        self.counters.connections = len(self.connections)

    def leave(self, connection: PortConnection) -> None:
        """Remove a connection that has ended."""
        self.table.leave(connection)
        self.connections.discard(connection)
        self.counters.connections = len(self.connections)

    def count(self, connection: PortConnection, size: int) -> bool:
        """Count bytes that wait; False when all connections together keep too many."""
        connection.buffered += size
        self.counters.buffered_bytes += size
        return self._has_room

    def count_and_evict(self, connection: PortConnection, size: int) -> bool:
        """Count bytes that wait, and evict others when they are too many; False when this connection must end."""
        self.count(connection, size)
        # Each round ends one connection and releases its bytes, so the loop ends.
        while not self._has_room:
            evicted = self.table.largest_buffer_owner()
            # The caller ends its own connection, because it is still within a call of it.
            if evicted is None or evicted is connection:
                return False
            self.table.leave(evicted)
            evicted.evict()
        return True

    @property
    def _has_room(self) -> bool:
        return self.counters.buffered_bytes <= self.limits.buffered_bytes

    def release(self, connection: PortConnection, size: int) -> None:
        """Count bytes that do not wait any more."""
        connection.buffered -= size
        self.counters.buffered_bytes -= size
