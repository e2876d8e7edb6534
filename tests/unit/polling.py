"""Waiting for something to become true, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

DEADLINE = 30.0
"""Seconds: far above what is needed on a machine that has other things to do."""


def until(condition: Callable[[], object], timeout: float = DEADLINE) -> None:
    """Return as soon as the condition holds; fail the test when it does not in time."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"not true within {timeout} s: {condition}"
        time.sleep(0.005)
