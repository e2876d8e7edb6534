"""A server in a thread of its own, on a socket that is bound beforehand; light to import, unlike what serves."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from webhook.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BACKLOG = 2048
"""Connections that the kernel holds until they are accepted."""

GRACE_SECONDS = 5
"""How long a server that stops waits for requests in progress."""


class Server(Protocol):
    """What can be served in the background: see :class:`webhook.observe.listener.Listener`."""

    should_exit: bool

    def serve_here(self) -> None:
        """Serve in this thread until ``should_exit``."""


def bind(address: str, port: int, flag: str) -> socket.socket:
    """Return a listening socket; UsageError, naming the ``flag`` that gives the port, when there is none to be had."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).partition(" (")[0]  # socket appends the address
    raise UsageError(f"cannot listen on {address} port {port} ({reason}): change --bind-address or {flag}")


@contextmanager
def in_background(make: Callable[[], Server], name: str) -> Iterator[None]:
    """Serve from a thread of this name while the context lasts.

    ``make`` is called in that thread, so that what it imports delays nobody: who connects meanwhile waits.
    """
    background = _Background(make)
    thread = threading.Thread(target=background.run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        background.stop()
        thread.join(GRACE_SECONDS + 1)


class _Background:
    def __init__(self, make: Callable[[], Server]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._stopped = False

    def run(self) -> None:
        server = self._make()
        with self._lock:
            if self._stopped:
                return
            self._server = server
        server.serve_here()

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            if self._server is not None:
                self._server.should_exit = True
