"""Decode a chunked body (RFC 9112, section 7.1) as it arrives.

The framing must not be much larger than the data. Otherwise a body with one byte in each chunk would cost the event
loop a hundred times as much as other bodies. Trailers are checked and dropped.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from webhook.http.reply import Refusal

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t -~\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*")
_LINE_END = b"\r\n"


class _Part(Enum):
    SIZE = auto()
    DATA = auto()
    END_OF_DATA = auto()
    TRAILERS = auto()
    NOTHING = auto()


class Chunks:
    """Decodes one chunked body. Raises Refusal when it is malformed or mostly framing.

    ``body`` is the data so far, and ``rest`` the bytes after its end.
    """

    __slots__ = ("_allowed", "_framing", "_missing", "_part", "_pending", "body")

    def __init__(self, allowed: int) -> None:
        self.body = bytearray()
        self._allowed = allowed
        self._framing = 0
        self._missing = 0
        self._part = _Part.SIZE
        self._pending = b""

    @property
    def complete(self) -> bool:
        return self._part is _Part.NOTHING

    @property
    def rest(self) -> bytes:
        return self._pending if self.complete else b""

    def feed(self, data: bytes) -> None:
        """Decode the next bytes."""
        data = self._pending + data if self._pending else data
        position = 0
        while not self.complete:
            after = self._take_data(data, position) if self._part is _Part.DATA else self._take_line(data, position)
            if after < 0:
                break
            position = after
        self._pending = data[position:]
        if not self.complete:
            self._check_framing(len(self._pending))

    def _take_data(self, data: bytes, position: int) -> int:
        """Return the end of this chunk's data in ``data``; -1 when it has none."""
        piece = data[position : position + self._missing]
        if not piece:
            return -1
        self.body += piece
        self._missing -= len(piece)
        if not self._missing:
            self._part = _Part.END_OF_DATA
        return position + len(piece)

    def _take_line(self, data: bytes, position: int) -> int:
        """Return the end of the next line of framing in ``data``; -1 when it is incomplete."""
        end = data.find(_LINE_END, position)
        if end < 0:
            return -1
        self._framing += end + len(_LINE_END) - position
        self._check_framing(0)
        self._read(data[position:end])
        return end + len(_LINE_END)

    def _read(self, line: bytes) -> None:
        if self._part is _Part.SIZE:
            self._read_size(line)
        elif self._part is _Part.END_OF_DATA:
            if line:
                raise _malformed()
            self._part = _Part.SIZE
        elif not line:
            self._part = _Part.NOTHING
        elif not _TRAILER.fullmatch(line):
            raise _malformed()

    def _read_size(self, line: bytes) -> None:
        size = _SIZE.fullmatch(line)
        if size is None:
            raise _malformed()
        self._missing = int(size[1], 16)
        self._part = _Part.DATA if self._missing else _Part.TRAILERS

    def _check_framing(self, pending: int) -> None:
        if self._framing + pending > self._allowed + len(self.body):
            raise Refusal(400, "the chunks are mostly framing")


def _malformed() -> Refusal:
    return Refusal(400, "a chunk is malformed")
