"""How fast this process writes: never faster than it was told to, and not at all while the API server says to wait.

One pace for all who write: what one worker is told by a 429 is about the whole process, because the API server counts
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
"""The default, and as many at once: more than one process reaches, so that it holds back only whoever asks for it.
An API server that wants less says so by a 429, and is heeded."""


class Pace:
    """Lets writes pass one by one; every method may be called from any thread.

    ``waited(seconds)`` is told of each write how long it was held back. ``sleep(seconds)`` returns early, and true,
    when the process ends.
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
        """Wait until one more write may pass, and return whether it may.

        Who leads is asked again after the wait: what was true before it may be so no longer.
        """
        return leads() and self.wait() and leads()

    def wait(self) -> bool:
        """Wait until one more write may pass; false when the process ends instead."""
        began = self._clock()
        with self._lock:
            seconds = max(self._bucket.reserve(), self._paused_until - began)
        while seconds > 0 and not self._sleep(seconds):
            seconds = self.paused_seconds  # a pause that began meanwhile is heeded too
        self._waited(self._clock() - began)
        return not self._closing.is_set()

    def throttled(self, seconds: float) -> None:
        """Let nothing pass for so many seconds: the API server has said so."""
        with self._lock:
            now = self._clock()
            begins = self._paused_until <= now
            self._paused_until = max(self._paused_until, now + seconds)
        if begins and seconds > 0:
            log.warning("writes paused", seconds=seconds, cause="the API server asks to come back later (429)")

    @property
    def paused_seconds(self) -> float:
        """For how long nothing passes any more; 0 when writes pass."""
        return max(0.0, self._paused_until - self._clock())

    def close(self) -> None:
        """Wake whoever waits: the process ends."""
        self._closing.set()
