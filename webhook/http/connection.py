"""Speak HTTP/1.1 on one connection, with a bound on each part of it while it arrives.

A connection has one request in flight. While that is being answered, or while the client does not take its answers,
nothing more is read. POST requests to the path of the port's service are answered right here, without a task, an event
or a timer, as soon as their last byte has come. The application of the port answers all others, and gets no bodies.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from webhook.http import rejections
from webhook.http.asgi import Exchange, scope_of
from webhook.http.chunks import Chunks
from webhook.http.head import CHUNKED, END, parse
from webhook.http.reply import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from webhook.http.head import Head
    from webhook.http.port import Port, Service
    from webhook.http.reply import Reply
    from webhook.http.stream import Stream

_CR = 13
_LARGE_PIECE = 4096
"""Bytes of a body that are worth an object of their own, which takes some 50 more."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class State(Enum):
    """The step that a connection is at."""

    READY = auto()
    """Between two requests, or within a head."""

    BODY = auto()
    ANSWERING = auto()
    OVER = auto()
    """The last answer has been written; what still comes is dropped."""


class Connection:
    """One connection, from its acceptance to its end.

    ``due`` is when it ends unless it gets on, on the event loop's clock. One attribute and a periodic look cost less
    than timers for each request.
    """

    __slots__ = (
        "_answers_to",
        "_chunks",
        "_exchange",
        "_held",
        "_keep_alive",
        "_kept",
        "_lingers",
        "_missing",
        "_parts",
        "_port",
        "_state",
        "_stuck",
        "_traffic",
        "_working",
        "client",
        "due",
        "known",
        "peer",
        "shaking_hands",
        "transport",
    )

    transport: Stream

    def __init__(self, port: Port, client: tuple[str, int]) -> None:
        """Take a place at the port; ``transport`` is to be set before anything else is called."""
        self._port = port
        self._traffic = port.traffic
        self.client = client
        self.peer = client[0]
        self.known = False
        self.shaking_hands = True
        self.due = port.loop.time() + port.limits.deadlines.handshake
        self._state = State.READY
        self._stuck = False
        self._keep_alive = True
        self._lingers = False
        self._answers_to = ""
        self._kept = bytearray()
        self._parts: list[bytes | bytearray] = []
        self._held = 0
        self._working = False
        self._missing = 0
        self._chunks: Chunks | None = None
        self._exchange: Exchange | None = None
        port.join(self)

    # Called by the transport

    def established(self) -> None:
        """Begin to take requests: the TLS handshake, if there is one, is over."""
        self.shaking_hands = False
        self.due = self._port.loop.time() + self._port.limits.deadlines.idle

    def lost(self) -> None:
        """Take note that the connection has ended, however that was."""
        if self._state in (State.BODY, State.ANSWERING):
            self._traffic.requests -= 1
        self._state = State.OVER
        self._release()
        self._unkeep()
        self._unstick()
        if self._exchange is not None:
            self._exchange.disconnect()
            self._exchange = None
        self._port.leave(self)

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state is State.READY and not (self._kept or self._stuck):
            self._advance(data)
        elif state is State.BODY:
            self._proceed(self._take_body(data))
        elif state is not State.OVER and self._keep(data) and state is State.READY and not self._stuck:
            self._look_at_kept(len(data))

    def pause_writing(self) -> None:
        """Read no more until the client has taken its answers; count what waits here and in the system's buffers."""
        self._stuck = True
        self._traffic.kept_bytes += self._port.limits.unread_cost
        if self._state is State.OVER:
            return
        if self._traffic.kept_bytes > self._port.limits.kept_bytes:
            self._port.rejections.count(rejections.UNREAD, self.peer)
            self.transport.abort()
            return
        self.transport.pause_reading()
        self.due = self._port.loop.time() + self._port.limits.deadlines.answer

    def resume_writing(self) -> None:
        self._unstick()
        if self._state is State.READY:
            self._be_idle()
            self._go_on()
        elif self._state is State.BODY:
            self.due = self._port.loop.time() + self._port.limits.deadlines.body
            self.transport.resume_reading()

    # Called by the server

    @property
    def idle(self) -> bool:
        """True while no request is being read or answered."""
        return self._state is State.READY and not self._kept

    def shutdown(self) -> None:
        """End as soon as the request in progress, if there is one, has been answered."""
        if self.shaking_hands:
            self.transport.abort()
        elif self.idle:
            self.finish()
        else:
            self._keep_alive = False

    def evict(self) -> None:
        """Make room for another connection."""
        self._port.rejections.count(rejections.EVICTED, self.peer)
        self.lost()
        self.transport.abort()

    def end_overdue(self) -> None:
        """End because something has not come in time."""
        if self._stuck:
            self._port.rejections.count(rejections.UNREAD, self.peer)
        elif self.shaking_hands:
            self._traffic.failed_handshakes += 1
            self._port.rejections.count(rejections.HANDSHAKE, self.peer, problem="took too long")
        elif self._state is State.BODY or (self._state is State.READY and self._kept):
            self._port.rejections.count(rejections.SLOW, self.peer)
        self.transport.abort()

    # Heads

    def _advance(self, data: bytes) -> None:
        """Take one request after the other off ``data``, as long as each can be answered at once."""
        port = self._port
        while True:
            end = data.find(END, 0, port.limits.head_bytes)
            if end < 0 or data[0] == _CR:
                self._wait_for_head(data)
                return
            try:
                head, length = parse(data[:end], port.limits)
            except Refusal as refusal:
                self._reject(refusal)
                return
            begin = end + len(END)
            if head.path == port.path and head.method == "POST":
                rest = self._serve(head, length, data, begin)
            else:
                self._ask(head, length)
                rest = data[begin:] if length == 0 else b""
            if not rest or self._state is State.OVER:
                return
            if self._state is not State.READY or self._stuck:
                self._keep(rest)
                return
            data = rest

    def _wait_for_head(self, data: bytes) -> None:
        """Keep the beginning of a head, without the empty lines that RFC 9112 allows before it."""
        beginning = data.lstrip(b"\r\n") if data[:1] in b"\r\n" else data
        if END in beginning[: self._port.limits.head_bytes]:
            self._advance(beginning)
        elif beginning and self._keep(beginning):
            self.due = self._port.loop.time() + self._port.limits.deadlines.header
            self._check_head_size()

    def _look_at_kept(self, new: int) -> None:
        """See whether the head that is being kept is complete with its ``new`` last bytes."""
        start = max(0, len(self._kept) - new - len(END))
        if self._kept.find(END, start, self._port.limits.head_bytes) >= 0:
            self._go_on()
        else:
            self._check_head_size()

    def _check_head_size(self) -> None:
        limits = self._port.limits
        if len(self._kept) >= limits.head_bytes:
            self._reject(Refusal(431, f"the head is larger than {limits.head_bytes} bytes"))

    # Bodies for the service

    def _serve(self, head: Head, length: int, data: bytes, begin: int) -> bytes:
        """Take the body of a request to the service; return what comes after it, as far as it is there."""
        service = self._port.service
        assert service is not None  # noqa: S101 - only a port with one has its path
        self._keep_alive = self._keep_alive and head.keep_alive
        self._answers_to = head.method
        self._traffic.requests += 1
        try:
            service.check(head, length)
        except Refusal as refusal:
            self._refuse(refusal)
            return b""
        end = begin + length
        if length >= 0 and end <= len(data):
            self._traffic.received_bytes += length
            self._answer(data[begin:end])
            return data[end:]
        self._state = State.BODY
        self.due = self._port.loop.time() + self._port.limits.deadlines.body
        self._missing = length
        self._chunks = Chunks(self._port.limits.chunk_bytes) if length == CHUNKED else None
        if head.expects_continue and begin == len(data):
            self.transport.write(_CONTINUE)
        return self._take_body(data[begin:]) if begin < len(data) else b""

    def _take_body(self, data: bytes) -> bytes:
        """Take the next bytes of a body, and answer when it is complete; return what comes after it."""
        if self._chunks is not None:
            return self._take_chunks(self._chunks, data)
        body, rest = (data, b"") if len(data) <= self._missing else (data[: self._missing], data[self._missing :])
        self._missing -= len(body)
        if len(body) >= _LARGE_PIECE or not self._parts:
            self._parts.append(body)
        elif isinstance(self._parts[-1], bytearray):
            self._parts[-1] += body
        else:
            self._parts.append(bytearray(body))
        if self._hold(len(body), self._held + len(body)) and not self._missing:
            self._complete(b"".join(self._parts))
        return rest

    def _take_chunks(self, chunks: Chunks, data: bytes) -> bytes:
        before = len(chunks.body)
        try:
            chunks.feed(data)
        except Refusal as refusal:
            self._refuse(refusal)
            return b""
        if self._hold(len(chunks.body) - before, len(chunks.body)) and chunks.complete:
            self._complete(bytes(chunks.body))
        return chunks.rest

    def _hold(self, more: int, size: int) -> bool:
        """Count what has come of a body; False when that is too much."""
        self._held += more
        self._traffic.held_bytes += more
        self._traffic.received_bytes += more
        service = self._port.service
        assert service is not None  # noqa: S101 - as above
        try:
            service.check_body(size)
        except Refusal as refusal:
            self._refuse(refusal)
            return False
        return True

    def _complete(self, body: bytes) -> None:
        self._parts, self._chunks = [], None
        self._answer(body)

    def _proceed(self, rest: bytes) -> None:
        """Go on with what comes after a request, if anything, as soon as it is its turn."""
        if not rest or self._state is State.OVER:
            return
        if self._state is State.READY and not self._stuck:
            self._advance(rest)
        else:
            self._keep(rest)

    def _answer(self, body: bytes) -> None:
        """Have the service answer: at once, or in another thread what would keep everybody waiting."""
        service = self._port.service
        assert service is not None  # noqa: S101 - as above
        if not service.is_heavy(body):
            self._write(service.reply(body))
            return
        self._begin_answer()
        if not self._held:
            self._held = len(body)
            self._traffic.held_bytes += len(body)
        self._working = True
        work = self._port.worker.submit(self._work, service, body)
        work.add_done_callback(self._come_back)

    def _work(self, service: Service, body: bytes) -> Callable[[], Reply] | None:
        """Do it in another thread, unless the client has gone meanwhile."""
        return None if self._state is State.OVER else service.work(body)

    def _come_back(self, work: Future[Callable[[], Reply] | None]) -> None:
        """Return to the event loop, from the thread that has done the work."""
        try:
            self._port.loop.call_soon_threadsafe(self._take_work, work)
        except RuntimeError:
            return  # the event loop has ended

    def _take_work(self, work: Future[Callable[[], Reply] | None]) -> None:
        self._working = False
        reply = work.result()
        if self._state is State.ANSWERING and reply is not None:
            self.respond(reply())
        else:
            self._release()

    # The application

    def _ask(self, head: Head, length: int) -> None:
        """Have the application answer; a body would be dropped, so its connection ends."""
        self._traffic.requests += 1
        self._keep_alive = self._keep_alive and head.keep_alive and length == 0
        self._lingers = length != 0
        self._answers_to = head.method
        self._begin_answer()
        scheme = "https" if self._port.service is not None else "http"
        exchange = self._exchange = Exchange(scope_of(head, self.client, scheme), self)
        self._port.turns.take(self.peer, lambda: self._start(exchange))

    def _start(self, exchange: Exchange) -> bool:
        if self._exchange is not exchange:
            return False
        port = self._port
        task = port.loop.create_task(exchange.run(port.app))
        port.tasks.add(task)
        task.add_done_callback(port.tasks.discard)
        task.add_done_callback(lambda _: port.turns.give_back())
        return True

    # Answers

    def _begin_answer(self) -> None:
        """Read no more until the answer is there; it is our turn, so there is no deadline."""
        self._state = State.ANSWERING
        self.due = float("inf")
        self.transport.pause_reading()

    def respond(self, reply: Reply) -> None:
        """Write an answer that was not there at once, and go on with what has come meanwhile."""
        if self._state is not State.ANSWERING:
            return
        self._exchange = None
        if self._write(reply):
            self._go_on()

    def _go_on(self) -> None:
        """Go on with the bytes that had to wait, and read on, unless answers wait for the client."""
        if self._stuck:
            return
        kept = bytes(self._kept)
        self._unkeep()
        if kept:
            self._advance(kept)
        if self._state in (State.READY, State.BODY) and not self._stuck:
            self.transport.resume_reading()

    def _write(self, reply: Reply) -> bool:
        """Write the answer to the request in progress; return whether the connection goes on."""
        closes = reply.closes or not self._keep_alive
        if closes and not reply.closes:
            reply = reply.closing()
        self.transport.write(reply.on_the_wire(with_body=self._answers_to != "HEAD"))
        self._traffic.requests -= 1
        if self._held:
            self._release()
        if not self.known and reply.status < 300:  # noqa: PLR2004 - a success
            self.known = True
            self._port.crowd.accept(self)
        if closes:
            self.finish()
            return False
        self._state = State.READY
        if not self._stuck:
            self._be_idle()
        return True

    def _be_idle(self) -> None:
        self.due = self._port.loop.time() + self._port.limits.deadlines.idle

    def _refuse(self, refusal: Refusal) -> None:
        """Answer although the body is not complete; what still comes of it is not looked at."""
        service = self._port.service
        assert service is not None  # noqa: S101 - as above
        self._lingers = True
        self._write(service.refuse(refusal))

    def _reject(self, refusal: Refusal) -> None:
        """Answer a head that cannot be used."""
        cause = rejections.BAD_REQUEST if refusal.status == 400 else rejections.TOO_LARGE  # noqa: PLR2004
        self._port.rejections.count(cause, self.peer, problem=str(refusal))
        self._traffic.requests += 1
        self._answers_to = ""
        self._lingers = True
        self._write(refusal.reply)

    def finish(self) -> None:
        """End after the last answer: the client has a moment to read it, and what it still sends is dropped."""
        self._state = State.OVER
        self._release()
        self._unkeep()
        self._parts, self._chunks = [], None
        self.transport.close(reads=not self._lingers)

    # Bytes that are counted

    def _keep(self, data: bytes) -> bool:
        """Keep bytes that cannot be looked at yet; False when they are too many, and the connection is at its end."""
        limits = self._port.limits
        self._kept += data
        if self._port.keep(len(data)) and len(self._kept) <= limits.pipeline_bytes:
            return self._state is not State.OVER
        if self._state is not State.OVER:
            self._port.rejections.count(rejections.TOO_LARGE, self.peer)
            self.transport.abort()
        return False

    def _unkeep(self) -> None:
        if self._kept:
            self._traffic.kept_bytes -= len(self._kept)
            self._kept = bytearray()

    def _unstick(self) -> None:
        if self._stuck:
            self._stuck = False
            self._traffic.kept_bytes -= self._port.limits.unread_cost

    def _release(self) -> None:
        """Give back what a body took, unless another thread still has it."""
        if not self._working:
            self._traffic.held_bytes -= self._held
            self._held = 0
