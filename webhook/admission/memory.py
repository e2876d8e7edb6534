"""Memory that a crowd of connections or large bodies took, given back to the system when they have gone.

The C library keeps what was freed in between of what was not: after 2,000 connections a process stays at twice its
size for ever, and looks as if it leaked.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.observe.traffic import Traffic

BYTES_OF_CONNECTION = 60 * 1024
"""What one takes, mostly for its TLS session."""

WORTH_IT = 16 * 1024 * 1024
"""Bytes. It takes some milliseconds, in which no review is answered."""


def trim() -> None:
    """Give free memory back to the system, where the C library can: glibc's malloc_trim(3)."""
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if give_back is not None:
        give_back(0)


class MemoryKeeper:
    """Looks at the traffic now and then, and calls ``trim`` when most of what it held has gone."""

    def __init__(self, traffic: Traffic, trim: Callable[[], None] = trim) -> None:
        self._traffic = traffic
        self._trim = trim
        self._most = 0

    def look(self) -> None:
        """Take note of how much is held; to be called several times a second."""
        now = self._traffic.connections * BYTES_OF_CONNECTION + self._traffic.held_bytes
        self._most = max(self._most, now)
        if self._most >= WORTH_IT and now < self._most // 4:
            self._trim()
            self._most = now
