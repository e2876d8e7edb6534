"""A registry that keeps to no rule: it answers each connection by a script, for as long as its peer stays."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

Pieces: TypeAlias = "Callable[[], Iterator[bytes]]"
"""What is sent, piece by piece; an empty piece is a short wait."""

WAIT_SECONDS = 0.02


class HostileRegistry:
    """Listens on a free port of loopback until it is closed; ``secure`` with TLS, else in the place of TLS."""

    def __init__(self, certificate: Path, pieces: Pieces, *, secure: bool = True) -> None:
        self._pieces = pieces
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if secure else None
        if self._context:
            self._context.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closing = threading.Event()
        self.key = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.open: set[socket.socket] = set()
        """Connections whose peer is still there."""
        self.threads: set[threading.Thread] = set()
        self._start(self._accept)

    def close(self) -> None:
        self._closing.set()
        # A thread that waits for a connection is woken by nothing but one.
        with contextlib.suppress(OSError), socket.create_connection(self._listener.getsockname(), 1):
            pass
        self._listener.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self.threads.add(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            connection, _ = self._listener.accept()
            if self._closing.is_set():
                connection.close()
                return
            self.open.add(connection)
            self._start(self._serve, connection)

    def _serve(self, accepted: socket.socket) -> None:
        connection = accepted
        try:
            connection.settimeout(10)
            if self._context:
                connection = self._context.wrap_socket(accepted, server_side=True)
            self._read_request(connection)
            for piece in self._pieces():
                if piece:
                    connection.sendall(piece)
                elif self._closing.wait(WAIT_SECONDS):
                    return
            while connection.recv(4096):
                pass
        except OSError:
            return  # the peer has left, which is what is waited for
        finally:
            connection.close()
            self.open.discard(accepted)

    def _read_request(self, connection: socket.socket) -> None:
        if self._context is None:
            connection.recv(4096)
            return
        head = b""
        while b"\r\n\r\n" not in head:
            received = connection.recv(4096)
            if not received:
                raise ConnectionResetError
            head += received
