"""A work queue of names: each at most once in it, never handled by two workers at a time.

A name that is added while it is handled is handled again afterwards, so that no change is lost and none is handled
twice. Failures back off for each name alone. A change of one name goes before a look at all of them.

Source: k8s.io/client-go/util/workqueue (queue.go, delaying_queue.go, default_rate_limiters.go).
"""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from enum import IntEnum
from operator import itemgetter
from typing import TYPE_CHECKING

from webhook.core.backoff import delay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

RETRY_BASE = 0.25
"""Seconds before the first retry of a name: most failures are conflicts, gone a moment later."""

RETRY_CAP = 120.0
"""Seconds between retries at the most: a quota or a policy that denies the write changes when a person changes it."""

OUTAGE_RETRY_CAP = 2.0
"""The same after a failure that is not the name's own: when the outage is over, nobody has to change anything."""


class Lane(IntEnum):
    """How soon a name is wanted; one that waits already is only ever moved up."""

    URGENT = 0
    CHANGED = 1
    ALL = 2


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue at one moment; times are in seconds, and names that back off are not waiting."""

    waiting: int
    working: int
    failing: int
    added: int
    """How often a name has been put into the queue since the start."""
    retried: int
    """How often one has been put back because it failed."""
    unfinished: float
    """The sum of how long the names have been worked on that are being worked on."""
    longest: float
    """The longest of these."""
    oldest: tuple[str, float] | None
    """The name that has been wanting work for longest, waiting, worked on or backing off, and for how long."""


class WorkQueue:
    """Names waiting for workers; every method may be called from any thread.

    ``waited(seconds)`` is told how long a name has waited when it is taken, ``worked(seconds)`` how long it was worked
    on when it is given back.
    """

    def __init__(
        self,
        *,
        waited: Callable[[float], None] = lambda _: None,
        worked: Callable[[float], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._waited = waited
        self._worked = worked
        self._clock = clock
        self._condition = threading.Condition()
        # First in, first out, each name in one lane and once. A plain dict keeps the order too, but looks for its first
        # entry past all those that have been taken.
        self._lanes: tuple[OrderedDict[str, float], ...] = tuple(OrderedDict() for _ in Lane)
        self._handled: dict[str, float] = {}
        self._again: dict[str, float] = {}
        self._wanted: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._failures: dict[str, int] = {}
        self._added = self._retried = 0
        self._closed = False

    def add(self, *names: str, lane: Lane = Lane.CHANGED) -> None:
        """Put names into the queue; one that waits already keeps its place, or is moved up to a faster lane."""
        self._add(names, lane)

    def add_all(self, names: Iterable[str]) -> None:
        """Put many names into the queue at once, behind those that have changed."""
        self._add(names, Lane.ALL)

    def add_later(self, name: str, seconds: float) -> None:
        """Put a name into the queue after so many seconds, at the latest."""
        with self._condition:
            self._schedule(name, self._clock() + seconds)

    def _add(self, names: Iterable[str], lane: Lane) -> None:
        now = self._clock()
        with self._condition:
            before = self._waiting()
            for name in names:
                self._want(name, now, lane)
            self._condition.notify(self._waiting() - before)

    def _want(self, name: str, now: float, lane: Lane) -> None:
        self._wanted.setdefault(name, now)
        if name in self._handled:
            self._added += name not in self._again
            self._again.setdefault(name, now)
            return
        for known, names in enumerate(self._lanes):
            if name in names:
                if lane < known:
                    self._lanes[lane][name] = names.pop(name)
                return
        self._added += 1
        self._lanes[lane][name] = now

    def retry(self, name: str, at_least: float = 0.0, cap: float = RETRY_CAP) -> float:
        """Put a name that failed back after its backoff, ``at_least`` seconds; return how many it will be."""
        with self._condition:
            failures = self._failures.get(name, 0) + 1
            self._failures[name] = failures
            self._retried += 1
            self._wanted.setdefault(name, self._clock())
            pause = delay(failures, random.random(), base=RETRY_BASE, cap=cap)  # noqa: S311 (jitter)
            seconds = max(at_least, pause)
            self._schedule(name, self._clock() + seconds)
            return seconds

    def _schedule(self, name: str, due: float) -> None:
        if due < self._due.get(name, float("inf")):
            self._due[name] = due
            heapq.heappush(self._heap, (due, name))
            self._condition.notify()

    def forget(self, name: str) -> None:
        """Take a name's failures for overcome."""
        with self._condition:
            self._failures.pop(name, None)

    def get(self) -> str | None:
        """Wait for a name and take it; None when the queue is closed. Each must be given back by :meth:`done`."""
        with self._condition:
            while not self._closed:
                self._promote()
                lane = next(filter(None, self._lanes), None)
                if lane:
                    name, since = lane.popitem(last=False)
                    self._handled[name] = now = self._clock()
                    self._waited(now - since)
                    return name
                self._condition.wait(self._until_next())
            return None

    def done(self, name: str) -> None:
        """Give a name back; if it was added meanwhile, it waits again."""
        with self._condition:
            now = self._clock()
            self._worked(now - self._handled.pop(name))
            if name not in self._failures:
                self._wanted.pop(name, None)
            if name in self._again:
                since = self._again.pop(name)
                self._wanted.setdefault(name, since)
                self._lanes[Lane.CHANGED].setdefault(name, now)
                self._condition.notify()

    def close(self) -> None:
        """Wake every waiting worker with None; nothing is handed out any more."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def __len__(self) -> int:
        with self._condition:
            return self._waiting()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is handled; names that back off do not count."""
        with self._condition:
            return not self._handled and not any(self._lanes)

    def state(self) -> QueueState:
        """Return how the queue is at this moment."""
        with self._condition:
            now = self._clock()
            working = [now - since for since in self._handled.values()]
            oldest = min(self._wanted.items(), key=itemgetter(1), default=None)
            return QueueState(
                waiting=self._waiting(),
                working=len(working),
                failing=len(self._failures),
                added=self._added,
                retried=self._retried,
                unfinished=sum(working),
                longest=max(working, default=0.0),
                oldest=None if oldest is None else (oldest[0], now - oldest[1]),
            )

    def _waiting(self) -> int:
        return sum(map(len, self._lanes))

    def _promote(self) -> None:
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            due, name = heapq.heappop(self._heap)
            if self._due.get(name) == due:  # else superseded by an earlier one
                del self._due[name]
                self._want(name, now, Lane.CHANGED)

    def _until_next(self) -> float | None:
        return max(0.0, self._heap[0][0] - self._clock()) if self._heap else None
