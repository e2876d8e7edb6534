"""Limit the rate of writes of this process, and pause all writes while the API server requests it.

All writers share one limit. A 429 that one worker gets concerns the whole process, because the API server counts
requests by identity (API Priority and Fairness, KEP-1040).
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog

from webhook.rules.timing import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger(__name__)

WRITES_PER_SECOND = 1000
"""Default number of writes per second, and of a burst. It is more than one process reaches, so only a lower setting has
an effect. An overloaded API server sends a 429, which is respected."""


class Pace:
    """Admits writes one by one; every method may be called from any thread.

    ``waited(seconds)`` is called for each write with its delay. ``sleep(seconds)`` returns early, and true, when the
    process ends.
    """

    def __init__(
        self,
        writes_per_second: int = WRITES_PER_SECOND,
        *,
        waited: Callable[[float], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], bool] | None = None,
    ) -> None:
        self._waited = waited
        self._clock = clock
        self._closing = threading.Event()
        self._sleep = sleep or self._closing.wait
        self._lock = threading.Lock()
        self._bucket = TokenBucket(writes_per_second, writes_per_second, clock)
        self._paused_until = clock()

    def may_write(self, leads: Callable[[], bool]) -> bool:
        """Wait until one more write may pass, and return True if it may.

        ``leads`` is called again after the wait, because leadership may have been lost.
        """
        return leads() and self.wait() and leads()

    def wait(self) -> bool:
        """Wait until one more write may pass; False if the process ends instead."""
        began = self._clock()
        with self._lock:
            seconds = max(self._bucket.reserve(), self._paused_until - began)
        while seconds > 0 and not self._sleep(seconds):
            seconds = self.paused_seconds  # a pause that began in the meantime counts too
        self._waited(self._clock() - began)
        return not self._closing.is_set()

    def throttled(self, seconds: float) -> None:
        """Admit no writes for so many seconds, as the API server has requested."""
        with self._lock:
            now = self._clock()
            begins = self._paused_until <= now
            self._paused_until = max(self._paused_until, now + seconds)
        if begins and seconds > 0:
            log.warning("writes paused", seconds=seconds, cause="the API server asks to come back later (429)")

    @property
    def paused_seconds(self) -> float:
        """Seconds for which writes are still paused; 0 if they pass."""
        return max(0.0, self._paused_until - self._clock())

    def close(self) -> None:
        """Wake all waiting writers, because the process ends."""
        self._closing.set()
