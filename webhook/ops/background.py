"""Run a server in a background thread, on a socket that is already bound; light to import, unlike the server itself."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from webhook.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BACKLOG = 2048
"""Connections that the kernel queues until they are accepted."""

GRACE_SECONDS = 5
"""Seconds that a stopping server waits for requests in progress."""


class Server(Protocol):
    """A server that can run in the background: see :class:`webhook.ops.listener.Listener`."""

    should_exit: bool

    def serve_here(self) -> None:
        """Serve in this thread until ``should_exit``."""


def bind(address: str, port: int, flag: str) -> socket.socket:
    """Return a listening socket. Raises UsageError with the ``flag`` of the port if the port is unavailable."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).partition(" (")[0]  # socket appends the address
    raise UsageError(f"cannot listen on {address} port {port} ({reason}): change --bind-address or {flag}")


@contextmanager
def in_background(make: Callable[[], Server], name: str, *, listening: socket.socket | None = None) -> Iterator[None]:
    """Serve from a thread with this name while the context lasts.

    ``make`` is called in that thread, so that its imports do not delay the caller. With ``listening``, a listening
    socket, ``make`` is called only after a client connects there, and the client waits for it. Imports block all other
    threads too.
    """
    background = _Background(make, listening)
    thread = threading.Thread(target=background.run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        background.stop()
        # Longer than the server waits for its requests. The thread may use the pair until it has ended.
        thread.join(GRACE_SECONDS + 1)
        background.close()


class _Background:
    def __init__(self, make: Callable[[], Server], listening: socket.socket | None) -> None:
        self._make = make
        self._listening = listening
        # A selector cannot wait for a threading.Event, so the end of this pair wakes it.
        self._wake, self._wake_receiver = socket.socketpair()
        self._lock = threading.Lock()
        self._stopped = False
        self._server: Server | None = None

    def run(self) -> None:
        if self._listening is not None:
            self._wait_for(self._listening)
        if self._stopped:
            return
        server = self._make()
        if self._set_server(server):
            server.serve_here()

    def stop(self) -> None:
        # The lock orders this with _set_server, so a server that is being made meanwhile is stopped by one of the two.
        with self._lock:
            self._stopped = True
            if self._server is not None:
                self._server.should_exit = True
        self._wake.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._wake.close()
        self._wake_receiver.close()

    def _set_server(self, server: Server) -> bool:
        with self._lock:
            self._server = server
            return not self._stopped

    def _wait_for(self, listening: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            for readable in (listening, self._wake_receiver):
                selector.register(readable, selectors.EVENT_READ)
            selector.select()
