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

    from webhook.http.counters import PortCounters

BYTES_OF_CONNECTION = 20 * 1024
"""Memory of one connection, mostly for its TLS session."""

LEAST_TRIM = 16 * 1024 * 1024
"""In bytes. A trim must free at least this much, because reviews wait some milliseconds for it."""

CHECKS_BETWEEN_TRIMS = 50
"""Checks in ten seconds. Trimming this often takes a millisecond and frees the memory that a few connections at a time
leave.
"""

_M_ARENA_MAX = -8  # malloc.h


def configure() -> None:
    """Make the C library use one heap for all threads, which take turns anyway; glibc only.

    M_MMAP_THRESHOLD stays unset, although it would keep a flood 40 MiB smaller. Unset, it grows with the blocks that
    are freed (mallopt(3)), so most large blocks come from the heap. A fresh mapping for each one is slow.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def trim() -> None:
    """Return free memory to the system with glibc's malloc_trim(3), if the C library has it."""
    gc.collect()  # closed connections are cycles, and reviews make too few objects for the collector to come by
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


class MemoryTrimmer:
    """Calls ``trim`` when most of the memory in use has been freed, and every ten seconds."""

    def __init__(self, counters: PortCounters, trim: Callable[[], None] = trim) -> None:
        self._counters = counters
        self._trim = trim
        self._peak = 0
        self._checks = 0

    def check(self) -> None:
        """Measure the memory in use; the caller runs this several times a second."""
        now = self._counters.connections * BYTES_OF_CONNECTION + self._counters.held_bytes
        self._peak = max(self._peak, now)
        self._checks += 1
        # A quarter of the peak means that a flood is over. Otherwise the trim waits, because it makes reviews wait.
        if self._checks >= CHECKS_BETWEEN_TRIMS or (self._peak >= LEAST_TRIM and now < self._peak // 4):
            self._trim()
            # The next peak counts from here, so that one flood causes one trim.
            self._peak, self._checks = now, 0
