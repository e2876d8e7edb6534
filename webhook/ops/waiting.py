"""Report what a process waits for: in ``/readyz?verbose`` immediately, in the log after a second and then each minute.

A missing right, Secret or Lease keeps a process from working, and only a person can supply it. A usual start is
complete within a second and logs nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    from webhook.ops.health import HealthCheck

log = structlog.get_logger(__name__)

LOG_AFTER_SECONDS = 1.0
REMIND_SECONDS = 60.0
POLL_SECONDS = 0.5

MAX_NAMED = 10
"""Items of one kind that are listed; the others are counted."""


class Waiting:
    """Polls missing items by kind, and reports them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._readers: dict[str, tuple[Callable[[], Iterable[str]], HealthCheck | None]] = {}
        self._since: dict[tuple[str, str], float] = {}
        self._logged: set[tuple[str, str]] = set()
        self._logged_at = 0.0

    def follow(self, kind: str, read: Callable[[], Iterable[str]], check: HealthCheck | None = None) -> None:
        """Report the items that ``read`` returns for a kind: in the log, and as the remark of a passing check.

        Without ``check``, another part reports them in a check of its own.
        """
        if check is not None:
            check.passes()
        self._readers[kind] = (read, check)

    def watch(self, stop: threading.Event) -> None:
        """Poll until ``stop`` is set."""
        while not stop.is_set():
            self.poll()
            stop.wait(POLL_SECONDS)

    def poll(self) -> None:
        """Poll once; the caller runs this about twice a second, from one thread."""
        now = self._clock()
        # Each reader is called once, so that the check and the log agree.
        awaited = {kind: list(read()) for kind, (read, _) in self._readers.items()}
        for kind, (_, check) in self._readers.items():
            if check is not None:
                check.note = _named(awaited[kind])
        items = {(kind, item) for kind, items_of_kind in awaited.items() for item in items_of_kind}
        # An item that was supplied is forgotten, so its time begins again when it is missing again.
        self._since = {item: self._since.get(item, now) for item in items}
        lasting = {item for item, since in self._since.items() if now - since >= LOG_AFTER_SECONDS}
        # Only after a line about waiting, so that a usual start has no line.
        if not items and self._logged:
            self._logged = set()
            log.info("waiting is over")
        elif lasting and (lasting - self._logged or now - self._logged_at >= REMIND_SECONDS):
            # The line names all items, so one that is younger than a second needs no second line when it lasts.
            self._logged, self._logged_at = items, now
            log.warning(
                "waiting", **{kind: _named(items_of_kind) for kind, items_of_kind in awaited.items() if items_of_kind}
            )


def _named(items_of_kind: list[str]) -> str:
    more = len(items_of_kind) - MAX_NAMED
    return "; ".join([*items_of_kind[:MAX_NAMED], *([f"and {more} more"] if more > 0 else [])])
