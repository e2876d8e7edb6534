"""Define an HTTP response for our own protocol and for any ASGI server, and get one from an application.

An ASGI application answers a request without a request body, and with the response in one piece.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec
import structlog

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Scope

Header: TypeAlias = tuple[bytes, bytes]

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_HTTP_OK = HTTPStatus.OK.value
_OK_RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


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

    def encode(self, *, with_body: bool = True) -> bytes:
        """Return the response in HTTP/1.1 (RFC 9112), without its body for HEAD."""
        # Every answer to a review has this form, so it has a template of its own.
        if self.status == _HTTP_OK and self.content_type is JSON and with_body and not (self.closes or self.headers):
            return _OK_RESPONSE % (len(self.body), self.body)
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


log = structlog.get_logger(__name__)

_INTERNAL_ERROR = Reply(500, b"internal server error\n", TEXT, closes=True)


class Responder(Protocol):
    """The connection of a request."""

    def respond(self, reply: Reply) -> None:
        """Send the response."""


class Exchange:
    """One request that an application answers. Its body is not read, because our applications do not need one."""

    def __init__(self, scope: Scope, responder: Responder) -> None:
        self._scope = scope
        self._responder = responder
        self._is_over = asyncio.Event()
        self._request_received = False
        self._status = 0
        self._headers: list[Header] = []
        self._body: list[bytes] = []

    async def run(self, app: ASGIApp) -> None:
        """Run the application for this request."""
        try:
            await app(self._scope, self._receive, self._send)
        except Exception:
            # Without an answer the connection would stay forever, because it has no deadline while it waits for one.
            log.exception("request not answered", path=self._scope["path"][:100])
            self._answer(_INTERNAL_ERROR)

    def disconnect(self) -> None:
        """Mark the client as gone; the application gets ``http.disconnect`` at its next receive."""
        self._is_over.set()

    async def _receive(self) -> dict[str, Any]:
        if not self._request_received:
            self._request_received = True
            return {"type": "http.request", "body": b"", "more_body": False}
        # ASGI: after the body, an application that receives again waits for the end of the client.
        await self._is_over.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], list(message.get("headers", ()))
            return
        self._body.append(message.get("body", b""))
        if not message.get("more_body", False):
            self._answer(self._reply())

    def _reply(self) -> Reply:
        named = dict(self._headers)
        rest = tuple(
            (name, value)
            for name, value in self._headers
            # The reply has these as fields of its own, and a second Content-Length would be ambiguous.
            if name not in (b"content-type", b"content-length", b"connection")
        )
        content_type = named.get(b"content-type", TEXT)
        closes = named.get(b"connection", b"") == b"close"
        return Reply(self._status, b"".join(self._body), content_type, rest, closes=closes)

    def _answer(self, reply: Reply) -> None:
        if not self._is_over.is_set():
            # The first answer ends the exchange. An application that sends a second one could answer the next request.
            self._is_over.set()
            self._responder.respond(reply)
