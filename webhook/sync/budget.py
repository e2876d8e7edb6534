"""Limit the writes in one turn of a namespace, so that its worker returns to the others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WRITES = 20
SECONDS = 1.0
"""Writes and seconds of one turn. The rest of the plan waits for the next turn of the namespace."""

MIN_WRITES = 5
"""Writes before a turn ends because its worker is needed: constant changes must not reduce turns to one write."""


class Budget:
    """The budget of one turn. At least one write is always made.

    ``wrote()`` is called after each write that succeeded. ``needed()`` returns whether the worker is needed for another
    namespace, or for a new plan of this one.
    """

    def __init__(
        self,
        wrote: Callable[[], None],
        needed: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.wrote = wrote
        self._needed = needed
        self._clock = clock
        self._ends = clock() + SECONDS
        self._writes = 0

    def allows_another(self) -> bool:
        """Return True if one more write may be made in this turn, and count it."""
        late = self._clock() >= self._ends
        if self._writes and (late or self._writes >= WRITES):
            return False
        if self._writes >= MIN_WRITES and self._needed():
            return False
        self._writes += 1
        return True
