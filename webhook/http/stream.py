"""Carry the bytes of one connection, in plain text or within TLS.

asyncio's and uvloop's own TLS layers keep a buffer of 256 KiB for each connection, take up to 256 KiB more before they
stop to read, and let 512 KiB of answers wait. Here a connection has no buffer of its own beside those of OpenSSL.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING

from webhook.http import rejections

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from webhook.http.connection import Connection
    from webhook.http.port import Port

    Gate = Callable[[Mapping[str, Any]], list[str] | None]
    """Returns the names in a verified client certificate if its owner is refused."""

_RECORD = 16 * 1024
"""Bytes of plain text in one TLS record, at most."""

_PARTIAL_RECORD = 36 * 1024
"""Bytes that a record takes whose end has not come: once in our buffer, once in OpenSSL's."""


class Stream(asyncio.Protocol):
    """A connection in plain text."""

    def __init__(self, port: Port, connection: Connection) -> None:
        self._port = port
        self._connection = connection
        connection.transport = self
        self._raw: asyncio.Transport
        self._closing = False
        self._paused = False
        self._open = False
        self._farewell: asyncio.TimerHandle | None = None

    # Called by the event loop

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._raw = transport
        self._open = True
        self._raw.set_write_buffer_limits(high=self._port.limits.unread_bytes)
        if self._connection not in self._port.connections:
            self._raw.abort()  # evicted meanwhile
            return
        self._begin()

    def _begin(self) -> None:
        self._connection.established()

    def data_received(self, data: bytes) -> None:
        if not self._closing:
            self._connection.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it ended
        self._open = False
        if self._farewell is not None:
            self._farewell.cancel()
        self._connection.lost()

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    # Called by the connection

    def write(self, data: bytes) -> None:
        """Send bytes; none after the end."""
        if self._open and not self._closing:
            self._raw.write(data)

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait for the client."""
        return self._raw.get_write_buffer_size() if self._open else 0

    def pause_reading(self) -> None:
        if self._open and not (self._paused or self._raw.is_closing()):
            self._paused = True
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        if self._open and self._paused and not (self._closing or self._raw.is_closing()):
            self._paused = False
            self._raw.resume_reading()

    def close(self, *, reads: bool) -> None:
        """End in good order: the client gets all that was written, and closes its side, or is cut off.

        What it still sends is dropped; without ``reads`` it stays in the system's buffers, which soon are full.
        """
        if self._closing or not self._open or self._raw.is_closing():
            return
        self._say_goodbye()
        self._closing = True
        if reads:
            if self._paused:
                self._paused = False
                self._raw.resume_reading()
        else:
            self.pause_reading()
        self._raw.write_eof()
        self._farewell = self._port.loop.call_later(self._port.limits.deadlines.farewell, self._cut_off)

    def _cut_off(self) -> None:
        """End, unless the client is still reading its last answer."""
        if self.get_write_buffer_size():
            self._farewell = self._port.loop.call_later(self._port.limits.deadlines.answer, self.abort)
        else:
            self.abort()

    def _say_goodbye(self) -> None:
        """Write what the protocol has for the end."""

    def abort(self) -> None:
        """End at once."""
        if self._open:
            self._raw.abort()


class TlsStream(Stream):
    """A connection within TLS."""

    def __init__(self, port: Port, connection: Connection, context: ssl.SSLContext, gate: Gate | None) -> None:
        super().__init__(port, connection)
        self._gate = gate
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._read, self._encrypt = self._tls.read, self._tls.write
        self._established = False
        self._partial = False

    def _begin(self) -> None:
        """Wait for the handshake."""

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        incoming = self._incoming
        incoming.write(data)
        if not self._established and not self._shake_hands():
            return
        texts, partial, ended = [], False, False
        try:
            while incoming.pending and not ended:
                texts.append(self._read(_RECORD))
                ended = not texts[-1]
        except ssl.SSLWantReadError:
            partial = True
        except ssl.SSLError:
            self.abort()
            return
        if partial != self._partial:
            self._note_partial(partial)
        text = texts[0] if len(texts) == 1 else b"".join(texts)
        if text:
            self._connection.data_received(text)
        if ended:
            self.close(reads=True)
        elif self._outgoing.pending:
            self._flush()

    def _note_partial(self, partial: bool) -> None:
        """Count what OpenSSL keeps while the end of a record has not come."""
        self._partial = partial
        if not partial:
            self._port.traffic.kept_bytes -= _PARTIAL_RECORD
        elif self._open and not self._port.keep(_PARTIAL_RECORD):
            self._port.rejections.count(rejections.TOO_LARGE, self._connection.peer)
            self.abort()

    def write(self, data: bytes) -> None:
        if self._closing or not self._open:
            return
        try:
            written = self._encrypt(data)
            while written < len(data):
                written += self._encrypt(memoryview(data)[written:])
        except ssl.SSLError:
            self.abort()
            return
        self._raw.write(self._outgoing.read())

    def _flush(self) -> None:
        """Send what TLS has to say of its own."""
        if self._open and self._outgoing.pending and not self._raw.is_closing():
            self._raw.write(self._outgoing.read())

    def _shake_hands(self) -> bool:
        """Go on with the handshake; return whether it is complete."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except (ssl.SSLError, OSError) as error:
            self._fail(error.reason if isinstance(error, ssl.SSLError) else str(error))
            return False
        self._flush()
        self._established = True
        if self._gate is not None and self._is_refused(self._gate):
            return False
        self._connection.established()
        return True

    def _fail(self, problem: str | None) -> None:
        self._port.traffic.failed_handshakes += 1
        self._port.rejections.count(rejections.HANDSHAKE, self._connection.peer, problem=problem or "unknown")
        self._closing = True
        self._flush()
        self._raw.close()

    def _is_refused(self, gate: Gate) -> bool:
        names = gate(self._tls.getpeercert() or {})
        if names is None:
            return False
        self._port.traffic.refused_callers += 1
        self._port.rejections.count(rejections.CALLER, self._connection.peer, names=names)
        self._closing = True
        self._raw.abort()
        return True

    def eof_received(self) -> None:
        if not self._established and not self._closing:
            self._fail("the client closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._established and not self._closing and exc is not None:
            self._port.traffic.failed_handshakes += 1
        if self._partial:
            self._note_partial(False)
        # It refers to itself in a circle, and OpenSSL forgets the session of an object only as that is freed.
        del self._tls, self._read, self._encrypt, self._incoming, self._outgoing
        super().connection_lost(exc)

    def abort(self) -> None:
        if self._partial:
            self._note_partial(False)
        super().abort()

    def _say_goodbye(self) -> None:
        with contextlib.suppress(ssl.SSLError):  # it has written our part, and waits for that of the client
            self._tls.unwrap()
        self._flush()
