"""Accepting connections: up to a limit, and with an eye on each TLS handshake.

In place of asyncio's own server, which accepts without a limit and tells nobody of the handshakes that fail.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from webhook.observe.traffic import Traffic

log = structlog.get_logger(__name__)

MOST_CONNECTIONS = 2500
"""At once. An API server keeps some 25. Each takes about 60 KiB: with as many, and all bodies that may be held, a
process stays just within the 256 MiB that the chart allows it."""

_OTHER_FILES = 100
"""File descriptors that are left for everything else, where the system allows fewer than connections would take."""

_AT_ONCE = 64
"""Connections accepted before requests have their turn again."""

_PAUSE_SECONDS = 0.5
"""After the system has refused to accept: the cause, such as no free file descriptor, will not be gone at once."""


def allow_files() -> None:
    """Raise the limit of open files to what all connections take, as far as the system lets us: the usual is 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connections() -> int:
    """Return how many connections this process can have at once."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if files == resource.RLIM_INFINITY else max(1, min(MOST_CONNECTIONS, files - _OTHER_FILES))


class Acceptor:
    """Hands each connection on ``bound`` to ``connect``, which returns after the handshake and raises OSError.

    Counts it into ``traffic``, and out again when the handshake fails; after that, the protocol has to. What is beyond
    ``limit`` is closed at once.
    """

    def __init__(
        self,
        bound: socket.socket,
        connect: Callable[[socket.socket], Awaitable[object]],
        traffic: Traffic,
        limit: int,
    ) -> None:
        self._bound = bound
        self._connect = connect
        self._traffic = traffic
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, or go on, to accept."""
        self._pause = None
        self._bound.setblocking(False)
        self._loop.add_reader(self._bound.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more, and give up the handshakes in progress."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._bound.fileno())
        self._bound.close()
        for handshake in self._handshakes:
            handshake.cancel()

    async def wait_closed(self) -> None:
        """Wait for the handshakes that were given up."""
        await asyncio.gather(*self._handshakes, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _ = self._bound.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("connections cannot be accepted", cause=error.strerror)
                self._loop.remove_reader(self._bound.fileno())
                self._pause = self._loop.call_later(_PAUSE_SECONDS, self.start)
                return
            self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        if self._traffic.connections >= self._limit:
            self._traffic.refused_connections += 1
            connection.close()
            return
        self._traffic.connections += 1
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._shake_hands(connection))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, connection: socket.socket) -> None:
        try:
            await self._connect(connection)
        except OSError as error:
            self._traffic.connections -= 1
            self._traffic.failed_handshakes += 1
            log.debug("TLS handshake failed", cause=str(error) or type(error).__name__)
