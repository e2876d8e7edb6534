"""Serve the admission port: the application, renewable TLS, and a shutdown that loses no request."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from webhook.http.limits import ADMISSION, max_connections
from webhook.http.stream import ReadBuffers, TlsStream
from webhook.ops.listener import SWEEP_TICKS, Listener
from webhook.serve.endpoint import MUTATE_PATH
from webhook.serve.malloc import MemoryTrimmer

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from fastapi import Request
    from starlette.types import Receive, Scope, Send

    from webhook.http.connection import Connection
    from webhook.http.limits import Deadlines
    from webhook.serve.client_auth import ClientAuth
    from webhook.serve.endpoint import MutateEndpoint


class AdmissionApp(FastAPI):
    """Serves ``/mutate`` and no other path.

    Requests to ``/mutate`` go straight to the endpoint. FastAPI's middleware and router would take two thirds of the
    time of a request, and an admission review does not need them.
    """

    def __init__(self, mutate: MutateEndpoint) -> None:
        super().__init__(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
        self.add_exception_handler(404, _not_found)
        self.mutate = mutate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] == "http" and scope["path"] == MUTATE_PATH:
            await self.mutate(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


async def _not_found(_request: Request, _error: Exception) -> PlainTextResponse:
    return PlainTextResponse("not found\n", status_code=404, headers={"connection": "close"})


log = structlog.get_logger(__name__)


class AdmissionListener(Listener):
    """Serves the admission application over TLS; its certificate may be replaced at any time."""

    name = "admission"

    def __init__(
        self,
        app: AdmissionApp,
        bound: socket.socket,
        context: ssl.SSLContext,
        deadlines: Deadlines | None = None,
        capacity: int | None = None,
        callers: ClientAuth | None = None,
    ) -> None:
        super().__init__(
            app,
            bound,
            app.mutate.counters,
            limits=replace(ADMISSION, deadlines=deadlines or ADMISSION.deadlines),
            service=app.mutate,
            capacity=capacity or max_connections()[0],
        )
        self._context = context
        self._buffers = ReadBuffers(self._limits)
        self._client_check = None if callers is None else callers.rejected_names
        self._memory = MemoryTrimmer(app.mutate.counters)

    def _wrap(self, connection: Connection) -> TlsStream:
        return TlsStream(self._port, connection, self._context, self._buffers, self._client_check)

    async def on_tick(self, counter: int) -> bool:
        """Check the memory several times a second, besides the work of every listener."""
        if counter % SWEEP_TICKS == 0:
            self._memory.check()
        return await super().on_tick(counter)


async def serve_until_signalled(
    admission: Listener, ops: Listener, begin_drain: Callable[[], None], drain_seconds: float
) -> None:
    """Serve on both ports until SIGTERM or SIGINT.

    SIGTERM calls ``begin_drain``, and requests are still served for ``drain_seconds``, because the API server may keep
    connections to a replica that has left the Service. A second SIGTERM, or SIGINT at any time, ends the drain
    immediately.
    """
    draining, immediately = asyncio.Event(), asyncio.Event()

    def terminate() -> None:
        (immediately if draining.is_set() else draining).set()

    def interrupt() -> None:
        draining.set()
        immediately.set()

    loop = asyncio.get_running_loop()
    # On the event loop and not with signal.signal(): a Python handler would run between any two instructions of a
    # review.
    loop.add_signal_handler(signal.SIGTERM, terminate)
    loop.add_signal_handler(signal.SIGINT, interrupt)
    async with asyncio.TaskGroup() as listeners:
        serving = listeners.create_task(admission.listen())
        listeners.create_task(ops.listen())
        await draining.wait()
        begin_drain()
        log.info("draining", seconds=drain_seconds)
        await _wait(immediately, drain_seconds)
        # The metrics port stays until the reviews have ended, so that the kubelet's probes and a last scrape still get
        # an answer.
        admission.should_exit, admission.force_exit = True, immediately.is_set()
        await serving
        ops.should_exit = True
    log.info("stopped")


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
