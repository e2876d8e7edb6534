"""Let peers take turns at the application of a port, with a few requests at a time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Turns:
    """Starts up to ``limit`` requests; waiting ones are started peer by peer, not in their order of arrival.

    A connection has one request at a time, so the number of waiting requests is bounded by the connections.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: dict[str, deque[Callable[[], bool]]] = {}

    def take(self, peer: str, start: Callable[[], bool]) -> None:
        """Call ``start`` when it is the turn of this request; it returns False if the client has gone.

        Each start that returned True must be followed by a call of ``give_back``.
        """
        self._waiting.setdefault(peer, deque()).append(start)
        self._go_on()

    def give_back(self) -> None:
        """End the turn of one request."""
        self._free += 1
        self._go_on()

    def _go_on(self) -> None:
        while self._free and self._waiting:
            peer, requests = next(iter(self._waiting.items()))
            start = requests.popleft()
            del self._waiting[peer]
            if requests:
                self._waiting[peer] = requests  # behind all others
            self._free -= 1
            if not start():
                self._free += 1
