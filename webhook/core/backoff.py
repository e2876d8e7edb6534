"""Compute the delay after a failure: exponential, capped, spread by jitter."""

from __future__ import annotations

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
