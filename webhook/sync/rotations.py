"""Measure how long a rotation takes: from a new content of a pull secret until every copy of it is current.

Copies that conflict or are leaving do not count, because a rotation does not reach them.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from webhook.rules.copy_status import CopyState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_BEHIND = (CopyState.STALE, CopyState.MISSING, CopyState.FAILING, CopyState.KEPT)


class Rotations:
    """The rotations under way, and the duration of the last one of each pull secret; safe to use from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._hashes: dict[str, str] = {}
        self._begun: dict[str, float] = {}
        self._seconds: dict[str, float] = {}

    def follow(self, hashes: Mapping[str, str], *, measured: bool) -> None:
        """Note the hashes of the present contents; a changed one begins a rotation.

        If it is not ``measured``, the states of all copies are not known yet, so it has no duration.
        """
        with self._lock:
            for name, content_hash in hashes.items():
                known = self._hashes.get(name)
                if known == content_hash:
                    continue
                self._hashes[name] = content_hash
                self._seconds.pop(name, None)
                self._begun.pop(name, None)
                if known is not None and measured:
                    self._begun[name] = self._clock()

    def forget(self) -> None:
        """Forget all durations: another process may have rotated meanwhile."""
        with self._lock:
            self._begun.clear()
            self._seconds.clear()

    @property
    def under_way(self) -> bool:
        """True if there is a rotation to observe."""
        return bool(self._begun)

    def observe(self, counts: Mapping[tuple[str, CopyState], int]) -> None:
        """End each rotation that has reached all copies, given the present number of copies in each state."""
        with self._lock:
            for name in [name for name in self._begun if not any(counts.get((name, state)) for state in _BEHIND)]:
                self._seconds[name] = self._clock() - self._begun.pop(name)

    def seconds(self, name: str) -> float | None:
        """Return the duration of the last rotation of a pull secret; None if it is not known or not over."""
        return self._seconds.get(name)
