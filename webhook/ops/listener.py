"""Run a port: uvicorn as the frame, with our own protocol inside; the caller stops it.

docs/uvicorn.md lists the parts of uvicorn that this module relies on, and a test compares each with the installed one.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import uvicorn

from webhook.http.acceptor import Acceptor
from webhook.http.counters import Traffic
from webhook.http.limits import METRICS, most_connections
from webhook.http.port import Port
from webhook.http.stream import PlainStream
from webhook.ops.background import GRACE_SECONDS

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from starlette.types import ASGIApp

    from webhook.http.connection import Connection
    from webhook.http.limits import Limits
    from webhook.http.port import Service
    from webhook.http.stream import Stream

SWEEP_TICKS = 2
"""Ticks of uvicorn's main loop, a tenth of a second each, between two checks for overdue connections."""


class Listener(uvicorn.Server):
    """Serves one application on one bound socket, without signal handling. Set ``should_exit`` to stop it.

    ``most`` connections are served at a time; the default is that of the metrics port.
    """

    name = "metrics"

    def __init__(
        self,
        app: ASGIApp,
        bound: socket.socket,
        traffic: Traffic | None = None,
        *,
        limits: Limits = METRICS,
        service: Service | None = None,
        most: int | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._app = app
        self._bound = bound
        self._traffic = traffic or Traffic()
        self._limits = limits
        self._service = service
        self._most = most or most_connections()[1]

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
        self._port = Port(self.name, self._limits, self._traffic, self._app, self._service, self._most)
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
            for connection in tuple(self._port.connections):
                if connection.due < now:
                    connection.end_overdue()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        self._port.worker.shutdown(wait=False, cancel_futures=True)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
