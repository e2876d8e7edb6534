"""Limit the writes at a time of mass work: a start, a rotation, a resync.

More writes at a time than the API server can work on only wait in it. They make nothing faster, and the writes of a new
namespace and the requests of others wait behind them. So the limit grows only while writes do not take longer by it.

Source: Brakmo and Peterson, "TCP Vegas: End to End Congestion Avoidance on a Global Internet" (1995).
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_LIMIT = 4
"""Writes at a time at the start, and at least. Even a small API server works on as many."""

FEW_WAIT = 2.0
MANY_WAIT = 3.0
"""Writes that wait in the API server, by the estimate. With fewer, the limit grows. With more, it shrinks. Some
must wait, so that the API server always has work."""

MEASURED_WRITES = 8
"""Writes whose median decides about one step, at least."""

PROBE_SECONDS = 30.0
"""Seconds until the limit starts again from :data:`FIRST_LIMIT`. Only few writes at a time show what a write takes that
does not wait, and that changes with the work of others."""


class ConcurrencyLimit:
    """The limit as it is now, at most ``most``. Only one thread at a time may call it."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._restart()

    def _restart(self) -> None:
        self.limit = min(FIRST_LIMIT, self._most)
        self._probe_at = self._clock() + PROBE_SECONDS
        self._unhindered = float("inf")
        """Seconds that a write took at the limit with which it took least."""
        self._begin_step()

    def _begin_step(self) -> None:
        # As many writes as the limit began under another one.
        self._ignored = self.limit
        self._durations: list[float] = []

    def observe(self, seconds: float) -> None:
        """Note how long a write of mass work took, while more such work waited."""
        if self._ignored:
            self._ignored -= 1
            return
        self._durations.append(seconds)
        if len(self._durations) < max(MEASURED_WRITES, 2 * self.limit):
            return
        if self._clock() >= self._probe_at:
            self._restart()
            return
        usual = median(self._durations)
        self._unhindered = min(self._unhindered, usual)
        waiting = self.limit * (1 - self._unhindered / usual) if usual else 0.0
        if waiting < FEW_WAIT:
            # Quickly, while nothing waits at all: a large API server takes all.
            self.limit = min(self._most, self.limit * 2 if waiting < 1 else self.limit + 1)
        elif waiting > MANY_WAIT:
            self.limit = max(min(FIRST_LIMIT, self._most), self.limit - 1)
        self._begin_step()
