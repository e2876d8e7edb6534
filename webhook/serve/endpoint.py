"""Answer requests to ``/mutate``: HTTP around the handler, with the application and the port around it.

Clients of the port are authorized by their certificates: the TLS handshake verifies a certificate, and
:class:`ClientAuth` checks the names in it.

The port's protocol calls the endpoint directly for each POST, see webhook/http/port.py. For all other methods it is an
ASGI application ahead of FastAPI's router.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import structlog
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from msgspec.structs import replace

from webhook.http.limits import ADMISSION, max_connections
from webhook.http.reply import JSON, Refusal, Reply
from webhook.http.stream import ReadBuffers, TlsStream
from webhook.ops.listener import SWEEP_TICKS, Listener
from webhook.serve.malloc import MemoryTrimmer
from webhook.serve.review import HEAVY_BODY, BadReview

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Iterable, Mapping

    from fastapi import Request
    from starlette.types import Receive, Scope, Send

    from certs.files import WatchedFiles
    from webhook.http.connection import Connection
    from webhook.http.counters import PortCounters
    from webhook.http.limits import Deadlines
    from webhook.http.message import Head
    from webhook.http.reply import Header
    from webhook.serve.handler import ReviewReply

log = structlog.get_logger(__name__)

MUTATE_PATH = "/mutate"

LARGEST_BODY = 7 * 1024 * 1024
"""In bytes, the same bound as in controller-runtime. The API server's request limit of 3 MiB counts twice, for object
and oldObject; the rest needs some room (sigs.k8s.io/controller-runtime, pkg/webhook/admission/http.go).
"""

MAX_HELD_BYTES = 32 * 1024 * 1024
"""The limit of all request bodies together. Beyond it, incomplete requests are rejected with 429. The API server then
retries after the seconds in Retry-After, as long as its own timeout allows.
"""

MAX_HELD_BY_LARGE = MAX_HELD_BYTES * 3 // 4
SMALL_BODY = 64 * 1024
"""In bytes. Larger bodies must leave the last quarter to these, so that a flood of large bodies does not block them.
Most reviews are a tenth of this size.
"""

_TOO_LARGE = f"the body is larger than {LARGEST_BODY} bytes"
_TOO_MUCH = "too many requests are being read"
_RETRY_AFTER = (b"retry-after", b"1")


class Observer(Protocol):
    """Receives each request that has been handled."""

    def answered(self, answer: ReviewReply, seconds: float) -> None:
        """Count an answer."""

    def refused(self, status: int) -> None:
        """Count a request that was not an admission review."""


class ClientDisconnected(Exception):
    """The client disconnected before its request was complete."""


class MutateEndpoint:
    """Answers POST requests with ``handle``, which takes a body and raises BadReview.

    While :attr:`draining`, each answer closes its connection, so that clients reconnect to another replica.
    """

    path = MUTATE_PATH

    def __init__(self, handle: Callable[[bytes], ReviewReply], observer: Observer, counters: PortCounters) -> None:
        self._handle = handle
        self._observer = observer
        self.counters = counters
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        self.counters.requests += 1
        try:
            try:
                check_head(scope["method"], scope["headers"])
                check_length(_content_length(scope["headers"]), self.counters)
                # A POST arrives here only from another ASGI server, as in tests: our own protocol calls reply()
                # directly.
                reply = self.reply(await _read_body(receive, self.counters))
            except Refusal as refusal:
                reply = self.refuse(refusal)
            await send({"type": "http.response.start", "status": reply.status, "headers": reply.all_headers})
            await send({"type": "http.response.body", "body": reply.body})
        except ClientDisconnected:
            return
        finally:
            self.counters.requests -= 1

    def check(self, head: Head, length: int) -> None:
        """Raise Refusal for a POST whose body does not have to be read."""
        # Heads of one API server are equal and cached, so their headers are checked once and not for each review.
        if not head.accepted:
            check_head(head.method, head.headers)
            head.accepted = True
        # A small body is checked while it arrives, and most of them arrive together with their head.
        if length > SMALL_BODY:
            check_length(length, self.counters)

    def check_body(self, size: int) -> None:
        """Raise Refusal when ``size`` bytes of a body, or the bytes of all bodies, exceed the limit."""
        check_body(size, self.counters)

    def is_heavy(self, body: bytes) -> bool:
        """Return whether the answer takes more than a few milliseconds."""
        return len(body) > HEAVY_BODY

    def reply(self, body: bytes) -> Reply:
        """Return the reply to a request with an accepted head and a complete body."""
        started = perf_counter()
        result = self._handle_body(body)
        return self._reply_to(result, perf_counter() - started)

    def work(self, body: bytes) -> Callable[[], Reply]:
        """Compute the answer, in any thread. The returned function counts it and makes the reply, on the event loop."""
        started = perf_counter()
        result = self._handle_body(body)
        seconds = perf_counter() - started
        return lambda: self._reply_to(result, seconds)

    def _reply_to(self, result: ReviewReply | Refusal, seconds: float) -> Reply:
        if isinstance(result, Refusal):
            return self.refuse(result)
        # Always on the event loop, also for a body that another thread has decoded: metrics and log have no lock.
        self._observer.answered(result, seconds)
        # It is read last, so that a review that was being decoded when the drain began closes its connection, too.
        return Reply(200, result.body, closes=self.draining)

    def _handle_body(self, body: bytes) -> ReviewReply | Refusal:
        try:
            return self._handle(body)
        except BadReview as error:
            return Refusal(error.status, str(error))
        except Exception:
            # A defect before the uid is known. Without this reply the client would get a 5xx.
            log.exception("admission review not read")
            return Refusal(400, "the review could not be read")

    def refuse(self, refusal: Refusal) -> Reply:
        """Return the reply that gives the reason of a rejection."""
        self._observer.refused(refusal.status)
        return refusal.reply


def check_head(method: str, headers: Iterable[Header]) -> None:
    """Raise Refusal for a head that does not belong to a review. Header names are in lower case."""
    if method != "POST":
        raise Refusal(405, "only POST is accepted here", (b"allow", b"POST"))
    content_type, encoding = b"", b""
    for name, value in headers:
        if name == b"content-type":
            content_type = value
        elif name == b"content-encoding":
            encoding = value
    # The comparison comes first, because the API server always sends exactly this value.
    if content_type != JSON and content_type.partition(b";")[0].strip().lower() != JSON:
        raise Refusal(415, "the Content-Type must be application/json")
    if encoding and encoding.strip().lower() != b"identity":
        raise Refusal(415, "a Content-Encoding is not accepted")


def check_length(length: int, counters: PortCounters) -> None:
    """Raise Refusal for a body that is announced too large, or that does not fit into the shared limit."""
    if length > LARGEST_BODY:
        raise Refusal(413, _TOO_LARGE)
    # An announced length is not reserved. Bodies that outgrow the limit together are stopped by check_body.
    if length > SMALL_BODY and counters.held_bytes + length > MAX_HELD_BY_LARGE:
        raise Refusal(429, _TOO_MUCH, _RETRY_AFTER)


def check_body(size: int, counters: PortCounters) -> None:
    """Raise Refusal when the ``size`` bytes received of a body, or the bytes of all bodies, exceed the limit."""
    # A chunked body announces no length, so its size is checked while it arrives.
    if size > LARGEST_BODY:
        raise Refusal(413, _TOO_LARGE)
    if counters.held_bytes > (MAX_HELD_BYTES if size <= SMALL_BODY else MAX_HELD_BY_LARGE):
        raise Refusal(429, _TOO_MUCH, _RETRY_AFTER)


def _content_length(headers: Iterable[Header]) -> int:
    return next((int(value) for name, value in headers if name == b"content-length"), 0)


async def _read_body(receive: Receive, counters: PortCounters) -> bytes:
    """Return the whole body. Raises Refusal as soon as it is too large, ClientDisconnected when it stays incomplete."""
    message = await receive()
    chunks: list[bytes] = []
    size = 0
    while message["type"] == "http.request":
        chunk: bytes = message["body"]
        size += len(chunk)
        chunks.append(chunk)
        if message["more_body"] or size > LARGEST_BODY:
            check_body(size, counters)
            message = await receive()
        else:
            return b"".join(chunks)
    raise ClientDisconnected


class AdmissionApp(FastAPI):
    """Serves ``/mutate`` and no other path.

    Requests to ``/mutate`` go straight to the endpoint. FastAPI's middleware and router would take two thirds of the
    time of a request, and an admission review does not need them.
    """

    def __init__(self, mutate: MutateEndpoint) -> None:
        super().__init__(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
        self.add_exception_handler(404, _not_found)
        self.mutate = mutate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] == "http" and scope["path"] == MUTATE_PATH:
            await self.mutate(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


async def _not_found(_request: Request, _error: Exception) -> PlainTextResponse:
    return PlainTextResponse("not found\n", status_code=404, headers={"connection": "close"})


_NAME_KINDS = frozenset({"DNS", "URI", "IP Address", "email"})
"""Kinds of names in a subjectAltName, in the terms of the ssl module."""


class ClientAuth(msgspec.Struct, frozen=True):
    """The authorities of client certificates, in a file, and the names of the accepted clients.

    Without names, all clients with a certificate of these authorities are accepted.
    """

    authorities: WatchedFiles
    names: frozenset[str]

    def accepts(self, certificate: Mapping[str, Any]) -> bool:
        """Return whether a verified certificate, in the form of ``ssl.getpeercert``, belongs to an accepted client."""
        return not self.names or not self.names.isdisjoint(names_of(certificate))

    def rejected_names(self, certificate: Mapping[str, Any]) -> list[str] | None:
        """Return the names in the certificate of a client that is not accepted; None for an accepted client."""
        return None if self.accepts(certificate) else names_of(certificate)


def names_of(certificate: Mapping[str, Any]) -> list[str]:
    """Return the common names and the alternative names of a certificate in the form of ``ssl.getpeercert``."""
    # A client certificate of an API server may have only a common name, as those have that kubeadm issues.
    subject = [pair for attributes in certificate.get("subject", ()) for pair in attributes]
    common = [value for key, value in subject if key == "commonName"]
    return [*common, *(value for kind, value in certificate.get("subjectAltName", ()) if kind in _NAME_KINDS)]


class AdmissionListener(Listener):
    """Serves the admission application over TLS; its certificate may be replaced at any time."""

    name = "admission"

    def __init__(
        self,
        app: AdmissionApp,
        bound: socket.socket,
        context: ssl.SSLContext,
        deadlines: Deadlines | None = None,
        capacity: int | None = None,
        callers: ClientAuth | None = None,
    ) -> None:
        super().__init__(
            app,
            bound,
            app.mutate.counters,
            limits=replace(ADMISSION, deadlines=deadlines or ADMISSION.deadlines),
            service=app.mutate,
            capacity=capacity or max_connections()[0],
        )
        # It stays the same object. A new certificate is chosen within it, by the callback in certs/reload.py.
        self._context = context
        # All connections of the port share them, which webhook/http/stream.py explains.
        self._buffers = ReadBuffers(self._limits)
        self._client_check = None if callers is None else callers.rejected_names
        self._memory = MemoryTrimmer(app.mutate.counters)

    def _wrap(self, connection: Connection) -> TlsStream:
        return TlsStream(self._port, connection, self._context, self._buffers, self._client_check)

    async def on_tick(self, counter: int) -> bool:
        """Check the memory several times a second, besides the work of every listener."""
        if counter % SWEEP_TICKS == 0:
            self._memory.check()
        return await super().on_tick(counter)
