"""Carry the bytes of one connection in plain text; tls.py does the same within TLS."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from webhook.http.connection import Connection
    from webhook.http.port import Port


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
