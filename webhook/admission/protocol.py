"""HTTP/1.1 on the admission port: uvicorn's protocol, with deadlines, and a short way to the hot path.

A request to ``/mutate`` is answered without what uvicorn and asyncio do for applications that wait: no task, no event,
no timer for each request, and head and body of the response in one write; and if its head is one that came before, the
parser does not see it. For a review of 7 kB that makes 20 µs of Python, 5 of them outside the handler; with uvicorn's
own cycle and parser it would be 54.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from webhook.admission.app import MUTATE_PATH
from webhook.admission.direct import DirectRequest
from webhook.admission.endpoint import SMALL_BODY, check_head
from webhook.admission.reply import Refusal

if TYPE_CHECKING:
    import asyncio

    from webhook.admission.endpoint import MutateEndpoint
    from webhook.admission.heads import KnownHeads
    from webhook.observe.traffic import Traffic

_URL = MUTATE_PATH.encode()
_URL_WITH_QUERY = _URL + b"?"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that a client has for each part of a request."""

    handshake: float = 10.0
    header: float = 10.0
    body: float = 15.0
    idle: float = 120.0
    """More than the 90 s for which the API server keeps an idle connection: else it may use one that is just being
    closed, and it never repeats a POST. That also holds for a connection which has not yet said anything: Go's client
    dials ahead, and keeps in its pool what it does not need at once."""

    farewell: float = 1.0
    """For the client's answer to our close of the TLS session, or to read why its request was refused."""


class AdmissionProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol, with a time by which the part of a request that is due must have come."""

    mutate: MutateEndpoint
    heads: KnownHeads
    deadlines: Deadlines
    traffic: Traffic
    held = 0
    """Bytes of the body of the request in progress."""

    over = False
    """Whether the last response of this connection has been written; what still comes is not looked at."""

    direct: DirectRequest | None = None
    """The request on the short way, as long as it is the latest of its connection."""

    due = math.inf
    """On the event loop's clock. One attribute and a periodic look cost less than setting timers for each request."""

    between = True
    """Whether the parser stands between two requests."""

    beginning = b""
    """What the parser reads at this moment, if it stood between two requests before."""

    missing = 0
    """Bytes of the body of a request that the parser does not see."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.due = self.loop.time() + self.deadlines.idle

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._release()
        self.traffic.connections -= 1

    def data_received(self, data: bytes) -> None:
        if self.missing:
            self._gather(data)
            return
        if self.between and (self.cycle is None or self.cycle.response_complete):  # type: ignore[redundant-expr]
            known = self.heads.find(data)
            if known is not None and self._take_known(data, *known):
                return
            self.beginning = data
        super().data_received(data)
        self.beginning = b""

    def _take_known(self, data: bytes, start: int, length: int) -> bool:
        """Take a request whose body of ``length`` begins at ``start``; False if the parser has to see it."""
        came = len(data) - start
        if came > length or length > SMALL_BODY:
            return False
        self._unset_keepalive_if_required()
        if came == length:
            self._answer_at_once(data[start:])
            return True
        self.cycle = self.direct = DirectRequest(self, keep_alive=True)  # type: ignore[assignment]
        self.due = self.loop.time() + self.deadlines.body
        self.missing = length
        self._gather(data[start:])
        return True

    def _answer_at_once(self, body: bytes) -> None:
        self.traffic.received_bytes += len(body)
        reply = self.mutate.reply(body)
        self.transport.write(reply.on_the_wire())
        self.on_direct_response()
        if reply.closes:
            self.close()

    def _gather(self, data: bytes) -> None:
        body, rest = (data, b"") if len(data) <= self.missing else (data[: self.missing], data[self.missing :])
        self.missing -= len(body)
        self.on_body(body)
        if not self.missing:
            self._complete()
        if rest:
            self.data_received(rest)

    def close(self) -> None:
        """Close after a complete request and its response."""
        self.over = True
        self.between = False
        self.transport.close()

    def linger(self) -> None:
        """Give the client time to read why it was refused; then the sweep over connections cuts it off.

        Nothing is read meanwhile: a close of the TLS session would have to, for as long as the client sends.
        """
        self.over = True
        self.between = False
        self.transport.pause_reading()
        self.due = self.loop.time() + self.deadlines.farewell

    def send_400_response(self, msg: str) -> None:
        if self.over:
            # It has had its answer; that the rest of it is no HTTP changes nothing.
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _release(self) -> None:
        self.traffic.held_bytes -= self.held
        self.held = 0

    def on_message_begin(self) -> None:
        self.between = False
        if self.over:
            return
        super().on_message_begin()
        self.due = self.loop.time() + self.deadlines.header

    def on_headers_complete(self) -> None:
        beginning, self.beginning = self.beginning, b""
        if self.over:
            return
        self.due = self.loop.time() + self.deadlines.body
        if not self._goes_the_short_way():
            self.direct = None
            super().on_headers_complete()
            return
        request = DirectRequest(self, keep_alive=self.parser.should_keep_alive())
        self.cycle = self.direct = request  # type: ignore[assignment]
        try:
            check_head("POST", self.headers, self.traffic)
        except Refusal as refusal:
            request.refuse(refusal)
        else:
            self.heads.learn(beginning)

    def _goes_the_short_way(self) -> bool:
        return (
            (self.url == _URL or self.url.startswith(_URL_WITH_QUERY))
            and (self.cycle is None or self.cycle.response_complete)  # type: ignore[redundant-expr]
            and self.parser.get_method() == b"POST"
            and not self.expect_100_continue
            and not self.parser.should_upgrade()
            and self.parser.get_http_version() == "1.1"
        )

    def on_body(self, body: bytes) -> None:
        if self.cycle.response_complete:
            return
        size = len(body)
        traffic = self.traffic
        self.held += size
        traffic.held_bytes += size
        traffic.received_bytes += size
        if self.direct is None:
            super().on_body(body)
        else:
            self.direct.feed(body)

    def on_message_complete(self) -> None:
        self.between = not self.over and self.parser.should_keep_alive()
        if self.direct is None and not self.over:
            self.due = math.inf
            super().on_message_complete()
        else:
            self._complete()

    def _complete(self) -> None:
        """Take the end of a request on the short way, or of one that had its answer before."""
        if self.over:
            # All of it was on its way already: an orderly close will not have to wait.
            self.transport.close()
        elif self.direct is not None and not self.direct.response_complete:
            self.direct.finish()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._release()
        self.due = self.loop.time() + self.deadlines.idle
        if self.transport.is_closing() and self.cycle.more_body:
            # It is being closed, and what still comes is thrown away: until the next sweep at the latest.
            self.over = True
            self.due = self.loop.time()

    def on_direct_response(self) -> None:
        """Note that a response has gone out the short way; the sweep over idle connections stands in for a timer."""
        self.server_state.total_requests += 1
        self.traffic.held_bytes -= self.held
        self.held = 0
        self.due = self.loop.time() + self.deadlines.idle
