"""Bound what one turn of a namespace may write, so that its worker returns to the others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WRITES = 20
SECONDS = 1.0
"""Writes and time of one turn. What is left of the plan waits for the next turn of the namespace."""

WRITES_AT_LEAST = 5
"""Writes before a turn ends because the namespace has changed: else constant changes would leave one write a turn."""


class Budget:
    """The budget of one turn. At least one write is always made.

    ``wrote()`` is called after each write that succeeded. ``wanted_again()`` tells whether the namespace has changed.
    """

    def __init__(
        self,
        wrote: Callable[[], None],
        wanted_again: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.wrote = wrote
        self._wanted_again = wanted_again
        self._clock = clock
        self._ends = clock() + SECONDS
        self._writes = 0

    def allows_another(self) -> bool:
        """Return whether one more write may be made in this turn, and count it."""
        late = self._clock() >= self._ends
        if self._writes and (late or self._writes >= WRITES):
            return False
        if self._writes >= WRITES_AT_LEAST and self._wanted_again():
            return False
        self._writes += 1
        return True
