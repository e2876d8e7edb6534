"""Compute delays: exponential backoff after failures, and a token bucket.

The bucket limits log lines and API writes: a short burst, and then a steady rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BASE_SECONDS = 1.0
CAP_SECONDS = 60.0

LARGEST_EXPONENT = 32
"""2 to the 32nd exceeds any cap; an unbounded exponent would overflow a float after a thousand failures."""


def delay(failures: int, jitter: float, *, base: float = BASE_SECONDS, cap: float = CAP_SECONDS) -> float:
    """Return the seconds to wait after ``failures`` failures in a row; 0 after none.

    The ceiling doubles from ``base`` up to ``cap``. The caller draws ``jitter``, a random number in [0, 1). It selects
    a point in the upper half below the ceiling. So clients that failed together do not return together, and the result
    is never a busy loop.
    """
    if failures <= 0:
        return 0.0
    ceiling = min(cap, base * 2.0 ** min(failures - 1, LARGEST_EXPONENT))
    return ceiling * (1.0 - jitter / 2.0)


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
        # It may become negative, so that each later caller waits behind this one.
        self._tokens -= 1
        return max(0.0, -self._tokens / self._rate)

    def _fill(self) -> None:
        now = self._clock()
        # An idle bucket holds one burst and not more.
        self._tokens = min(self._tokens + (now - self._filled) * self._rate, self._burst)
        self._filled = now
