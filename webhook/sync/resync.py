"""Record when every namespace was last checked."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Resync:
    """The names that a pass has not reached yet. A new pass replaces one that has not ended."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left: set[str] | None = None
        self._since = clock()

    def begin(self, names: Iterable[str]) -> None:
        """Start a pass over these names."""
        with self._lock:
            self._left = set(names)
            self._end_if_done()

    def looked_at(self, name: str) -> None:
        """Note that a name has been checked, with any result."""
        with self._lock:
            if self._left is not None:
                self._left.discard(name)
                self._end_if_done()

    def restart(self) -> None:
        """Count from now on: this process has just begun to check."""
        with self._lock:
            self._left = None
            self._since = self._clock()

    @property
    def seconds_since(self) -> float:
        """Seconds since the last pass ended; before the end of the first pass, seconds since this process began."""
        return self._clock() - self._since

    def _end_if_done(self) -> None:
        if not self._left:
            self._left = None
            self._since = self._clock()
