from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.client import BadStatusLine, HTTPException, IncompleteRead, RemoteDisconnected

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.kube.response import HEADERS_LIMIT, Response, encode_fields, encode_request

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def receive() -> Iterator[Callable[..., Response]]:
    """Read a response that arrives in these parts, after which the server closes, or stays."""
    open_sockets: list[socket.socket] = []

    def read(*parts: bytes, closes: bool = False) -> Response:
        ours, theirs = socket.socketpair()
        open_sockets.extend((ours, theirs))
        ours.settimeout(10.0)

        def send() -> None:
            for part in parts:
                theirs.sendall(part)
            if closes:
                theirs.close()

        sender = threading.Thread(target=send)
        sender.start()
        response = Response()
        try:
            response.receive(ours)
        finally:
            sender.join()
        return response

    yield read
    for each in open_sockets:
        each.close()


@pytest.mark.parametrize(
    ("text", "status", "body"),
    [
        (OK + b"Content-Length: 2\r\n\r\n{}", 200, b"{}"),
        (CHUNKED + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", 200, b"{}"),
        (CHUNKED + b"2\r\n{}\r\n0\r\nX-Trailer: 1\r\n\r\n", 200, b"{}"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\n{}", 200, b"{}"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, b""),
    ],
)
@pytest.mark.parametrize("split", [1, 7, 1000])
def test_a_response_is_the_same_in_whatever_parts_it_arrives(
    receive: Callable[..., Response], text: bytes, status: int, body: bytes, split: int
) -> None:
    response = receive(*(text[begin : begin + split] for begin in range(0, len(text), split)))

    assert (response.status, response.data, response.is_reusable) == (status, body, True)
    assert "Link" not in response.headers


def test_a_body_without_a_length_ends_with_the_connection(receive: Callable[..., Response]) -> None:
    response = receive(OK + b"Content-Type: application/json\r\n\r\n{", b"}", closes=True)

    assert (response.data, response.is_reusable) == (b"{}", False)


@pytest.mark.parametrize(
    "text",
    [
        OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ],
    ids=["the server closes", "HTTP/1.0", "a second response to one request"],
)
def test_a_connection_that_cannot_carry_another_request_is_not_reused(
    receive: Callable[..., Response], text: bytes
) -> None:
    response = receive(text)

    assert (response.data, response.is_reusable) == (b"{}", False)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"", RemoteDisconnected),
        (b"HTTP/1.1 200", RemoteDisconnected),
        (OK + b"Content-Length: 9\r\n\r\n{}", IncompleteRead),
        (CHUNKED + b"9\r\n{}", IncompleteRead),
        (CHUNKED + b"zz\r\n{}", BadStatusLine),
        (OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", BadStatusLine),
        (b"SSH-2.0-OpenSSH_9\r\n", BadStatusLine),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: spdy\r\nConnection: Upgrade\r\n\r\n", HTTPException),
        (OK + b"".join(b"X-%d: 1\r\n" % each for each in range(HEADERS_LIMIT + 1)), HTTPException),
    ],
)
def test_what_is_not_a_whole_response_is_an_error(
    receive: Callable[..., Response], text: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        receive(text, closes=True)


@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_response_or_an_error_of_http(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(OK + data)
        theirs.close()
        response = Response()
        try:
            response.receive(ours)
        except HTTPException:
            return
        assert response.is_complete


def test_headers_are_found_in_any_case(receive: Callable[..., Response]) -> None:
    headers = receive(
        OK + b"X-Empty:\r\nretry-after: 3\r\nWarning: a\r\nWARNING: b\r\nContent-Length: 0\r\n\r\n"
    ).headers

    assert (headers.get("Retry-After"), headers.get("warning"), "RETRY-AFTER" in headers) == ("3", "a, b", True)
    assert headers.get("Content-Type", "none") == "none"


def test_a_request_says_how_long_its_body_is() -> None:
    fields = encode_fields({"Host": "api:6443", "Accept": "application/json"})

    assert encode_request("PATCH", "/api/v1/x?a=b", fields, b"{}").split(b"\r\n") == [
        b"PATCH /api/v1/x?a=b HTTP/1.1",
        b"Host: api:6443",
        b"Accept: application/json",
        b"Content-Length: 2",
        b"",
        b"{}",
    ]
    assert b"Content-Length" not in encode_request("GET", "/", b"", None)


@pytest.mark.parametrize(("target", "value"), [("/a\r\nX: 1", "1"), ("/a\n", "1"), ("/", "1\r\nX: 1"), ("/\r", "1")])
def test_no_text_can_add_a_line_to_a_request(target: str, value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        encode_request("GET", target, encode_fields({"X-Any": value}), None)
