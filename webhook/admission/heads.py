"""The heads of requests that came before: an API server's differ in nothing but their Content-Length.

Parsing a head, header by header, takes a third of the time of a request. So a head that the parser has read and the
endpoint has accepted is remembered, without its Content-Length, and the next one like it is known at a glance.
"""

from __future__ import annotations

import re

LONGEST_HEAD = 2048
"""Bytes. An API server's is about 250 long."""

MOST_HEADS = 32
"""Remembered. Each API server has one or two; whoever else gets as far as this cannot make us hold more."""

_END = b"\r\n\r\n"
_LENGTH = b"\r\nContent-Length: "
_MOST_DIGITS = 7

_PLAIN = re.compile(rb"POST /[!-~]* HTTP/1\.1\r\n(?:[A-Za-z-]+: [ -~]*\r\n)+\r\n")
_UNPREDICTABLE = re.compile(
    rb"\r\n(?:connection|content-encoding|content-length|expect|te|trailer|transfer-encoding|upgrade):", re.IGNORECASE
)
"""Headers, besides the one Content-Length, with which a request needs the parser."""


class KnownHeads:
    """Remembers heads, and knows them again."""

    def __init__(self) -> None:
        self._known: set[tuple[bytes, bytes]] = set()

    def find(self, data: bytes) -> tuple[int, int] | None:
        """Return where the body begins in ``data``, and its length, if it starts with a head like a known one."""
        end = data.find(_END, 0, LONGEST_HEAD)
        before = data.find(_LENGTH, 0, end)
        if end < 0 or before < 0:
            return None
        after = data.find(b"\r\n", before + len(_LENGTH), end + 2)
        digits = data[before + len(_LENGTH) : after]
        if (data[:before], data[after:end]) not in self._known or not digits.isdigit() or len(digits) > _MOST_DIGITS:
            return None
        return end + len(_END), int(digits)

    def learn(self, data: bytes) -> None:
        """Remember the head that ``data`` starts with, which has been accepted, if it is as plain as they come."""
        end = data.find(_END, 0, LONGEST_HEAD)
        head = data[: end + len(_END)]
        before, _, rest = head.partition(_LENGTH)
        if end < 0 or not rest or not _PLAIN.fullmatch(head) or len(_UNPREDICTABLE.findall(head)) != 1:
            return
        if len(self._known) < MOST_HEADS:
            self._known.add((before, rest[rest.index(b"\r\n") : -len(_END)]))
