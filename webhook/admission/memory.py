"""Memory that connections and large bodies took, given back to the system when they have gone.

The C library keeps what was freed in between of what was not: after 2,000 connections at once a process stays at twice
its size for ever, after 5,000 one after the other it is 20 MiB larger, and looks as if it leaked.
"""

from __future__ import annotations

import ctypes
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.http.traffic import Traffic

BYTES_OF_CONNECTION = 20 * 1024
"""What one takes, mostly for its TLS session."""

WORTH_IT = 16 * 1024 * 1024
"""Bytes. It takes some milliseconds, in which no review is answered."""

LOOKS_BETWEEN = 50
"""In ten seconds. A millisecond, where no crowd has left, for what few connections at a time leave in the long run."""

_M_ARENA_MAX = -8  # malloc.h


def configure() -> None:
    """Have the C library keep one heap for all threads, which take turns anyway; glibc only.

    Not M_MMAP_THRESHOLD as well, though it would keep a flood 40 MiB smaller: uvloop reads into a block of 256 KiB each
    time, and a fresh mapping for each costs more than all else that a review needs.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_ARENA_MAX, 1)


def trim() -> None:
    """Give free memory back to the system, where the C library can: glibc's malloc_trim(3)."""
    gc.collect()  # closed connections are cycles, and reviews make too few objects for the collector to come by
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if give_back is not None:
        give_back(0)


class MemoryKeeper:
    """Looks at the traffic now and then; calls ``trim`` when most of what it held has gone, and every ten seconds."""

    def __init__(self, traffic: Traffic, trim: Callable[[], None] = trim) -> None:
        self._traffic = traffic
        self._trim = trim
        self._most = 0
        self._looks = 0

    def look(self) -> None:
        """Take note of how much is held; to be called several times a second."""
        now = self._traffic.connections * BYTES_OF_CONNECTION + self._traffic.held_bytes
        self._most = max(self._most, now)
        self._looks += 1
        if self._looks >= LOOKS_BETWEEN or (self._most >= WORTH_IT and now < self._most // 4):
            self._trim()
            self._most, self._looks = now, 0
