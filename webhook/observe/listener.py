"""uvicorn, run from code: a server on a socket that is bound beforehand, stopped by whoever started it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import uvicorn

from webhook.observe.background import BACKLOG, GRACE_SECONDS

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from starlette.types import ASGIApp


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

    def serve_here(self) -> None:
        """Serve in this thread, on an event loop of its own, until ``should_exit``."""
        self.run([self._bound])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
