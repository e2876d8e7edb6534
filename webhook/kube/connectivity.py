"""Detect from the requests of this process whether the API server can be reached.

During an outage all requests pause, except one probe a second over a connection of its own. So an outage costs one
request a second, however many watches and namespaces there are. Work resumes within a second of its end.

A request that got no response in time makes every older connection suspect. A watch is silent while nothing happens.
It is just as silent when its peer is gone (an address that moved, a router that lost its flows). With the next
response, the suspect connections that have received nothing since are broken. Watches resume from where they were,
which costs next to nothing. The renewals of the Lease every two seconds are the requests that detect a dead route.
Their timeout is longer than the time until connections become suspect. So a slow renewal continues while the other
connections are checked.

A write may also get no response because an admission webhook is slow. So a write needs a second witness: it raises no
suspicion if any connection that existed when it was sent has received data since. The connection of the Lease receives
data every two seconds.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from webhook.errors import ApiError, Interrupted
from webhook.kube.connections import Connections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urllib3 import PoolManager

log = structlog.get_logger(__name__)

ASK_SECONDS = 1.0
"""Seconds between two probes while there is no response; each starts without waiting for the previous one."""

PATIENCE_SECONDS = 2.5
"""Seconds without a response after which a request makes older connections suspect."""

SUSPECT_SECONDS = 0.25
"""Seconds between two checks of the connections on which a request still waits when the API server responds again."""

POLL_SECONDS = 0.1
"""Seconds within which a thread that waits for the end of an outage notices that it is to stop."""


class Connectivity:
    """Receives the outcome of every request of the clients that share it. It only records them before :meth:`start`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._connections = Connections(clock)
        self._ask: Callable[[], object] | None = None
        self._lock = threading.Lock()
        self._lost_at: float | None = None
        self._doubted_at: float | None = None
        self._last_doubt = float("-inf")
        self._expected: tuple[float, int] | None = None
        self._spared: int | None = None
        self._suspected: tuple[float, float] | None = None
        self._ask_at = 0.0
        self._well_until = 0.0
        self._up = threading.Event()
        self._up.set()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="connectivity", daemon=True)

    def follow(self, pool: PoolManager) -> None:
        """Track the connections of a pool, from its first request on."""
        self._connections.follow(pool)

    def interrupt(self, thread: int) -> bool:
        """Interrupt the request on which a thread waits, if there is one: it raises Interrupted."""
        return self._connections.interrupt(thread)

    def start(self, ask: Callable[[], object]) -> None:
        """Watch for outages.

        ``ask()`` is a cheap request over a new connection that raises ApiError without a response. It must not wait for
        the end of the outage. It is called again even while an earlier call still waits.
        """
        self._ask = ask
        self._thread.start()

    def stop(self) -> None:
        """Stop probing and release all waiting threads."""
        self._stopping.set()
        self._wake.set()

    @property
    def is_up(self) -> bool:
        """True if the API server has responded since the last request without a response."""
        return self._up.is_set()

    def wait_up(self, stopping: threading.Event, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Wait for the end of an outage, if there is one, or until ``stopping`` is set."""
        while not (self._up.wait(POLL_SECONDS) or stopping.is_set() or self._stopping.is_set()):
            meanwhile()

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Make connections suspect as soon as the request in the block has waited :data:`PATIENCE_SECONDS`.

        The request itself continues to wait. Only one thread at a time may use this.
        """
        with self._lock:
            self._expected = self._clock() + PATIENCE_SECONDS, threading.get_ident()
        self._wake.set()
        try:
            yield
        finally:
            with self._lock:
                self._expected = self._spared = None

    def note(self, error: ApiError | None, started: float, *, may_be_held_up: bool = False) -> None:
        """Note the outcome of a request that was sent at ``started``; ``error`` is None for a 2xx response.

        Any response about the object of the request counts, including a refusal. With ``may_be_held_up``, an admission
        webhook may have delayed the request.
        """
        if isinstance(error, Interrupted):
            return  # this process interrupted it, which proves nothing about the API server
        if error is None or (error.status and not error.is_general):
            self._answered()
        elif self._ask is not None:
            self._unanswered(started, silent=error.status == 0, may_be_held_up=may_be_held_up)

    def _answered(self) -> None:
        if self.is_up:
            return
        with self._lock:
            if self._lost_at is None:
                return  # another thread was first
            now = self._clock()
            seconds, self._lost_at = now - self._lost_at, None
            doubted_at, self._doubted_at = self._doubted_at, None
            if self._spared == threading.get_ident():
                doubted_at = None  # the suspicion was about this very response, which was only slow
            if doubted_at is not None:
                self._suspected = doubted_at, now + PATIENCE_SECONDS
            self._up.set()
        if doubted_at is not None:
            self._break_silent(doubted_at)
            self._wake.set()
        if seconds > ASK_SECONDS:
            log.info("api server answers again", after=round(seconds, 1))

    def _unanswered(self, started: float, *, silent: bool, may_be_held_up: bool) -> None:
        # Requests that were sent before the last suspicion were judged with it.
        casts_doubt = silent and self._clock() - started >= PATIENCE_SECONDS and started > self._last_doubt
        if casts_doubt and may_be_held_up and self._connections.heard_since(started):
            return  # the API server and the route to it are fine: something else held up that request
        with self._lock:
            now = self._clock()
            if casts_doubt:
                self._doubt(now, spared=None)
            elif now < self._well_until:
                return  # the API server is fine: that request failed for a reason of its own
            self._lose(now)
        self._wake.set()

    def _doubt(self, now: float, *, spared: int | None) -> None:
        self._doubted_at = self._last_doubt = now
        self._spared = spared

    def _lose(self, now: float) -> None:
        if self._lost_at is None:
            self._lost_at = self._ask_at = now
            self._up.clear()

    def _break_silent(self, since: float) -> None:
        broken = self._connections.break_silent(since, PATIENCE_SECONDS, self._spared)
        if broken:
            log.info("connections given up", count=broken, cause="silent since a request got no answer")

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(self._pause())
            self._wake.clear()
            try:
                self._look()
            except Exception:
                # All other threads depend on what this one finds out: report and continue.
                log.exception("connectivity failed")
                self._stopping.wait(ASK_SECONDS)

    def _look(self) -> None:
        with self._lock:
            now = self._clock()
            if self._expected is not None and now >= self._expected[0]:
                self._doubt(now, spared=self._expected[1])
                self._lose(now)
                self._expected = None
            asks = self._lost_at is not None and now >= self._ask_at
            if asks:
                self._ask_at = now + ASK_SECONDS
            suspected = self._suspected
            if suspected is not None and now >= suspected[1]:
                self._suspected = None
        if suspected is not None:
            # Requests that were sent shortly before the response, over connections that are dead too.
            self._break_silent(suspected[0])
        if asks and not self._stopping.is_set():
            # One thread for each probe: on a connection that leads nowhere a probe takes seconds to fail.
            threading.Thread(target=self._question, name="connectivity question", daemon=True).start()

    def _pause(self) -> float | None:
        with self._lock:
            due = [] if self._lost_at is None else [self._ask_at]
            due += [] if self._suspected is None else [min(self._suspected[1], self._clock() + SUSPECT_SECONDS)]
            due += [] if self._expected is None else [self._expected[0]]
            return max(0.0, min(due) - self._clock()) if due else None

    def _question(self) -> None:
        if self._ask is None:
            return
        started = self._clock()
        try:
            self._ask()
        except ApiError as error:
            self.note(error, started)
            with self._lock:
                self._ask_at = max(self._ask_at, self._clock() + (error.retry_after or 0.0))
        except Exception:
            log.exception("api server could not be asked")
        else:
            self._well_until = self._clock() + ASK_SECONDS
            self._answered()
