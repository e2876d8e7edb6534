"""Answer one request with an ASGI application, without a request body and with the response in one piece."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from webhook.http.reply import TEXT, Reply

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Scope

    from webhook.http.message import Head
    from webhook.http.reply import Header

log = structlog.get_logger(__name__)

_FAILED = Reply(500, b"internal server error\n", TEXT, closes=True)


class Asker(Protocol):
    """The connection of a request."""

    def respond(self, reply: Reply) -> None:
        """Send the response."""


def scope_of(head: Head, client: tuple[str, int] | None, scheme: str) -> Scope:
    """Return the ASGI scope of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": head.version,
        "method": head.method,
        "scheme": scheme,
        "path": head.path,
        "raw_path": head.path.encode(errors="surrogateescape"),
        "query_string": head.query,
        "root_path": "",
        "headers": list(head.headers),
        "client": client,
        "server": None,
        "state": {},
    }


class Exchange:
    """One request that an application answers. Its body is not read, because our applications do not need one."""

    def __init__(self, scope: Scope, asker: Asker) -> None:
        self._scope = scope
        self._asker = asker
        self._gone = asyncio.Event()
        self._asked = False
        self._status = 0
        self._headers: list[Header] = []
        self._body: list[bytes] = []

    async def run(self, app: ASGIApp) -> None:
        """Run the application for this request."""
        try:
            await app(self._scope, self._receive, self._send)
        except Exception:
            log.exception("request not answered", path=self._scope["path"][:100])
            self._answer(_FAILED)

    def disconnect(self) -> None:
        """Mark the client as gone; the application gets ``http.disconnect`` at its next receive."""
        self._gone.set()

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
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
            if name not in (b"content-type", b"content-length", b"connection")
        )
        content_type = named.get(b"content-type", TEXT)
        closes = named.get(b"connection", b"") == b"close"
        return Reply(self._status, b"".join(self._body), content_type, rest, closes=closes)

    def _answer(self, reply: Reply) -> None:
        if not self._gone.is_set():
            self._gone.set()
            self._asker.respond(reply)
