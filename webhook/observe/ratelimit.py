"""A token bucket, for what may be said often but not always."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class TokenBucket:
    """Lets ``rate`` events a second pass, and ``burst`` at once; ``clock`` counts seconds and never goes back."""

    __slots__ = ("_burst", "_clock", "_filled", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._filled = clock()

    def take(self) -> bool:
        """Return whether one more event may pass now."""
        now = self._clock()
        tokens = min(self._tokens + (now - self._filled) * self._rate, self._burst)
        self._filled = now
        passes = tokens >= 1
        self._tokens = tokens - 1 if passes else tokens
        return passes
