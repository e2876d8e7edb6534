"""A token bucket: for what may be said often but not always, and for what may be done often but not all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class TokenBucket:
    """Lets ``rate`` events a second pass, and ``burst`` at once; ``clock`` counts seconds and never goes back.

    Who shares one between threads holds a lock meanwhile.
    """

    __slots__ = ("_burst", "_clock", "_filled", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._filled = clock()

    def take(self) -> bool:
        """Return whether one more event may pass now; one that may not takes nothing."""
        self._fill()
        passes = self._tokens >= 1
        if passes:
            self._tokens -= 1
        return passes

    def reserve(self) -> float:
        """Take the next token, also one that is not there yet; return in how many seconds it will be."""
        self._fill()
        self._tokens -= 1
        return max(0.0, -self._tokens / self._rate)

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._filled) * self._rate, self._burst)
        self._filled = now
