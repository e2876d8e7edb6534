"""A token bucket, used to rate-limit log lines and API writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class TokenBucket:
    """Lets ``rate`` events a second pass, and ``burst`` together; ``clock`` counts seconds and never goes back.

    It is not thread-safe; threads that share one need a lock.
    """

    __slots__ = ("_burst", "_clock", "_filled", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._filled = clock()

    def take(self) -> bool:
        """Return whether one more event may pass now; a rejected event takes no token."""
        self._fill()
        passes = self._tokens >= 1
        if passes:
            self._tokens -= 1
        return passes

    def reserve(self) -> float:
        """Take the next token, even a future one; return the seconds until it is available."""
        self._fill()
        self._tokens -= 1
        return max(0.0, -self._tokens / self._rate)

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._filled) * self._rate, self._burst)
        self._filled = now
