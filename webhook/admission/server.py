"""uvicorn on the admission port: TLS that can be renewed, deadlines, and a shutdown that loses no request."""

from __future__ import annotations

import asyncio
import math
import signal
from typing import TYPE_CHECKING

import structlog

from webhook.admission.acceptor import Acceptor, most_connections
from webhook.admission.callers import CallerProtocol
from webhook.admission.heads import KnownHeads
from webhook.admission.memory import MemoryKeeper
from webhook.admission.protocol import AdmissionProtocol, Deadlines
from webhook.observe.listener import Listener

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from webhook.admission.app import AdmissionApp
    from webhook.admission.callers import Callers

log = structlog.get_logger(__name__)

SWEEP_TICKS = 2
"""Of uvicorn's main loop, a tenth of a second each, between two looks for overdue connections."""


class AdmissionListener(Listener):
    """Serves the admission application over TLS, by a context whose certificate may be replaced at any time."""

    def __init__(
        self,
        app: AdmissionApp,
        bound: socket.socket,
        context: ssl.SSLContext,
        deadlines: Deadlines | None = None,
        most: int | None = None,
        callers: Callers | None = None,
    ) -> None:
        super().__init__(app, bound, http=AdmissionProtocol)
        self._callers = callers
        self._mutate = app.mutate
        self._heads = KnownHeads()
        self._memory = MemoryKeeper(app.mutate.traffic)
        self._context = context
        self._deadlines = deadlines or Deadlines()
        self._most = most or most_connections()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections; uvicorn's own bounds neither their number nor the TLS handshake."""
        acceptors = [Acceptor(bound, self._connect, self._mutate.traffic, self._most) for bound in sockets or ()]
        for acceptor in acceptors:
            acceptor.start()
        self.servers = acceptors  # type: ignore[assignment]  # has what uvicorn needs: close and wait_closed
        self.started = True

    async def _connect(self, connection: socket.socket) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(
            self._protocol,
            connection,
            ssl=self._context,
            ssl_handshake_timeout=self._deadlines.handshake,
            ssl_shutdown_timeout=self._deadlines.farewell,
        )

    def _protocol(self) -> AdmissionProtocol:
        protocol = self._bare_protocol()
        protocol.mutate = self._mutate
        protocol.heads = self._heads
        protocol.traffic = self._mutate.traffic
        protocol.deadlines = self._deadlines
        protocol.timeout_keep_alive = math.ceil(self._deadlines.idle)
        return protocol

    def _bare_protocol(self) -> AdmissionProtocol:
        if self._callers is None:
            return AdmissionProtocol(config=self.config, server_state=self.server_state, app_state={})
        protocol = CallerProtocol(config=self.config, server_state=self.server_state, app_state={})
        protocol.callers = self._callers
        return protocol

    async def on_tick(self, counter: int) -> bool:
        """Close the connections that are overdue, and look at the memory, several times a second."""
        if counter % SWEEP_TICKS == 0:
            self._memory.look()
            self._close_overdue(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def _close_overdue(self, now: float) -> None:
        for connection in tuple(self.server_state.connections):
            if isinstance(connection, AdmissionProtocol) and connection.due < now:
                connection.transport.abort()


async def serve_until_signalled(
    admission: Listener, ops: Listener, begin_drain: Callable[[], None], drain_seconds: float
) -> None:
    """Serve on both ports until SIGTERM or SIGINT.

    SIGTERM calls ``begin_drain``, and requests are still served for ``drain_seconds``: the API server may hold
    connections to a replica that has left the Service. A second SIGTERM, or SIGINT at any time, ends that at once.
    """
    leaving, at_once = asyncio.Event(), asyncio.Event()

    def terminate() -> None:
        (at_once if leaving.is_set() else leaving).set()

    def interrupt() -> None:
        leaving.set()
        at_once.set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, terminate)
    loop.add_signal_handler(signal.SIGINT, interrupt)
    async with asyncio.TaskGroup() as listeners:
        serving = listeners.create_task(admission.listen())
        listeners.create_task(ops.listen())
        await leaving.wait()
        begin_drain()
        log.info("draining", seconds=drain_seconds)
        await _wait(at_once, drain_seconds)
        admission.should_exit, admission.force_exit = True, at_once.is_set()
        await serving
        ops.should_exit = True
    log.info("stopped")


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
