"""The deadlines of the admission port, on real sockets."""

from __future__ import annotations

import socket
import ssl
import time

import pytest

from tests.integration.site.port import PATIENCE, connected, listening
from webhook.http.limits import Deadlines

SHORT, LONG = 0.2, 60.0

HEAD = b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"


def closes(connection: socket.socket, sent: bytes = b"") -> bool:
    """Send something, and return whether the server ends the connection, in whatever way, without a word."""
    try:
        connection.sendall(sent)  # on a busy machine it may have ended by now
        return connection.recv(1) == b""
    except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
        return True


@pytest.mark.parametrize(
    ("deadlines", "sent"),
    [
        (Deadlines(header=SHORT, body=LONG, idle=LONG), HEAD[:20]),
        (Deadlines(header=LONG, body=SHORT, idle=LONG), HEAD),
        (Deadlines(header=LONG, body=SHORT, idle=LONG), HEAD + b"x"),
        (Deadlines(header=LONG, body=LONG, idle=SHORT), b""),
        (Deadlines(header=LONG, body=LONG, idle=SHORT), b"\r\n"),
    ],
    ids=["slow headers", "no body", "slow body", "silence", "almost silence"],
)
def test_a_connection_that_does_not_get_on_with_it_is_closed(deadlines: Deadlines, sent: bytes) -> None:
    started = time.monotonic()  # before the server counts, whatever holds this process up in between
    with listening(deadlines) as port, connected(port) as connection:
        assert closes(connection, sent)  # before the others, which are LONG
        assert time.monotonic() - started > SHORT / 2


def test_a_connection_without_a_tls_handshake_is_closed() -> None:
    with (
        listening(Deadlines(handshake=SHORT)) as port,
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as silent,
    ):
        assert closes(silent)


def test_a_slow_header_on_a_connection_that_was_used_before_is_closed_too() -> None:
    with listening(Deadlines(header=SHORT, idle=LONG)) as port, connected(port) as connection:
        connection.sendall(HEAD + b"{}")
        answer = b""
        while not answer.endswith(b"{}"):
            answer += connection.recv(1000)
        connection.sendall(HEAD[:5])
        assert closes(connection)


def test_idle_connections_outlive_those_of_the_api_server() -> None:
    assert Deadlines().idle > 90
