"""When every namespace was last looked at."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Resync:
    """The names that a pass has yet to come to; a pass that begins takes the place of one that has not ended."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left: set[str] | None = None
        self._since = clock()

    def begin(self, names: Iterable[str]) -> None:
        """Take these names for all there are."""
        with self._lock:
            self._left = set(names)
            self._end_if_done()

    def looked_at(self, name: str) -> None:
        """Take it that a name has been looked at, whatever came of it."""
        with self._lock:
            if self._left is not None:
                self._left.discard(name)
                self._end_if_done()

    def restart(self) -> None:
        """Count from now on: this process has only now begun to look."""
        with self._lock:
            self._left = None
            self._since = self._clock()

    @property
    def seconds_since(self) -> float:
        """How long ago the last pass ended; before the first one has, how long this process has been at it."""
        return self._clock() - self._since

    def _end_if_done(self) -> None:
        if not self._left:
            self._left = None
            self._since = self._clock()
