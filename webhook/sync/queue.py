"""Queue names for workers: each is in the queue at most once, and only one worker at a time handles it.

A name that is added while it is handled is handled again afterwards, so that no change is lost and none is handled
twice. Failures back off for each name separately.

Workers are shared fairly. Each lane has a share of them, so that no lane waits for another to become empty. A name with
work left over after its turn comes after those that have just changed. Such names hold at most half of the workers, so
a tenant with much work does not delay another's new namespace. Mass work holds only as many workers as the API server
can keep busy: see :class:`webhook.sync.write_gate.ConcurrencyLimit`. Names that failed last time, or whose writes hang,
are troubled. Together they hold at most half of the workers, and they come after a rotation. A name that is not yet
troubled can still take all workers when its writes hang for the first time. So :meth:`WorkQueue.overdue` returns the
workers to take away from a hanging write while others wait. On a busy machine this also takes a worker from a healthy
name now and then, which is then troubled by chance. So names that hung once have a lane before those that hung again,
and a troubled name also gives its worker to another one, after a patience that grows each time.

Source: k8s.io/client-go/util/workqueue (queue.go, delaying_queue.go, default_rate_limiters.go).
"""

from __future__ import annotations

import heapq
import random
import threading
import time
from bisect import bisect_left, insort
from collections import OrderedDict, deque
from enum import IntEnum
from itertools import cycle
from operator import itemgetter
from typing import TYPE_CHECKING

import msgspec

from webhook.rules.timing import delay
from webhook.sync.write_gate import ConcurrencyLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WORKERS = 16
"""Number of workers until another one is set."""

RETRY_BASE = 0.25
"""Seconds before the first retry of a name: most failures are conflicts, which are over a moment later."""

RETRY_CAP = 120.0
"""Seconds between retries at most. A quota or a policy that denies the write changes only if a person changes it."""

OUTAGE_RETRY_CAP = 2.0
"""The same after a failure with a general cause: no person has to act when the outage is over."""


class Lane(IntEnum):
    """Urgency of a name; a waiting name is only ever moved up."""

    URGENT = 0
    CHANGED = 1
    ALL = 2
    REST = 3
    """The work that is left over after one turn of a name."""
    RETRY = 4
    """Names that are troubled, whatever added them."""
    HUNG = 5
    """Troubled names whose writes hung more than once."""


LANES = tuple(Lane)
"""The lanes in their order. To iterate over an enumeration is slow, and each name that is taken needs it."""

SHARES = (8, 8, 4, 1, 1, 1)
"""Names that each lane may hand out in one round while other lanes have names too."""

FIRST_HALF_SHARE = Lane.REST
"""From this lane on, names hold at most half of the workers, so that a name that has just changed finds one. The two
lanes of troubled names have one half together."""

STARVED_SECONDS = 5.0
"""A troubled name that has waited this long takes part in the rounds even while a rotation is under way."""

HANG_SECONDS = 0.3
MASS_HANG_SECONDS = 0.1
"""Seconds that one write may take while other names wait, and the same when half of the workers wait for their writes.
"""

HANG_FACTOR = 20
MASS_HANG_FACTOR = 4
"""The same as a multiple of the usual time of a write, so that a slow API server does not count as a hanging one."""

PROCESSOR_DELAY_FACTOR = 3.0
"""Multiple of the time for which this process had to wait for a processor, which is added to both: on a busy machine
each step of a write waits that long, here and in the API server."""

PROCESSOR_DELAY_MEMORY = 0.9
"""The part of the longest such wait that still counts at the next check."""

MASS_MEMORY_SECONDS = 10.0
"""Seconds for which an interrupted write shortens the patience with the next ones, if many hang."""

RECENT_WRITES = 64
"""Writes whose median is the usual time of a write: four times as many as there are workers by default."""

TROUBLED_FACTOR = 3
"""Multiple of that patience for a troubled name while others of them wait, for each time that it hung. A healthy name
needs the first one at most; a webhook that answers after ten seconds is waited for at the third or fourth."""

SLOW_MEMORY_SECONDS = 600.0
"""Seconds that a name counts as troubled after one of its writes hung, if none has been quick since."""


class _Turn(msgspec.Struct):
    """One name with one worker; ``moved_at`` is when its last write ended."""

    since: float
    moved_at: float
    thread: int
    lane: Lane
    hangs: int
    """Number of its writes that hung before."""

    @property
    def troubled(self) -> bool:
        return self.lane >= Lane.RETRY


class QueueState(msgspec.Struct, frozen=True):
    """The state of a queue at one moment. Times are in seconds. Names that back off do not count as waiting."""

    waiting: int
    working: int
    failing: int
    added: int
    """Number of additions to the queue since the start."""
    retried: int
    """Number of names that were put back because they failed."""
    unfinished: float
    """Total seconds for which the names in progress have been worked on."""
    longest: float
    """The longest of these."""
    oldest: tuple[str, float] | None
    """The name whose work has been due longest (waiting, in progress or backing off), and for how many seconds."""


class WorkQueue:
    """Names that wait for workers; every method may be called from any thread.

    ``waited(seconds)`` is called with the time that a name has waited when it is taken. ``worked(seconds)`` is called
    with the time of the work when it is given back.
    """

    def __init__(
        self,
        *,
        waited: Callable[[float], None] = lambda _: None,
        worked: Callable[[float], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._remaining_shares = list(SHARES)
        # A write that the machine or the API server delayed by chance is interrupted like one that hangs. If all
        # waited in line, a healthy namespace would wait for minutes behind a hundred that hang. So among troubled
        # names the oldest and the newest alternate.
        self._newest_turns = cycle((False, True))
        self._slow: dict[str, float] = {}
        self._hangs: dict[str, int] = {}
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []
        """The same, sorted."""
        # Without a write yet, the patience is the minimum: a median of 0 adds nothing to it.
        self._median_write = self._processor_delay = 0.0
        self._interrupted = 0
        self._interrupted_at = float("-inf")
        self._waited = waited
        self._worked = worked
        self._clock = clock
        self.set_workers(WORKERS)
        self._lock = threading.Lock()
        self._condition = threading.Condition(self._lock)
        # First in, first out, each name in one lane and once. A plain dict keeps the order too, but its search for the
        # first entry passes all those that have been taken.
        self._lanes: tuple[OrderedDict[str, float], ...] = tuple(OrderedDict() for _ in Lane)
        self._in_progress: dict[str, _Turn] = {}
        self._readded: dict[str, tuple[float, Lane]] = {}
        self._due_since: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._failures: dict[str, int] = {}
        self._own_failures: set[str] = set()
        self._unfinished: set[str] = set()
        self._added = self._retried = 0
        self._closed = False

    def set_workers(self, workers: int) -> None:
        """Set the number of workers."""
        # No lock: __init__() calls this before there is one, and the controller before it starts a worker.
        self._half_share = max(1, workers // 2)
        self._mass = ConcurrencyLimit(workers, self._clock)

    def add(self, *names: str, lane: Lane = Lane.CHANGED) -> None:
        """Add names to the queue; a waiting name keeps its place, or is moved up to a faster lane."""
        self._add(names, lane)

    def add_all(self, names: Iterable[str]) -> None:
        """Add many names to the queue together, behind those that have changed."""
        self._add(names, Lane.ALL)

    def add_later(self, name: str, seconds: float) -> None:
        """Add a name to the queue after at most so many seconds."""
        with self._lock:
            self._schedule(name, self._clock() + seconds)

    def _add(self, names: Iterable[str], lane: Lane) -> None:
        now = self._clock()
        with self._lock:
            before = self._waiting()
            for name in names:
                self._enqueue(name, now, lane)
            # One worker for each new name: to wake all of them for one name would cost more than its plan.
            self._condition.notify(self._waiting() - before)

    def _enqueue(self, name: str, now: float, lane: Lane) -> None:
        self._due_since.setdefault(name, now)
        if lane is Lane.REST:
            self._unfinished.add(name)
        if name in self._in_progress:
            # Kept aside, not in a lane: a second worker would write to the same namespace at the same time.
            since, before = self._readded.get(name, (now, lane))
            self._readded[name] = (since, min(before, lane))
            return
        lane = self._lane_of(name, lane, now)
        for current, names in enumerate(self._lanes):
            if name in names:
                if lane < current:
                    self._lanes[lane][name] = names.pop(name)
                return
        self._added += 1
        self._lanes[lane][name] = now

    def _lane_of(self, name: str, lane: Lane, now: float) -> Lane:
        """Return the lane in which a name waits that was added to ``lane``.

        A name with work left over stays behind its turn, however often it changes: other changed names come first.
        """
        if self._is_troubled(name, now):
            return Lane.HUNG if self._hangs.get(name, 0) > 1 else Lane.RETRY
        return Lane.REST if lane is Lane.CHANGED and name in self._unfinished else lane

    def retry(self, name: str, at_least: float = 0.0, cap: float = RETRY_CAP, *, own: bool = True) -> float:
        """Put a failed name back after its backoff, ``at_least`` seconds; return the number of seconds.

        ``own`` is False for a failure with a general cause: it does not make the name troubled.
        """
        with self._lock:
            if own:
                self._own_failures.add(name)
            failures = self._failures.get(name, 0) + 1
            self._failures[name] = failures
            self._retried += 1
            self._due_since.setdefault(name, self._clock())
            # With jitter: names that one fault has failed together must not return together.
            pause = delay(failures, random.random(), base=RETRY_BASE, cap=cap)  # noqa: S311 (jitter)
            seconds = max(at_least, pause)
            self._schedule(name, self._clock() + seconds)
            return seconds

    def _schedule(self, name: str, due: float) -> None:
        if due < self._due.get(name, float("inf")):
            self._due[name] = due
            # An earlier entry of the same name stays in the heap: to remove it would cost a search, and _due shows
            # which one counts.
            heapq.heappush(self._heap, (due, name))
            self._condition.notify()

    def forget(self, name: str) -> None:
        """Reset the failures of a name."""
        with self._lock:
            self._failures.pop(name, None)
            self._own_failures.discard(name)

    def progress(self, name: str) -> None:
        """Note that a write of a name in progress has just succeeded."""
        with self._lock:
            turn, now = self._in_progress[name], self._clock()
            duration, turn.moved_at = now - turn.moved_at, now
            if not turn.troubled and duration > self._mass_hang_seconds(now):
                self._interrupted = 0  # the patience has become too short for writes that succeed
            if duration < self._hang_seconds():
                self._forget_hangs(name)
            else:
                self._note_slow(name, now)
            # A troubled name is slow for a reason of its own, which must not make the API server look slow.
            if not turn.troubled:
                self._remember_duration(duration)
            # Only while more of them wait: otherwise fewer writes than the limit are under way, and their time proves
            # nothing about it.
            if turn.lane is Lane.ALL and self._lanes[Lane.ALL]:
                self._mass.observe(duration)

    def _remember_duration(self, duration: float) -> None:
        """Update the median: a few writes that a webhook delays must not make the API server look slow."""
        self._recent.append(duration)
        insort(self._sorted, duration)
        if len(self._recent) > RECENT_WRITES:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]
        self._median_write = self._sorted[len(self._sorted) // 2]

    def restart(self, name: str) -> None:
        """Note that a name in progress begins with its first write only now."""
        with self._lock:
            self._in_progress[name].moved_at = self._clock()

    def absorb(self, name: str) -> None:
        """Note that a name in progress is about to be planned: it need not wait again for what changed until now."""
        with self._lock:
            self._readded.pop(name, None)

    def needs_worker(self, name: str) -> bool:
        """Return True if the worker of a name is needed: the name was added again, or another changed name waits."""
        with self._lock:
            return name in self._readded or any(self._lanes[: Lane.ALL])

    def overdue(self, processor_delay: float = 0.0) -> list[tuple[str, int]]:
        """Return names whose writes hang while others wait, with the threads that handle them; the longest first.

        ``processor_delay`` is the number of seconds by which the thread that calls this was woken too late.
        """
        with self._lock:
            now = self._clock()
            self._processor_delay = max(processor_delay, PROCESSOR_DELAY_MEMORY * self._processor_delay)
            # Otherwise only workers move the names that are due, and all may hang: then no name would seem to wait.
            before = self._waiting()
            self._move_due_names()
            self._condition.notify(self._waiting() - before)
            if self._lanes[Lane.ALL]:
                # The limit may have grown, and a write that hangs does not count any more.
                self._condition.notify(max(0, self._mass.limit - self._moving(Lane.ALL, now)))
            # The longest first, because only as many are interrupted as names wait.
            turns = sorted(self._in_progress.items(), key=lambda item: item[1].moved_at)
            return self._hanging(turns, now) + self._hanging_troubled(turns, now)

    def _hanging(self, turns: list[tuple[str, _Turn]], now: float) -> list[tuple[str, int]]:
        """Return the hanging turns of names that are not troubled yet, if other such names wait."""
        waiting = [lane for lane in self._lanes[: Lane.RETRY] if lane]
        if not _has_waited(waiting, now):
            return []
        mass_hang_seconds = self._mass_hang_seconds(now)
        hanging = sum(now - turn.moved_at >= mass_hang_seconds for _, turn in turns)
        hang_seconds = mass_hang_seconds if hanging >= self._half_share else self._hang_seconds()
        # If only left-over work waits, and for its own half of the workers, no other turn blocks it.
        any_turn = any(self._lanes[: Lane.REST]) or self._has_workers(Lane.REST, now)
        hanging_turns = [
            (name, turn.thread)
            for name, turn in turns
            if not turn.troubled and now - turn.moved_at >= hang_seconds and (any_turn or turn.lane is Lane.REST)
        ]
        return hanging_turns[: sum(map(len, waiting))]

    def _hanging_troubled(self, turns: list[tuple[str, _Turn]], now: float) -> list[tuple[str, int]]:
        """Return the hanging turns of troubled names whose patience is over, if other troubled names wait."""
        waiting = [lane for lane in self._lanes[Lane.RETRY :] if lane]
        if not _has_waited(waiting, now):
            return []
        patience = self._hang_seconds()
        hanging_turns = [
            (name, turn.thread)
            for name, turn in turns
            if turn.troubled and now - turn.moved_at >= patience * TROUBLED_FACTOR ** max(1, turn.hangs)
        ]
        return hanging_turns[: sum(map(len, waiting))]

    def interrupted(self, name: str) -> None:
        """Note that a write of this name hung and was interrupted."""
        with self._lock:
            now = self._clock()
            self._note_slow(name, now)
            self._hangs[name] = self._hangs.get(name, 0) + 1
            # overdue() has released the lock since, so the worker may have given the name back.
            turn = self._in_progress.get(name)
            if turn is not None and turn.troubled:
                return  # the patience with others stays as it is
            self._interrupted = 1 if self._is_interruption_old(now) else self._interrupted + 1
            self._interrupted_at = now

    def _is_interruption_old(self, now: float) -> bool:
        return now - self._interrupted_at >= MASS_MEMORY_SECONDS

    def _hang_seconds(self) -> float:
        """Return the seconds that a write may take while other names wait."""
        return max(HANG_SECONDS, HANG_FACTOR * self._median_write) + PROCESSOR_DELAY_FACTOR * self._processor_delay

    def _mass_hang_seconds(self, now: float) -> float:
        """Return the seconds that a write may take when half of the workers wait for their writes.

        A hundred namespaces that hang would keep a healthy one waiting for many times the patience. So it is halved
        each time as many writes were interrupted as there are workers.
        """
        rounds = 0 if self._is_interruption_old(now) else self._interrupted // (2 * self._half_share)
        # Not divided by 2.0**rounds, which overflows after 1024 rounds: the threads that need the result would die.
        patience = max(MASS_HANG_SECONDS, MASS_HANG_FACTOR * self._median_write * 0.5**rounds)
        return patience + PROCESSOR_DELAY_FACTOR * self._processor_delay

    def _is_troubled(self, name: str, now: float) -> bool:
        if name in self._slow and self._is_memory_over(name, now):
            self._forget_hangs(name)
        return name in self._own_failures or name in self._slow

    def _note_slow(self, name: str, now: float) -> None:
        # The name is popped first, so that the dict has the order of the times.
        self._slow.pop(name, None)
        self._slow[name] = now
        # A namespace that was deleted is not queued again, so its entry would not be forgotten elsewhere.
        while self._is_memory_over(oldest := next(iter(self._slow)), now):
            self._forget_hangs(oldest)

    def _is_memory_over(self, name: str, now: float) -> bool:
        return now - self._slow[name] >= SLOW_MEMORY_SECONDS

    def _forget_hangs(self, name: str) -> None:
        self._slow.pop(name, None)
        self._hangs.pop(name, None)

    def get(self) -> str | None:
        """Wait for a name and take it; None if the queue is closed. Each must be given back by :meth:`done`."""
        with self._lock:
            while not self._closed:
                self._move_due_names()
                now = self._clock()
                lane = self._next_lane(now)
                if lane is not None:
                    self._remaining_shares[lane] -= 1
                    name, since = self._lanes[lane].popitem(last=lane >= Lane.RETRY and next(self._newest_turns))
                    self._unfinished.discard(name)
                    self._in_progress[name] = _Turn(now, now, threading.get_ident(), lane, self._hangs.get(name, 0))
                    self._waited(now - since)
                    return name
                self._condition.wait(self._until_next())
            return None

    def _next_lane(self, now: float) -> Lane | None:
        """Return the first lane that may hand out a name and has not used up its share; None if there is none."""
        # Shares, and no strict order: a steady stream of changes would keep a rotation waiting for as long as it lasts.
        first: Lane | None = None
        for lane in LANES:
            if self._lanes[lane] and self._has_workers(lane, now):
                if self._remaining_shares[lane] > 0:
                    return lane
                first = lane if first is None else first
        if first is not None:
            self._remaining_shares = list(SHARES)
        return first

    def _has_workers(self, lane: Lane, now: float) -> bool:
        """Return True if a lane may take one more worker."""
        if lane < Lane.ALL:
            return True
        if lane is Lane.ALL:
            return self._moving(lane, now) < self._mass.limit
        # Half of the workers together: with a half for each lane, names that hang could hold all of them.
        lanes = (Lane.RETRY, Lane.HUNG) if lane >= Lane.RETRY else (lane,)
        if sum(turn.lane in lanes for turn in self._in_progress.values()) >= self._half_share:
            return False
        if lane is Lane.REST or not self._lanes[Lane.ALL]:
            return True
        return now - next(iter(self._lanes[lane].values())) >= STARVED_SECONDS

    def _moving(self, lane: Lane, now: float) -> int:
        """Return the number of names of a lane in progress whose writes do not hang: those that hang are no load."""
        patience = self._mass_hang_seconds(now)
        return sum(turn.lane is lane and now - turn.moved_at < patience for turn in self._in_progress.values())

    def done(self, name: str) -> None:
        """Give a name back; if it was added in the meantime, it waits again."""
        with self._lock:
            now = self._clock()
            turn = self._in_progress.pop(name)
            self._worked(now - turn.since)
            # A failing name stays due during its backoff, so that the status shows since when its work has been open.
            if name not in self._failures:
                self._due_since.pop(name, None)
            if name in self._readded:
                since, lane = self._readded.pop(name)
                self._added += 1
                self._due_since.setdefault(name, since)
                # It waits for a worker from now on, but its work has been due since it was added.
                self._lanes[self._lane_of(name, lane, now)].setdefault(name, now)
                self._condition.notify()
            if turn.lane >= FIRST_HALF_SHARE:
                self._condition.notify()  # a worker that could not take another name of this lane can do so now

    def close(self) -> None:
        """Wake every waiting worker with None; no name is handed out any more."""
        with self._lock:
            self._closed = True
            self._condition.notify_all()

    def state(self) -> QueueState:
        """Return the current state of the queue."""
        with self._lock:
            now = self._clock()
            working = [now - turn.since for turn in self._in_progress.values()]
            oldest = min(self._due_since.items(), key=itemgetter(1), default=None)
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

    def _move_due_names(self) -> None:
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            due, name = heapq.heappop(self._heap)
            if self._due.get(name) == due:  # otherwise superseded by an earlier one
                del self._due[name]
                # Own failures lead to the lanes of troubled names anyway. After an outage all names are due, which is
                # mass work: as changed names they would take every worker.
                self._enqueue(name, now, Lane.ALL if name in self._failures else Lane.CHANGED)

    def _until_next(self) -> float | None:
        return max(0.0, self._heap[0][0] - self._clock()) if self._heap else None


def _has_waited(lanes: list[OrderedDict[str, float]], now: float) -> bool:
    """Return True if the first name of a lane has waited so long that a hanging write may be in its way."""
    # The first of a lane has waited longest, apart from names that were moved up into it.
    return any(now - next(iter(lane.values())) >= MASS_HANG_SECONDS for lane in lanes)
