"""What one replica bounds: bytes of bodies, connections, and the time that a refused client is listened to."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

from tests.integration.site.port import PATIENCE, connected, echo, serving
from tests.integration.site.serving import is_closed
from tests.unit.polling import until
from webhook.http.counters import PortCounters
from webhook.http.limits import Deadlines
from webhook.ops.metrics import AdmissionMetrics
from webhook.serve.endpoint import LARGEST_BODY, MAX_HELD_BY_LARGE, MAX_HELD_BYTES, SMALL_BODY, MutateEndpoint

LARGE = SMALL_BODY + 1
LENIENT = Deadlines(handshake=PATIENCE, header=PATIENCE, body=PATIENCE)
"""For a client that stands still for a while: it must not be ended before it has come to the point."""


@dataclass
class Port:
    """An admission port, and its numbers."""

    number: int
    counters: PortCounters

    def ask(self, *pieces: bytes) -> bytes:
        """Send pieces and return all that comes until the server ends the connection."""
        received = b""
        with connected(self.number) as connection:
            # A client that is slow on a busy machine may still be sending when it has its answer and is cut off.
            with suppress(ConnectionError, ssl.SSLEOFError):
                for piece in pieces:
                    connection.sendall(piece)
            with suppress(ConnectionResetError, ssl.SSLEOFError):
                while more := connection.recv(65536):
                    received += more
        return received

    def answers(self) -> bool:
        """Return whether a client gets its answer; one that is slower than the deadlines does not."""
        try:
            return self.ask(head(2, "Connection: close") + b"{}").endswith(b"{}")
        except (ConnectionError, ssl.SSLError):
            return False


@contextmanager
def port(deadlines: Deadlines | None = None, capacity: int | None = None) -> Iterator[Port]:
    counters = PortCounters()
    with serving(MutateEndpoint(echo, AdmissionMetrics(counters), counters), deadlines, capacity) as number:
        yield Port(number, counters)


def head(length: int, *headers: str, path: str = "/mutate") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {length}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode()


def test_bytes_are_held_while_a_body_comes_and_given_back_after_it() -> None:
    with port(LENIENT) as admission, connected(admission.number) as connection:
        connection.sendall(head(10, "Connection: close") + b"12345")
        until(lambda: admission.counters.held_bytes == 5)
        connection.sendall(b"67890")
        assert connection.recv(1000).endswith(b"1234567890")
        until(lambda: (admission.counters.held_bytes, admission.counters.received_bytes) == (0, 10))


@pytest.mark.parametrize("headers", [(), ("Expect: 100-continue",)], ids=["the service", "the application"])
def test_bytes_are_given_back_when_the_client_goes_away(headers: tuple[str, ...]) -> None:
    with port(LENIENT) as admission:
        with connected(admission.number) as connection:
            connection.sendall(head(10, *headers) + b"12345")
            until(lambda: admission.counters.held_bytes == 5)
        until(lambda: admission.counters == PortCounters(received_bytes=5))


@pytest.mark.parametrize(
    ("held", "length", "status"),
    [
        (MAX_HELD_BY_LARGE - LARGE, LARGE, b"200"),
        (MAX_HELD_BY_LARGE, LARGE, b"429"),
        (MAX_HELD_BY_LARGE, SMALL_BODY, b"200"),
    ],
    ids=["there is room", "the share of large ones is used up", "a small one"],
)
def test_a_body_is_refused_by_its_announced_length(held: int, length: int, status: bytes) -> None:
    with port() as admission:
        admission.counters.held_bytes = held
        answer = admission.ask(head(length, "Connection: close") + b"x" * length)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert (b"retry-after: 1\r\n" in answer) == (status == b"429")


@pytest.mark.parametrize(
    ("held", "size"), [(MAX_HELD_BYTES, 100), (MAX_HELD_BY_LARGE, LARGE)], ids=["a small one", "a large one"]
)
def test_a_body_is_refused_while_it_comes(held: int, size: int) -> None:
    announced = "Transfer-Encoding: chunked"
    start = head(0).replace(b"Content-Length: 0", announced.encode())
    with port(Deadlines(close=0.2)) as admission:
        admission.counters.held_bytes = held
        answer = admission.ask(start + b"%x\r\n%s\r\n" % (size, b"x" * size))
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"connection: close\r\n" in answer
        until(lambda: admission.counters.held_bytes == held)


def send_without_end(connection: ssl.SSLSocket) -> None:
    for _ in range(2**14):
        connection.sendall(b"x" * 65536)


@pytest.mark.parametrize("path", ["/mutate", "/other"], ids=["the service", "the application"])
def test_a_refused_client_that_goes_on_sending_gets_its_answer_and_is_cut_off(path: str) -> None:
    start = head(LARGEST_BODY + 1, path=path)
    with port(Deadlines(close=0.2, body=PATIENCE)) as admission, connected(admission.number) as connection:
        connection.sendall(start)
        assert connection.recv(12) in {b"HTTP/1.1 413", b"HTTP/1.1 404"}
        # Buffers decide which send fails. A send that only waits for room would raise TimeoutError.
        with pytest.raises((ConnectionError, ssl.SSLError)):
            send_without_end(connection)
        assert admission.counters.received_bytes == 0


def test_connections_beyond_the_limit_are_closed_at_once_and_counted_while_all_are_in_use() -> None:
    with port(LENIENT, capacity=2) as admission:
        with connected(admission.number) as one, connected(admission.number) as other:
            for connection in (one, other):
                connection.sendall(head(2) + b"{}")
                assert connection.recv(1000).endswith(b"{}")
                connection.sendall(head(2) + b"{")
            until(lambda: admission.counters.requests == 2)
            for _ in range(3):
                with socket.create_connection(("127.0.0.1", admission.number), timeout=PATIENCE) as surplus:
                    assert surplus.recv(1) == b""
            assert (admission.counters.connections, admission.counters.refused_connections) == (2, 3)
            assert admission.counters.rejected == {"full": 3}
        until(lambda: admission.counters.connections == 0)
        assert admission.ask(head(2, "Connection: close") + b"{}").endswith(b"{}")


def test_the_oldest_connection_that_never_had_an_accepted_request_makes_room() -> None:
    with port(LENIENT, capacity=2) as admission, connected(admission.number) as known:
        known.sendall(head(2) + b"{}")
        assert known.recv(1000).endswith(b"{}")
        with connected(admission.number) as silent:
            assert admission.ask(head(2, "Connection: close") + b"{}").endswith(b"{}")
            assert is_closed(silent)
        known.sendall(head(2, "Connection: close") + b"{}")
        assert known.recv(1000).endswith(b"{}")
        assert (admission.counters.refused_connections, admission.counters.rejected) == (0, {"evicted": 1})


def test_handshakes_that_fail_are_counted_and_hold_no_place() -> None:
    with port(Deadlines(handshake=0.2), capacity=1) as admission:
        for number, words in enumerate((b"GET / HTTP/1.1\r\n\r\n", b""), 1):
            with socket.create_connection(("127.0.0.1", admission.number), timeout=PATIENCE) as other:
                other.sendall(words)
                until(lambda count=number: admission.counters.failed_handshakes == count)  # type: ignore[misc]
        until(lambda: admission.counters.connections == 0)
        until(admission.answers)  # its own handshake has as little time


def test_the_numbers_are_exported() -> None:
    counters = PortCounters(1, 2, 3, 4, 5, 6)
    values = {
        sample.name: sample.value
        for family in AdmissionMetrics(counters).registry.collect()
        for sample in family.samples
        if not sample.labels
    }
    names = ("in_flight_requests", "in_flight_bytes", "request_bytes_total", "connections")
    totals = ("connections_refused_total", "tls_handshake_failures_total")
    assert [values[f"pullsecrets_admission_{name}"] for name in (*names, *totals)] == [1, 2, 3, 4, 5, 6]
