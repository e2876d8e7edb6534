"""Return memory of closed connections and large bodies to the system.

The C library keeps free memory that lies between blocks in use. After 2,000 simultaneous connections, a process stays
at twice its size. After 5,000 sequential ones it is 20 MiB larger, which looks like a leak.
"""

from __future__ import annotations

import ctypes
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.http.counters import Traffic

BYTES_OF_CONNECTION = 20 * 1024
"""Memory of one connection, mostly for its TLS session."""

WORTH_IT = 16 * 1024 * 1024
"""In bytes. A trim must free at least this much, because reviews wait some milliseconds for it."""

LOOKS_BETWEEN = 50
"""Checks in ten seconds. Trimming this often takes a millisecond and frees the memory that a few connections at a time
leave.
"""

_M_ARENA_MAX = -8  # malloc.h


def configure() -> None:
    """Make the C library use one heap for all threads, which take turns anyway; glibc only.

    M_MMAP_THRESHOLD stays unset, although it would keep a flood 40 MiB smaller. uvloop reads into a block of 256 KiB
    each time, and a fresh mapping for each read costs more than the rest of a review.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_ARENA_MAX, 1)


def trim() -> None:
    """Return free memory to the system with glibc's malloc_trim(3), if the C library has it."""
    gc.collect()  # closed connections are cycles, and reviews make too few objects for the collector to come by
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if give_back is not None:
        give_back(0)


class MemoryKeeper:
    """Calls ``trim`` when most of the memory in use has been freed, and every ten seconds."""

    def __init__(self, traffic: Traffic, trim: Callable[[], None] = trim) -> None:
        self._traffic = traffic
        self._trim = trim
        self._most = 0
        self._looks = 0

    def look(self) -> None:
        """Measure the memory in use; the caller runs this several times a second."""
        now = self._traffic.connections * BYTES_OF_CONNECTION + self._traffic.held_bytes
        self._most = max(self._most, now)
        self._looks += 1
        if self._looks >= LOOKS_BETWEEN or (self._most >= WORTH_IT and now < self._most // 4):
            self._trim()
            self._most, self._looks = now, 0
