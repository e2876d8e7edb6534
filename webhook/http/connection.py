"""Serve HTTP/1.1 on one connection, with a bound on each part of a request while it arrives.

A connection has one request in flight. During its answer, or while the client does not read its answers, reading stops.
POST requests to the path of the port's service are answered directly after their last byte, without a task, an event or
a timer. The application of the port answers all other requests and gets no bodies.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

from webhook.http import rejections
from webhook.http.message import CHUNKED, END, Chunks, parse, scope_of
from webhook.http.reply import Exchange, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from webhook.http.message import Head
    from webhook.http.port import Port, Service
    from webhook.http.reply import Reply

_CR = 13
_LARGE_PART = 4096
"""Bytes of a body from which a separate object is worth its overhead of some 50 bytes."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class State(Enum):
    """The state of a connection."""

    READY = auto()
    """Between two requests, or within a head."""

    BODY = auto()
    ANSWERING = auto()
    ENDED = auto()
    """The last answer has been written; later bytes are dropped."""


class Transport(Protocol):
    """The parts of a stream that its connection calls."""

    def write(self, data: bytes) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self, *, reads: bool) -> None: ...

    def abort(self) -> None: ...


class Connection:
    """One connection, from its acceptance to its end.

    ``due`` is the time, on the event loop's clock, at which it ends unless it makes progress. One attribute and a
    periodic check cost less than timers for each request.
    """

    __slots__ = (
        "_buffered",
        "_chunks",
        "_counters",
        "_exchange",
        "_held",
        "_ignores_rest",
        "_is_computing",
        "_keep_alive",
        "_missing",
        "_parts",
        "_port",
        "_request_method",
        "_state",
        "_write_blocked",
        "buffered",
        "client",
        "due",
        "in_handshake",
        "is_accepted",
        "peer",
        "transport",
    )

    transport: Transport

    def __init__(self, port: Port, client: tuple[str, int]) -> None:
        """Join the port; ``transport`` must be set before any other call."""
        self._port = port
        self._counters = port.counters
        self.client = client
        self.peer = client[0]
        self.is_accepted = False
        self.buffered = 0
        self.in_handshake = True
        self.due = port.loop.time() + port.limits.deadlines.handshake
        self._state = State.READY
        self._write_blocked = False
        self._keep_alive = True
        self._ignores_rest = False
        self._request_method = ""
        self._buffered = bytearray()
        self._parts: list[bytes | bytearray] = []
        self._held = 0
        self._is_computing = False
        self._missing = 0
        self._chunks: Chunks | None = None
        self._exchange: Exchange | None = None
        port.join(self)

    # Called by the transport

    def established(self) -> None:
        """Start to take requests, after the TLS handshake if there is one."""
        self.in_handshake = False
        self.due = self._port.loop.time() + self._port.limits.deadlines.idle

    def ended(self) -> None:
        """Clean up after the connection has ended for any reason."""
        # A request counts until its answer is written, so a connection that ends in between takes its request off the
        # count.
        if self._state in (State.BODY, State.ANSWERING):
            self._counters.requests -= 1
        self._state = State.ENDED
        self._release()
        self._clear_buffer()
        self._unblock_writes()
        if self._exchange is not None:
            self._exchange.disconnect()
            self._exchange = None
        self._port.leave(self)

    def data_received(self, data: bytes) -> None:
        state = self._state
        # The usual case first: an API server's head arrives in one piece on an idle connection, and nothing has to be
        # kept.
        if state is State.READY and not (self._buffered or self._write_blocked):
            self._advance(data)
        elif state is State.BODY:
            self._proceed(self._take_body(data))
        elif state is not State.ENDED and self._buffer(data) and state is State.READY and not self._write_blocked:
            self._check_buffered_head(len(data))

    def pause_writing(self) -> None:
        """Stop reading until the client has read its answers.

        This counts the bytes that wait here and in the system's buffers.
        """
        self._write_blocked = True
        # The system's buffers are memory of this host too, and a client that never reads would keep them full at no
        # cost.
        fits = self._port.count(self, self._port.limits.unread_cost)
        if self._state is State.ENDED:
            return
        if not fits:
            self._port.rejections.count(rejections.UNREAD, self.peer)
            self.transport.abort()
            return
        self.transport.pause_reading()
        self.due = self._port.loop.time() + self._port.limits.deadlines.answer

    def resume_writing(self) -> None:
        self._unblock_writes()
        if self._state is State.READY:
            self._start_idle_deadline()
            self._resume()
        elif self._state is State.BODY:
            self.due = self._port.loop.time() + self._port.limits.deadlines.body
            self.transport.resume_reading()

    # Called by the server

    @property
    def idle(self) -> bool:
        """True while no request is being read or answered."""
        return self._state is State.READY and not self._buffered

    def shutdown(self) -> None:
        """End after the answer to the request in progress, if there is one."""
        if self.in_handshake:
            self.transport.abort()
        elif self.idle:
            self.finish()
        else:
            self._keep_alive = False

    def evict(self) -> None:
        """End to free the place for another connection."""
        self._port.rejections.count(rejections.EVICTED, self.peer)
        # The count is correct before the next connection is admitted: abort reports the end only in a later turn of the
        # loop.
        self.ended()
        self.transport.abort()

    def end_overdue(self) -> None:
        """End because a deadline has passed."""
        # The order is that of the causes: unread answers also block reading, so a late head is not the client's first
        # fault.
        if self._write_blocked:
            self._port.rejections.count(rejections.UNREAD, self.peer)
        elif self.in_handshake:
            self._counters.failed_handshakes += 1
            self._port.rejections.count(rejections.HANDSHAKE, self.peer, problem="took too long")
        elif self._state is State.BODY or (self._state is State.READY and self._buffered):
            self._port.rejections.count(rejections.SLOW, self.peer)
        self.transport.abort()

    # Heads

    def _advance(self, data: bytes) -> None:
        """Take requests off ``data`` one by one, as long as each is answered immediately."""
        port = self._port
        while True:
            # The search is bounded, so that a client cannot make it scan a large buffer for each small piece that it
            # sends.
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
            # The shortcut for reviews: a task and the application's router would take longer than the decision itself.
            if head.path == port.path and head.method == "POST":
                rest = self._serve(head, length, data, begin)
            else:
                self._call_application(head, length)
                rest = data[begin:] if length == 0 else b""
            if not rest or self._state is State.ENDED:
                return
            if self._state is not State.READY or self._write_blocked:
                self._buffer(rest)
                return
            data = rest

    def _wait_for_head(self, data: bytes) -> None:
        """Keep the beginning of a head, without the empty lines that RFC 9112 allows before it."""
        beginning = data.lstrip(b"\r\n") if data[:1] in b"\r\n" else data
        if END in beginning[: self._port.limits.head_bytes]:
            self._advance(beginning)
        elif beginning and self._buffer(beginning):
            # Later bytes of the head do not renew it, so a head that arrives byte by byte ends as well.
            self.due = self._port.loop.time() + self._port.limits.deadlines.header
            self._check_head_size()

    def _check_buffered_head(self, new: int) -> None:
        """Check whether the kept head is complete with its ``new`` last bytes."""
        # Only the new bytes are searched, and the few before them in which the end of the head may begin. A head that
        # arrives byte by byte would otherwise cost the square of its size.
        start = max(0, len(self._buffered) - new - len(END))
        if self._buffered.find(END, start, self._port.limits.head_bytes) >= 0:
            self._resume()
        else:
            self._check_head_size()

    def _check_head_size(self) -> None:
        limits = self._port.limits
        if len(self._buffered) >= limits.head_bytes:
            self._reject(Refusal(431, f"the head is larger than {limits.head_bytes} bytes"))

    # Bodies for the service

    def _serve(self, head: Head, length: int, data: bytes, begin: int) -> bytes:
        """Pass the body of a request to the service; return the bytes received after it."""
        service = self._port.service
        assert service is not None  # noqa: S101 - only a port with one has its path
        # It stays false after a shutdown, so that the answer in progress is the last one of the connection.
        self._keep_alive = self._keep_alive and head.keep_alive
        self._request_method = head.method
        self._counters.requests += 1
        try:
            service.check(head, length)
        except Refusal as refusal:
            self._refuse(refusal)
            return b""
        end = begin + length
        # A body that came with its head is answered immediately, without a state between two reads.
        if length >= 0 and end <= len(data):
            self._counters.received_bytes += length
            self._answer(data[begin:end])
            return data[end:]
        self._state = State.BODY
        self.due = self._port.loop.time() + self._port.limits.deadlines.body
        self._missing = length
        self._chunks = Chunks(self._port.limits.chunk_bytes) if length == CHUNKED else None
        # RFC 9110, section 10.1.1: the server may omit it when bytes of the body have arrived, because then the client
        # does not wait.
        if head.expects_continue and begin == len(data):
            self.transport.write(_CONTINUE)
        return self._take_body(data[begin:]) if begin < len(data) else b""

    def _take_body(self, data: bytes) -> bytes:
        """Take the next bytes of a body, and answer when it is complete. Return the bytes after it."""
        if self._chunks is not None:
            return self._take_chunks(self._chunks, data)
        body, rest = (data, b"") if len(data) <= self._missing else (data[: self._missing], data[self._missing :])
        self._missing -= len(body)
        if len(body) >= _LARGE_PART or not self._parts:
            self._parts.append(body)
        # Small pieces are joined as they come: a body that arrives byte by byte would cost an object for each byte.
        elif isinstance(self._parts[-1], bytearray):
            self._parts[-1] += body
        else:
            self._parts.append(bytearray(body))
        if self._count_body(len(body), self._held + len(body)) and not self._missing:
            self._complete(b"".join(self._parts))
        return rest

    def _take_chunks(self, chunks: Chunks, data: bytes) -> bytes:
        before = len(chunks.body)
        try:
            chunks.feed(data)
        except Refusal as refusal:
            self._refuse(refusal)
            return b""
        if self._count_body(len(chunks.body) - before, len(chunks.body)) and chunks.complete:
            self._complete(bytes(chunks.body))
        return chunks.rest

    def _count_body(self, added: int, size: int) -> bool:
        """Count received bytes of a body; False when they exceed a limit."""
        self._held += added
        self._counters.held_bytes += added
        self._counters.received_bytes += added
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
        """Continue with the bytes after a request, if any, or keep them until it is their turn."""
        if not rest or self._state is State.ENDED:
            return
        if self._state is State.READY and not self._write_blocked:
            self._advance(rest)
        else:
            self._buffer(rest)

    def _answer(self, body: bytes) -> None:
        """Get the service's answer; a heavy one is computed in another thread, so that other requests do not wait."""
        service = self._port.service
        assert service is not None  # noqa: S101 - as above
        if not service.is_heavy(body):
            self._write(service.reply(body))
            return
        self._begin_answer()
        # A body that came with its head was not counted, because most are answered immediately. This one stays in
        # memory.
        if not self._held:
            self._held = len(body)
            self._counters.held_bytes += len(body)
        self._is_computing = True
        work = self._port.worker.submit(self._compute, service, body)
        work.add_done_callback(self._return_to_loop)

    def _compute(self, service: Service, body: bytes) -> Callable[[], Reply] | None:
        """Compute the answer in another thread, unless the client has gone."""
        return None if self._state is State.ENDED else service.work(body)

    def _return_to_loop(self, work: Future[Callable[[], Reply] | None]) -> None:
        """Return to the event loop, from the thread that has done the work."""
        try:
            self._port.loop.call_soon_threadsafe(self._finish_work, work)
        except RuntimeError:
            return  # the event loop has ended

    def _finish_work(self, work: Future[Callable[[], Reply] | None]) -> None:
        self._is_computing = False
        # The end of the port cancels work that has not begun, and result() would raise then.
        reply = None if work.cancelled() else work.result()
        if self._state is State.ANSWERING and reply is not None:
            self.respond(reply())
        else:
            self._release()

    # The application

    def _call_application(self, head: Head, length: int) -> None:
        """Pass the request to the application. A body would be dropped, so then the connection ends."""
        self._counters.requests += 1
        self._keep_alive = self._keep_alive and head.keep_alive and length == 0
        self._ignores_rest = length != 0
        self._request_method = head.method
        self._begin_answer()
        # Only the admission port has a service, and only it speaks TLS.
        scheme = "https" if self._port.service is not None else "http"
        exchange = self._exchange = Exchange(scope_of(head, self.client, scheme), self)
        self._port.scheduler.submit(self.peer, lambda: self._start(exchange))

    def _start(self, exchange: Exchange) -> bool:
        # The client may have gone while the request waited for its turn.
        if self._exchange is not exchange:
            return False
        port = self._port
        task = port.loop.create_task(exchange.run(port.app))
        port.tasks.add(task)
        task.add_done_callback(port.tasks.discard)
        task.add_done_callback(lambda _: port.scheduler.finish_one())
        return True

    # Answers

    def _begin_answer(self) -> None:
        """Stop reading until the answer is ready. The delay is ours, so there is no deadline."""
        self._state = State.ANSWERING
        self.due = float("inf")
        self.transport.pause_reading()

    def respond(self, reply: Reply) -> None:
        """Write a delayed answer, and continue with the bytes received meanwhile."""
        if self._state is not State.ANSWERING:
            return
        self._exchange = None
        if self._write(reply):
            self._resume()

    def _resume(self) -> None:
        """Continue with the kept bytes, and read on unless answers wait for the client."""
        if self._write_blocked:
            return
        buffered = bytes(self._buffered)
        self._clear_buffer()
        if buffered:
            self._advance(buffered)
        if self._state in (State.READY, State.BODY) and not self._write_blocked:
            self.transport.resume_reading()

    def _write(self, reply: Reply) -> bool:
        """Write the answer to the request in progress; return whether the connection continues."""
        closes = reply.closes or not self._keep_alive
        if closes and not reply.closes:
            reply = reply.closing()
        self.transport.write(reply.encode(with_body=self._request_method != "HEAD"))
        self._counters.requests -= 1
        if self._held:
            self._release()
        # Only an answered request proves that the peer is a real client. A connection that merely sends bytes stays
        # among those that are evicted first.
        if not self.is_accepted and reply.status < 300:  # noqa: PLR2004 - a success
            self.is_accepted = True
            self._port.table.accept(self)
        if closes:
            self.finish()
            return False
        self._state = State.READY
        if not self._write_blocked:
            self._start_idle_deadline()
        return True

    def _start_idle_deadline(self) -> None:
        self.due = self._port.loop.time() + self._port.limits.deadlines.idle

    def _refuse(self, refusal: Refusal) -> None:
        """Answer although the body is incomplete; the rest of it is ignored."""
        service = self._port.service
        assert service is not None  # noqa: S101 - as above
        self._ignores_rest = True
        self._write(service.refuse(refusal))

    def _reject(self, refusal: Refusal) -> None:
        """Answer a head that is malformed or too large."""
        cause = rejections.BAD_REQUEST if refusal.status == 400 else rejections.TOO_LARGE  # noqa: PLR2004
        self._port.rejections.count(cause, self.peer, problem=str(refusal))
        self._counters.requests += 1
        # A malformed head has no method that can be trusted, so its answer has a body even if the request was meant as
        # HEAD.
        self._request_method = ""
        self._ignores_rest = True
        self._write(refusal.reply)

    def finish(self) -> None:
        """End after the last answer. The client has a moment to read it; later bytes from it are dropped."""
        self._state = State.ENDED
        self._release()
        self._clear_buffer()
        self._parts, self._chunks = [], None
        self.transport.close(reads=not self._ignores_rest)

    # Counted bytes

    def _buffer(self, data: bytes) -> bool:
        """Keep bytes for later; False when they are too many and the connection ends."""
        limits = self._port.limits
        self._buffered += data
        if self._port.count_and_evict(self, len(data)) and len(self._buffered) <= limits.pipeline_bytes:
            return self._state is not State.ENDED
        if self._state is not State.ENDED:
            self._port.rejections.count(rejections.TOO_LARGE, self.peer)
            self.transport.abort()
        return False

    def _clear_buffer(self) -> None:
        if self._buffered:
            self._port.release(self, len(self._buffered))
            self._buffered = bytearray()

    def _unblock_writes(self) -> None:
        if self._write_blocked:
            self._write_blocked = False
            self._port.release(self, self._port.limits.unread_cost)

    def _release(self) -> None:
        """Release the memory of a body, unless another thread still uses it."""
        if not self._is_computing:
            self._counters.held_bytes -= self._held
            self._held = 0
