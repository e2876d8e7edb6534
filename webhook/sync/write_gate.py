"""Decide whether this process may write now: one gate for all of its writes.

A worker passes :meth:`WriteGate.turn` before it begins with a namespace. There it waits until the API server can be
reached, and until the circuit breaker admits it. Every write passes :meth:`WriteGate.may_write`: the Lease is ours, the
rate limit admits the write, and the Lease is still ours. A client from :meth:`WriteGate.fenced` checks the Lease a last
time right before it sends. A namespace that opts in and out repeatedly is slowed down by :attr:`WriteGate.damping`.

:class:`ConcurrencyLimit` limits the workers of the queue that mass work may hold.
"""

from __future__ import annotations

import threading
import time
from statistics import median
from typing import TYPE_CHECKING

import structlog

from webhook.rules.timing import TokenBucket
from webhook.sync.failures import Breaker
from webhook.sync.selections import FlapDamping

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.kube.client import Client
    from webhook.kube.connectivity import Connectivity
    from webhook.sync.failures import Attempt

log = structlog.get_logger(__name__)


class WriteGate:
    """The conditions for writes of one process, for all of its threads.

    Without an election this process is the only one that writes.
    """

    def __init__(self, connectivity: Connectivity, rate_limit: RateLimit | None = None) -> None:
        self.rate_limit = rate_limit or RateLimit()
        self.damping = FlapDamping()
        self.breaker = Breaker()
        self._connectivity = connectivity
        self._is_leading: Callable[[], bool] | None = None

    def set_election(self, is_leading: Callable[[], bool]) -> None:
        """Depend on an election: ``is_leading()`` is True while the Lease is ours."""
        self._is_leading = is_leading

    def leads(self) -> bool:
        """Return True if the Lease is ours, or if there is no election."""
        return self._is_leading is None or self._is_leading()

    def may_write(self) -> bool:
        """Wait until the rate limit admits one more write, and return True if it may be made."""
        # Leadership may be lost during the wait.
        return self.leads() and self.rate_limit.wait() and self.leads()

    def fenced(self, client: Client) -> Client:
        """Return a client that checks leadership right before it sends a write."""
        return client.fenced(self.leads)

    def turn(self, stopping: threading.Event) -> Attempt:
        """Wait until a worker may begin with a namespace; it reports to the attempt how its writes ended.

        The attempt is a context that ends with the turn.
        """
        # First the outage: a worker that waits there must not hold the only attempt that the breaker admits.
        self._connectivity.wait_up(stopping)
        return self.breaker.attempt()

    def close(self) -> None:
        """Wake all that wait, because the process ends."""
        self.rate_limit.close()
        self.breaker.close()


WRITES_PER_SECOND = 1000
"""Default number of writes per second, and of a burst. It is more than one process reaches, so only a lower setting has
an effect. An overloaded API server sends a 429, which is respected."""


class RateLimit:
    """Admits writes one by one, at a limited rate; every method may be called from any thread.

    A 429 that one worker gets pauses the whole process, because the API server counts requests by identity (API
    Priority and Fairness, KEP-1040).

    ``waited(seconds)`` is called for each write with its delay. ``sleep(seconds)`` returns early, and true, when the
    process ends.
    """

    def __init__(
        self,
        writes_per_second: int = WRITES_PER_SECOND,
        *,
        waited: Callable[[float], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], bool] | None = None,
    ) -> None:
        self._waited = waited
        self._clock = clock
        self._closing = threading.Event()
        self._sleep = sleep or self._closing.wait
        self._lock = threading.Lock()
        self._bucket = TokenBucket(writes_per_second, writes_per_second, clock)
        self._paused_until = clock()

    def wait(self) -> bool:
        """Wait until one more write may pass; False if the process ends instead."""
        started_at = self._clock()
        with self._lock:
            seconds = max(self._bucket.reserve(), self._paused_until - started_at)
        # Without the lock: the token is reserved, so the others can reserve theirs and wait beside this one.
        while seconds > 0 and not self._sleep(seconds):
            seconds = self.paused_seconds  # a pause that began in the meantime counts too
        self._waited(self._clock() - started_at)
        return not self._closing.is_set()

    def throttled(self, seconds: float) -> None:
        """Admit no writes for so many seconds, as the API server has requested."""
        with self._lock:
            now = self._clock()
            # One line for each pause, not one for each worker that got the 429.
            begins = self._paused_until <= now
            # A shorter Retry-After that arrives later must not end a longer pause.
            self._paused_until = max(self._paused_until, now + seconds)
        if begins and seconds > 0:
            log.warning("writes paused", seconds=seconds, cause="the API server has too many requests (429)")

    @property
    def paused_seconds(self) -> float:
        """Seconds for which writes are still paused; 0 if they pass."""
        return max(0.0, self._paused_until - self._clock())

    def close(self) -> None:
        """Wake all waiting writers, because the process ends."""
        self._closing.set()


FIRST_LIMIT = 4
"""Writes at a time at the start, and at least. Even a small API server works on as many."""

FEW_WAIT = 2.0
MANY_WAIT = 3.0
"""Writes that wait in the API server, by the estimate. With fewer, the limit grows. With more, it shrinks. Some must
wait, so that the API server always has work."""

MEASURED_WRITES = 8
"""Writes whose median decides about one step, at least."""

PROBE_SECONDS = 30.0
"""Seconds until the limit starts again from :data:`FIRST_LIMIT`. Only few writes at a time show what a write takes that
does not wait, and that changes with the work of others."""


class ConcurrencyLimit:
    """The limit of the writes at a time of mass work: a start, a rotation, a resync. It is at most ``most``.

    More writes at a time than the API server can work on only wait in it. They make nothing faster, and the writes of a
    new namespace and the requests of others wait behind them. So the limit grows only while writes do not take longer
    by it. Only one thread at a time may call it.

    Source: Brakmo and Peterson, "TCP Vegas: End to End Congestion Avoidance on a Global Internet" (1995).
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._restart()

    def _restart(self) -> None:
        self.limit = min(FIRST_LIMIT, self._most)
        self._probe_at = self._clock() + PROBE_SECONDS
        self._unhindered = float("inf")
        """Seconds that a write took at the limit with which it took least."""
        self._begin_step()

    def _begin_step(self) -> None:
        # As many writes as the limit began under another one.
        self._ignored = self.limit
        self._durations: list[float] = []

    def observe(self, seconds: float) -> None:
        """Note how long a write of mass work took, while more such work waited."""
        if self._ignored:
            self._ignored -= 1
            return
        self._durations.append(seconds)
        if len(self._durations) < max(MEASURED_WRITES, 2 * self.limit):
            return
        if self._clock() >= self._probe_at:
            self._restart()
            return
        usual = median(self._durations)
        self._unhindered = min(self._unhindered, usual)
        # Vegas compares the time of a write with the least one: the excess was spent waiting behind other writes.
        waiting = self.limit * (1 - self._unhindered / usual) if usual else 0.0
        if waiting < FEW_WAIT:
            # Quickly, while nothing waits at all: a large API server takes all.
            self.limit = min(self._most, self.limit * 2 if waiting < 1 else self.limit + 1)
        elif waiting > MANY_WAIT:
            self.limit = max(min(FIRST_LIMIT, self._most), self.limit - 1)
        self._begin_step()
