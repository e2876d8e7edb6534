"""uvicorn, run from code: a server on a socket that is bound beforehand, stopped by whoever started it."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

import uvicorn

from webhook.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

BACKLOG = 2048
"""Connections that the kernel holds until they are accepted."""

GRACE_SECONDS = 5
"""How long a server that stops waits for requests in progress."""


def bind(address: str, port: int, flag: str) -> socket.socket:
    """Return a listening socket; UsageError, naming the ``flag`` that gives the port, when there is none to be had."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).partition(" (")[0]  # socket appends the address
    raise UsageError(f"cannot listen on {address} port {port} ({reason}): change --bind-address or {flag}")


class Listener(uvicorn.Server):
    """Serves one application on one bound socket; handles no signals. Set ``should_exit`` to stop it."""

    def __init__(self, app: ASGIApp, bound: socket.socket, **settings: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(
            uvicorn.Config(
                app,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=GRACE_SECONDS,
                **settings,
            )
        )
        self._bound = bound

    @property
    def port(self) -> int:
        """The port that is listened on, also where port 0 was asked for."""
        port: int = self._bound.getsockname()[1]
        return port

    async def listen(self) -> None:
        """Serve until ``should_exit``."""
        await self.serve(sockets=[self._bound])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    @contextlib.contextmanager
    def in_background(self) -> Iterator[None]:
        """Serve from a thread of its own while the context lasts."""
        thread = threading.Thread(target=self.run, args=([self._bound],), name="ops", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.should_exit = True
            thread.join(GRACE_SECONDS + 1)
