"""Carry the bytes of one connection, in plain text or within TLS.

The TLS layers of asyncio and uvloop keep a buffer of 256 KiB for each connection. They read up to 256 KiB more before
they pause, and let 512 KiB of answers wait. Here, connections have only the buffers of OpenSSL. All connections read
into the same two buffers, which saves two copies of each body. This is safe because each connection takes its bytes out
before the event loop turns to the next one.
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
    from webhook.http.limits import PortLimits
    from webhook.http.port import Port

    ClientCheck = Callable[[Mapping[str, Any]], list[str] | None]
    """Returns the names in a verified client certificate if the client is rejected."""


class Stream(asyncio.BaseProtocol):
    """A connection, independent of how its bytes are read and written."""

    def __init__(self, port: Port, connection: Connection) -> None:
        self._port = port
        self._connection = connection
        connection.transport = self
        self._raw: asyncio.Transport
        self._closing = False
        self._paused = False
        self._open = False
        self._close_timer: asyncio.TimerHandle | None = None

    # Called by the event loop

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._raw = transport
        self._open = True
        # The default of asyncio is 64 KiB: 1,000 clients that do not read would hold 64 MiB.
        self._raw.set_write_buffer_limits(high=self._port.limits.unread_bytes)
        if self._connection not in self._port.connections:
            self._raw.abort()  # evicted meanwhile
            return
        self._begin()

    def _begin(self) -> None:
        self._connection.established()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it ended
        self._open = False
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._connection.ended()

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    # Called by the connection

    def write(self, data: bytes) -> None:
        """Send bytes, unless the connection has ended."""
        if self._open and not self._closing:
            self._raw.write(data)

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that wait for the client."""
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
        """End cleanly: the client gets all written bytes and closes its side, or is cut off.

        Later bytes from the client are dropped. Without ``reads`` they stay in the system's buffers, which are soon
        full.
        """
        if self._closing or not self._open or self._raw.is_closing():
            return
        self._close_protocol()
        self._closing = True
        if reads:
            if self._paused:
                self._paused = False
                self._raw.resume_reading()
        else:
            self.pause_reading()
        # Half-closed, not closed: a close with unread bytes in the system's buffer sends a reset, which can destroy the
        # last answer on its way (RFC 9112, section 9.6).
        self._raw.write_eof()
        self._close_timer = self._port.loop.call_later(self._port.limits.deadlines.close, self._on_close_timeout)

    def _on_close_timeout(self) -> None:
        """End, unless the client is still reading its last answer."""
        if self.get_write_buffer_size():
            self._close_timer = self._port.loop.call_later(self._port.limits.deadlines.answer, self.abort)
        else:
            self.abort()

    def _close_protocol(self) -> None:
        """Write the protocol's last bytes."""

    def abort(self) -> None:
        """End immediately."""
        if self._open:
            self._raw.abort()


class PlainStream(Stream, asyncio.Protocol):
    """A connection in plain text."""

    def data_received(self, data: bytes) -> None:
        if not self._closing:
            self._connection.data_received(data)


_RECORD = 16 * 1024
"""Largest number of plain-text bytes in one TLS record."""

_PARTIAL_RECORD = 36 * 1024
"""Bytes of an incomplete record: once in our buffer, once in OpenSSL's."""


class ReadBuffers:
    """The read buffers that all connections of one event loop share; they are empty between reads."""

    __slots__ = ("encrypted", "plain")

    def __init__(self, limits: PortLimits) -> None:
        size = 2 * limits.receive_bytes  # of the system's buffer for a connection
        self.encrypted = memoryview(bytearray(size))
        self.plain = memoryview(bytearray(size + 2 * _RECORD))
        """This has extra room for a record whose beginning came with an earlier read."""


class TlsStream(Stream, asyncio.BufferedProtocol):
    """A connection within TLS."""

    def __init__(
        self,
        port: Port,
        connection: Connection,
        context: ssl.SSLContext,
        buffers: ReadBuffers,
        client_check: ClientCheck | None,
    ) -> None:
        super().__init__(port, connection)
        self._client_check = client_check
        self._encrypted, self._plain = buffers.encrypted, buffers.plain
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._read_into: Callable[[int, memoryview], int] = self._tls.read  # type: ignore[assignment]  # bytes without it
        self._encrypt = self._tls.write
        self._established = False
        self._partial = False

    def _begin(self) -> None:
        """Wait for the handshake."""

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - there is one
        return self._encrypted

    def buffer_updated(self, nbytes: int) -> None:
        if self._closing:
            return
        incoming = self._incoming
        incoming.write(self._encrypted[:nbytes])
        if not self._established and not self._continue_handshake():
            return
        plain, size, partial, ended = self._plain, 0, False, False
        try:
            # All records of one read are decrypted together, so that a body of many records reaches the connection as
            # one piece.
            while incoming.pending and not ended:
                record = self._read_into(_RECORD, plain[size:])
                size += record
                ended = not record
        except ssl.SSLWantReadError:
            partial = True
        except ssl.SSLError:
            self.abort()
            return
        if partial != self._partial:
            self._note_partial(partial)
        if size:
            self._connection.data_received(bytes(plain[:size]))
        if ended:
            self.close(reads=True)
        elif self._outgoing.pending:
            self._flush()

    def _note_partial(self, partial: bool) -> None:
        """Count the bytes that OpenSSL keeps while a record is incomplete."""
        self._partial = partial
        if not partial:
            self._port.release(self._connection, _PARTIAL_RECORD)
        elif not self._port.count_and_evict(self._connection, _PARTIAL_RECORD) and self._open:
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
        """Send TLS's own pending messages."""
        if self._open and self._outgoing.pending and not self._raw.is_closing():
            self._raw.write(self._outgoing.read())

    def _continue_handshake(self) -> bool:
        """Continue the handshake; return whether it is complete."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except (ssl.SSLError, OSError) as error:
            self._fail_handshake(error.reason if isinstance(error, ssl.SSLError) else str(error))
            return False
        self._flush()
        self._established = True
        if self._client_check is not None and self._is_refused(self._client_check):
            return False
        self._connection.established()
        return True

    def _fail_handshake(self, problem: str | None) -> None:
        self._port.counters.failed_handshakes += 1
        self._port.rejections.count(rejections.HANDSHAKE, self._connection.peer, problem=problem or "unknown")
        self._closing = True
        self._flush()
        self._raw.close()

    def _is_refused(self, client_check: ClientCheck) -> bool:
        # The ssl module has no hook for the names in a client certificate, so they are checked after the handshake.
        # With TLS 1.3 the client has finished its own part by then, and sees a reset.
        names = client_check(self._tls.getpeercert() or {})
        if names is None:
            return False
        self._port.counters.refused_callers += 1
        self._port.rejections.count(rejections.CALLER, self._connection.peer, names=names)
        self._closing = True
        self._raw.abort()
        return True

    def eof_received(self) -> None:
        if not self._established and not self._closing:
            self._fail_handshake("the client closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._established and not self._closing and exc is not None:
            self._port.counters.failed_handshakes += 1
        if self._partial:
            self._note_partial(False)
        # Break the reference cycle, because OpenSSL drops the session only when the object is freed.
        del self._tls, self._read_into, self._encrypt, self._incoming, self._outgoing
        super().connection_lost(exc)

    def abort(self) -> None:
        if self._partial:
            self._note_partial(False)
        super().abort()

    def _close_protocol(self) -> None:
        with contextlib.suppress(ssl.SSLError):  # our part is written; the error means that the client's is missing
            self._tls.unwrap()
        self._flush()
