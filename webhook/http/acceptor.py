"""Accept connections, up to a limit, and pass each to a protocol.

This replaces asyncio's own server, which accepts without a limit and gives each connection large buffers.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import structlog

from webhook.http import rejections
from webhook.http.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.http.port import Port
    from webhook.http.stream import Stream

log = structlog.get_logger(__name__)

_AT_ONCE = 16
"""Connections accepted before requests get their turn again, because each costs a TLS handshake."""

_PAUSE_SECONDS = 0.5
"""Pause after the system has refused to accept, because a cause such as missing file descriptors lasts for a while."""


class Acceptor:
    """Accepts connections on ``bound``; ``wrap`` makes the stream of each."""

    def __init__(self, bound: socket.socket, port: Port, wrap: Callable[[Connection], Stream]) -> None:
        self._bound = bound
        self._port = port
        self._wrap = wrap
        self._loop = port.loop
        self._tasks: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start or continue to accept."""
        self._pause = None
        self._bound.setblocking(False)
        # Connections inherit these options. They bound the system's buffers and the size of one read.
        self._bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._port.limits.receive_bytes)
        self._bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._port.limits.send_bytes)
        self._loop.add_reader(self._bound.fileno(), self._accept)

    def close(self) -> None:
        """Stop accepting."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._bound.fileno())
        self._bound.close()

    async def wait_closed(self) -> None:
        """Wait for the connections that are being accepted."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, address = self._bound.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("connections cannot be accepted", cause=error.strerror)
                self._loop.remove_reader(self._bound.fileno())
                self._pause = self._loop.call_later(_PAUSE_SECONDS, self.start)
                return
            self._take(connection, address)

    def _take(self, accepted: socket.socket, address: tuple[str, int]) -> None:
        port = self._port
        if not port.crowd.admits(address[0]):
            port.traffic.refused_connections += 1
            port.rejections.count(rejections.FULL, address[0])
            accepted.close()
            return
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(port, (address[0], address[1]))
        stream = self._wrap(connection)
        task = self._loop.create_task(self._hand_over(stream, connection, accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hand_over(self, stream: Stream, connection: Connection, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: stream, accepted)
        except OSError:
            connection.lost()
            accepted.close()
