"""The short way to the hot path keeps what HTTP/1.1 promises, on real sockets."""

from __future__ import annotations

import pytest

from tests.integration.site.port import connected, echo, listening, serving
from tests.unit.polling import until
from webhook.http.counters import PortCounters
from webhook.ops.metrics import AdmissionMetrics
from webhook.serve.endpoint import MutateEndpoint
from webhook.serve.handler import ReviewReply


def request(body: bytes, *headers: str, version: str = "1.1") -> bytes:
    lines = [
        f"POST /mutate?timeout=5s HTTP/{version}",
        "Host: x",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def read_to_the_end(port: int, sent: bytes) -> bytes:
    """Send bytes and return all that comes until the server closes."""
    received = b""
    with connected(port) as connection:
        connection.sendall(sent)
        while piece := connection.recv(65536):
            received += piece
    return received


def test_pipelined_requests_are_answered_in_order() -> None:
    with listening() as port:
        received = read_to_the_end(port, request(b"one") + request(b"two") + request(b"three", "Connection: close"))
    answers = [answer.rpartition(b"\r\n\r\n")[2] for answer in received.split(b"HTTP/1.1 200 OK")[1:]]
    assert answers == [b"one", b"two", b"three"]


@pytest.mark.parametrize(
    ("headers", "version"), [(("Connection: close",), "1.1"), ((), "1.0")], ids=["asked to close", "HTTP/1.0"]
)
def test_a_connection_that_is_not_kept_alive_is_closed_after_the_answer(headers: tuple[str, ...], version: str) -> None:
    with listening() as port:
        received = read_to_the_end(port, request(b"last", *headers, version=version))
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert received.endswith(b"\r\n\r\nlast")
    assert b"connection: close\r\n" in received


def test_a_body_in_many_pieces_arrives_whole() -> None:
    body = bytes(range(32, 127)) * 20_000
    with listening() as port, connected(port) as connection:
        whole = request(body, "Connection: close")
        for start in range(0, len(whole), 50_000):
            connection.sendall(whole[start : start + 50_000])
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert received.partition(b"\r\n\r\n")[2] == body


def test_a_client_that_goes_away_within_its_request_leaves_nothing_behind() -> None:
    endpoint = MutateEndpoint(echo, AdmissionMetrics(PortCounters()), PortCounters())
    with serving(endpoint) as port:
        with connected(port) as connection:
            connection.sendall(request(b"x" * 100)[:-50])
            until(lambda: endpoint.counters.requests == 1)
        until(lambda: endpoint.counters.requests == 0)
        assert read_to_the_end(port, request(b"next", "Connection: close")).endswith(b"next")


def test_a_defect_in_one_request_is_a_400_and_costs_no_other_connection() -> None:
    def handle(body: bytes) -> ReviewReply:
        if body == b"bad":
            raise ZeroDivisionError
        return echo(body)

    with listening(handle=handle) as port, connected(port) as other:
        for headers in ((), ("Expect: 100-continue",)):
            assert b"HTTP/1.1 400 Bad Request" in read_to_the_end(port, request(b"bad", *headers))
        other.sendall(request(b"good", "Connection: close"))
        received = b""
        while piece := other.recv(65536):
            received += piece
    assert received.endswith(b"good")


def test_a_refused_request_whose_rest_is_no_http_gets_one_answer() -> None:
    refused = (
        b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    )
    with listening() as port:
        received = read_to_the_end(port, refused)
    assert received.startswith(b"HTTP/1.1 415 ")
    assert received.count(b"HTTP/1.1") == 1
