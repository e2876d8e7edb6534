"""A work queue of names: each at most once in it, never handled by two workers at a time.

A name that is added while it is handled is handled again afterwards, so that no change is lost and none is handled
twice. Failures back off for each name alone.

Source: k8s.io/client-go/util/workqueue (queue.go, delaying_queue.go, default_rate_limiters.go).
"""

from __future__ import annotations

import heapq
import random
import threading
import time
from typing import TYPE_CHECKING

from webhook.core.backoff import delay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

RETRY_BASE = 0.25
"""Seconds before the first retry of a name: most failures are conflicts, gone a moment later."""

RETRY_CAP = 120.0
"""Seconds between retries at the most: a quota or a policy that denies the write changes when a person changes it."""


class WorkQueue:
    """Names waiting for workers; every method may be called from any thread."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        # A dict for its order: first in, first out, each once.
        self._ready: dict[str, float] = {}
        self._handled: set[str] = set()
        self._again: set[str] = set()
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._failures: dict[str, int] = {}
        self._closed = False

    def add(self, *names: str) -> None:
        """Put names into the queue; one that waits already keeps its place."""
        self._add(names)

    def add_all(self, names: Iterable[str]) -> None:
        """Put many names into the queue at once."""
        self._add(names)

    def _add(self, names: Iterable[str]) -> None:
        now = self._clock()
        with self._condition:
            for name in names:
                if name in self._handled:
                    self._again.add(name)
                else:
                    self._ready.setdefault(name, now)
            self._condition.notify_all()

    def retry(self, name: str, at_least: float = 0.0) -> float:
        """Put a name that failed back after its backoff, ``at_least`` seconds; return how many it will be."""
        with self._condition:
            failures = self._failures.get(name, 0) + 1
            self._failures[name] = failures
            pause = delay(failures, random.random(), base=RETRY_BASE, cap=RETRY_CAP)  # noqa: S311 (jitter)
            seconds = max(at_least, pause)
            due = self._clock() + seconds
            if due < self._due.get(name, float("inf")):
                self._due[name] = due
                heapq.heappush(self._heap, (due, name))
                self._condition.notify()
            return seconds

    def forget(self, name: str) -> None:
        """Take a name's failures for overcome."""
        with self._condition:
            self._failures.pop(name, None)

    def get(self) -> str | None:
        """Wait for a name and take it; None when the queue is closed. Each must be given back by :meth:`done`."""
        with self._condition:
            while not self._closed:
                self._promote()
                if self._ready:
                    name = next(iter(self._ready))
                    del self._ready[name]
                    self._handled.add(name)
                    return name
                self._condition.wait(self._until_next())
            return None

    def done(self, name: str) -> None:
        """Give a name back; if it was added meanwhile, it waits again."""
        with self._condition:
            self._handled.discard(name)
            if name in self._again:
                self._again.discard(name)
                self._ready.setdefault(name, self._clock())
                self._condition.notify()

    def close(self) -> None:
        """Wake every waiting worker with None; nothing is handed out any more."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def __len__(self) -> int:
        with self._condition:
            return len(self._ready)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is handled; names that back off do not count."""
        with self._condition:
            return not self._ready and not self._handled

    def oldest_wait(self) -> float:
        """Return the seconds that the name at the head has waited; 0 when there is none."""
        with self._condition:
            since = next(iter(self._ready.values()), None)
            return 0.0 if since is None else self._clock() - since

    def _promote(self) -> None:
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            due, name = heapq.heappop(self._heap)
            if self._due.get(name) != due:
                continue  # superseded by an earlier retry
            del self._due[name]
            if name in self._handled:
                self._again.add(name)
            else:
                self._ready.setdefault(name, now)

    def _until_next(self) -> float | None:
        return max(0.0, self._heap[0][0] - self._clock()) if self._heap else None
