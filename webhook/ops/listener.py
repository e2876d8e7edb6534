"""Run a port: uvicorn as the frame, with our own protocol inside; the caller stops it.

Connections are accepted up to a limit. asyncio's own server accepts without a limit and gives each connection large
buffers. docs/uvicorn.md lists the parts of uvicorn that this module relies on, and a test compares each with the
installed one.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import structlog
import uvicorn

from webhook.http import rejections
from webhook.http.connection import Connection
from webhook.http.counters import PortCounters
from webhook.http.limits import METRICS, max_connections
from webhook.http.port import Port
from webhook.http.stream import PlainStream
from webhook.ops.background import GRACE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

    from webhook.http.limits import PortLimits
    from webhook.http.port import Service
    from webhook.http.stream import Stream

log = structlog.get_logger(__name__)

_ACCEPTED_AT_ONCE = 16
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
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, address = self._bound.accept()
            # ConnectionAbortedError: the client left before it was accepted. The loop calls again if others wait.
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # The connection stays in the queue, so without a pause the loop would call this again and again.
                log.warning("connections cannot be accepted", cause=error.strerror)
                self._loop.remove_reader(self._bound.fileno())
                self._pause = self._loop.call_later(_PAUSE_SECONDS, self.start)
                return
            self._start(connection, address)

    def _start(self, accepted: socket.socket, address: tuple[str, int]) -> None:
        port = self._port
        if not port.table.admits(address[0]):
            port.counters.refused_connections += 1
            port.rejections.count(rejections.FULL, address[0])
            accepted.close()
            return
        accepted.setblocking(False)
        # Otherwise Nagle's algorithm holds a small answer back until the client acknowledges the previous one.
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(port, (address[0], address[1]))
        stream = self._wrap(connection)
        task = self._loop.create_task(self._connect(stream, connection, accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, stream: Stream, connection: Connection, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: stream, accepted)
        except OSError:
            # No transport was made, so no callback reports the end.
            connection.ended()
            accepted.close()


SWEEP_TICKS = 2
"""Ticks of uvicorn's main loop, a tenth of a second each, between two checks for overdue connections."""


class Listener(uvicorn.Server):
    """Serves one application on one bound socket, without signal handling. Set ``should_exit`` to stop it.

    ``capacity`` connections are served at a time; the default is that of the metrics port.
    """

    name = "metrics"

    def __init__(
        self,
        app: ASGIApp,
        bound: socket.socket,
        counters: PortCounters | None = None,
        *,
        limits: PortLimits = METRICS,
        service: Service | None = None,
        capacity: int | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                ws="none",
                lifespan="off",
                # uvicorn would replace the handlers that webhook/ops/logs.py sets.
                log_config=None,
                access_log=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._app = app
        self._bound = bound
        self._counters = counters or PortCounters()
        self._limits = limits
        self._service = service
        self._capacity = capacity or max_connections()[1]

    @property
    def port(self) -> int:
        """Return the port in use, also if port 0 was configured."""
        port: int = self._bound.getsockname()[1]
        return port

    async def listen(self) -> None:
        """Serve until ``should_exit``."""
        await self.serve(sockets=[self._bound])

    def serve_here(self) -> None:
        """Serve in this thread, on its own event loop, until ``should_exit``."""
        self.run([self._bound])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections; uvicorn's own servers do not bind a socket."""
        # Not in the constructor, because a port belongs to the event loop that runs now.
        self._port = Port(self.name, self._limits, self._counters, self._app, self._service, self._capacity)
        # uvicorn waits for both sets to become empty before it ends.
        self.server_state.connections = self._port.connections  # type: ignore[assignment]
        self.server_state.tasks = self._port.tasks
        acceptors = [Acceptor(bound, self._port, self._wrap) for bound in sockets or ()]
        for acceptor in acceptors:
            acceptor.start()
        self.servers = acceptors  # type: ignore[assignment]  # has the methods that uvicorn needs: close and wait_closed
        self.started = True

    def _wrap(self, connection: Connection) -> Stream:
        """Return the stream of a connection."""
        return PlainStream(self._port, connection)

    async def on_tick(self, counter: int) -> bool:
        """Close overdue connections, several times a second."""
        if counter % SWEEP_TICKS == 0:
            now = asyncio.get_running_loop().time()
            # A copy, because the end of a connection removes it from the set.
            for connection in tuple(self._port.connections):
                if connection.due < now:
                    connection.end_overdue()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        # The wait for connections is over, so an answer that is still computed has no receiver.
        self._port.worker.shutdown(wait=False, cancel_futures=True)

    # uvicorn's handlers would end a port immediately. The process drains first: see serve_until_signalled.
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
