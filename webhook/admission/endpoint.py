"""The ASGI endpoint ``/mutate``: HTTP around the handler, and nothing between it and the server.

It stands ahead of FastAPI's router, which costs more than everything else that a request needs (see app).
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Protocol

import structlog

from webhook.admission.review import BadReview

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from webhook.admission.handler import Answer
    from webhook.observe.traffic import Traffic

    Header = tuple[bytes, bytes]

log = structlog.get_logger(__name__)

LARGEST_BODY = 7 * 1024 * 1024
"""Bytes. As controller-runtime's bound: the API server's request limit of 3 MiB, twice for object and oldObject, and
room for the rest (sigs.k8s.io/controller-runtime, pkg/webhook/admission/http.go)."""

MOST_HELD_BYTES = 32 * 1024 * 1024
"""Of bodies of all requests at once; beyond it, what is not complete is refused with 429. With that the API server asks
again after the seconds that we name, as long as its own timeout allows."""

MOST_HELD_BY_LARGE = MOST_HELD_BYTES * 3 // 4
SMALL_BODY = 64 * 1024
"""Bytes. Larger ones have to leave the last quarter to these: most reviews are a tenth of that, and a flood of large
bodies shall not keep them out."""

_JSON = b"application/json"
_JSON_HEADER = (b"content-type", _JSON)
_TEXT_HEADER = (b"content-type", b"text/plain; charset=utf-8")
CLOSE_HEADER = (b"connection", b"close")

_TOO_LARGE = f"the body is larger than {LARGEST_BODY} bytes"
_TOO_MUCH = "too many requests are being read"
_RETRY_AFTER = (b"retry-after", b"1")


class Observer(Protocol):
    """Is told of each request that has been dealt with."""

    def answered(self, answer: Answer, seconds: float) -> None:
        """Count an answer."""

    def refused(self, status: int) -> None:
        """Count a request that was no admission review."""


class Refusal(Exception):
    """A request that is answered with a 4xx and a sentence."""

    def __init__(self, status: int, message: str, *headers: Header) -> None:
        self.status = status
        self.headers = headers
        super().__init__(message)


class ClientGone(Exception):
    """The client went away before its request was complete."""


class MutateEndpoint:
    """Answers POST requests by ``handle``, which takes a body and raises BadReview.

    While :attr:`draining`, each answer closes its connection, so that clients come back to another replica.
    """

    def __init__(self, handle: Callable[[bytes], Answer], observer: Observer, traffic: Traffic) -> None:
        self._handle = handle
        self._observer = observer
        self.traffic = traffic
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        self.traffic.requests += 1
        try:
            await self._answer(scope, receive, send)
        except Refusal as refusal:
            await self._refuse(send, refusal.status, str(refusal), *refusal.headers)
        except BadReview as error:
            await self._refuse(send, error.status, str(error))
        except ClientGone:
            return
        finally:
            self.traffic.requests -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        _check_head(scope, self.traffic)
        body = await _read_body(receive, self.traffic)
        started = perf_counter()
        try:
            answer = self._handle(body)
        except BadReview:
            raise
        except Exception:
            # A defect before there was a uid to answer to. What is not answered here would become a 5xx.
            log.exception("admission review not read")
            raise Refusal(400, "the review could not be read") from None
        headers = [_JSON_HEADER, (b"content-length", b"%d" % len(answer.body))]
        if self.draining:
            headers.append(CLOSE_HEADER)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})
        self._observer.answered(answer, perf_counter() - started)

    async def _refuse(self, send: Send, status: int, message: str, *headers: Header) -> None:
        # The rest of the request may still be on its way: only a closed connection is sure not to be read on.
        body = f"{message}\n".encode()
        length = (b"content-length", b"%d" % len(body))
        self._observer.refused(status)
        log.debug("admission request refused", status=status, cause=message)
        await send(
            {"type": "http.response.start", "status": status, "headers": [_TEXT_HEADER, length, CLOSE_HEADER, *headers]}
        )
        await send({"type": "http.response.body", "body": body})


def _check_head(scope: Scope, traffic: Traffic) -> None:
    """Raise Refusal for a request whose body need not be looked at."""
    if scope["method"] != "POST":
        raise Refusal(405, "only POST is answered here", (b"allow", b"POST"))
    content_type, encoding, length = b"", b"", 0
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value
        elif name == b"content-encoding":
            encoding = value
        elif name == b"content-length":
            length = int(value)
    if content_type != _JSON and content_type.partition(b";")[0].strip().lower() != _JSON:
        raise Refusal(415, "the Content-Type must be application/json")
    if encoding and encoding.strip().lower() != b"identity":
        raise Refusal(415, "a Content-Encoding is not accepted")
    if length > SMALL_BODY:
        _check_length(length, traffic)


def _check_length(length: int, traffic: Traffic) -> None:
    if length > LARGEST_BODY:
        raise Refusal(413, _TOO_LARGE)
    if traffic.held_bytes + length > MOST_HELD_BY_LARGE:
        raise Refusal(429, _TOO_MUCH, _RETRY_AFTER)


async def _read_body(receive: Receive, traffic: Traffic) -> bytes:
    """Return the whole body; Refusal as soon as it is too much, ClientGone when it does not come to its end."""
    message = await receive()
    chunks: list[bytes] = []
    size = 0
    while message["type"] == "http.request":
        chunk: bytes = message["body"]
        size += len(chunk)
        if size > LARGEST_BODY:
            raise Refusal(413, _TOO_LARGE)
        chunks.append(chunk)
        if not message["more_body"]:
            return chunk if len(chunks) == 1 else b"".join(chunks)
        if traffic.held_bytes > (MOST_HELD_BYTES if size <= SMALL_BODY else MOST_HELD_BY_LARGE):
            raise Refusal(429, _TOO_MUCH, _RETRY_AFTER)
        message = await receive()
    raise ClientGone
