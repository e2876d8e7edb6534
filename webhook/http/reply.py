"""Define an HTTP response: as bytes for our own protocol and as headers for any ASGI server."""

from __future__ import annotations

from http import HTTPStatus
from typing import TypeAlias

import msgspec

Header: TypeAlias = tuple[bytes, bytes]

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_REVIEWED = HTTPStatus.OK.value
_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


class Reply(msgspec.Struct, frozen=True, gc=False):
    """A complete response; ``closes`` makes the client use another connection."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[Header, ...] = ()
    closes: bool = False

    @property
    def all_headers(self) -> list[Header]:
        """Return every header, in the form of ASGI."""
        length = (b"content-length", b"%d" % len(self.body))
        closing = ((b"connection", b"close"),) if self.closes else ()
        return [(b"content-type", self.content_type), length, *self.headers, *closing]

    def closing(self) -> Reply:
        """Return the same reply as the last one of its connection."""
        return msgspec.structs.replace(self, closes=True)

    def on_the_wire(self, *, with_body: bool = True) -> bytes:
        """Return the response in HTTP/1.1 (RFC 9112), without its body for HEAD."""
        if self.status == _REVIEWED and self.content_type is JSON and with_body and not (self.closes or self.headers):
            return _OK % (len(self.body), self.body)
        lines = [b"%b: %b\r\n" % header for header in self.all_headers]
        return b"".join([_STATUS_LINES[self.status], *lines, b"\r\n", self.body if with_body else b""])


class Refusal(Exception):
    """A request that is answered with a 4xx and a sentence."""

    def __init__(self, status: int, message: str, *headers: Header) -> None:
        self.status = status
        self.headers = headers
        super().__init__(message)

    @property
    def reply(self) -> Reply:
        """Return the response. It closes the connection, so that the rest of the request is not read."""
        return Reply(self.status, f"{self}\n".encode(), TEXT, self.headers, closes=True)
