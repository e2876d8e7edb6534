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

PROBE_SECONDS = 1.0
"""Seconds between two probes while there is no response; each starts without waiting for the previous one."""

RESPONSE_SECONDS = 2.5
"""Seconds without a response after which a request makes older connections suspect."""

RECHECK_SECONDS = 0.25
"""Seconds between two checks of the connections on which a request still waits when the API server responds again."""

POLL_SECONDS = 0.1
"""Seconds within which a thread that waits for the end of an outage notices that it is to stop."""


class Connectivity:
    """Receives the outcome of every request of the clients that share it. Until :meth:`start`, it only records them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._connections = Connections(clock)
        self._probe: Callable[[], object] | None = None
        self._lock = threading.Lock()
        self._down_since: float | None = None
        self._suspect_since: float | None = None
        self._last_suspicion = float("-inf")
        # The deadline and the thread of the present renewal. After the deadline, _slow_thread is that thread.
        self._expected: tuple[float, int] | None = None
        self._slow_thread: int | None = None
        self._recheck: tuple[float, float] | None = None
        self._probe_at = 0.0
        # Probe threads write it without the lock: an assignment is atomic, and an old value costs one more probe.
        self._healthy_until = 0.0
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

    def start(self, probe: Callable[[], object]) -> None:
        """Watch for outages.

        ``probe()`` is a cheap request over a new connection that raises ApiError without a response. It must not wait
        for the end of the outage. It is called again even while an earlier call still waits.
        """
        self._probe = probe
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
        if self.is_up:
            return
        # Polled, because a thread cannot wait for two events at a time.
        while not (self._up.wait(POLL_SECONDS) or stopping.is_set() or self._stopping.is_set()):
            meanwhile()

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Make connections suspect as soon as the request in the block has waited :data:`RESPONSE_SECONDS`.

        The request itself continues to wait. Only one thread at a time may use this.
        """
        with self._lock:
            self._expected = self._clock() + RESPONSE_SECONDS, threading.get_ident()
        # The checking thread may sleep without a limit: it must compute its next check again.
        self._wake.set()
        try:
            yield
        finally:
            with self._lock:
                self._expected = self._slow_thread = None

    def note(self, error: ApiError | None, started: float, *, may_be_delayed: bool = False) -> None:
        """Note the outcome of a request that was sent at ``started``; ``error`` is None for a 2xx response.

        Any response about the object of the request counts, including a refusal. With ``may_be_delayed``, an admission
        webhook may have delayed the request.
        """
        if isinstance(error, Interrupted):
            return  # this process interrupted it, which proves nothing about the API server
        if error is None or (error.status and not error.is_general):
            self._mark_up()
        # Without a probe, an outage might never end, because watches and workers wait for its end.
        elif self._probe is not None:
            self._note_failure(started, silent=error.status == 0, may_be_delayed=may_be_delayed)

    def _mark_up(self) -> None:
        # Without the lock, because nearly every response gets this far.
        if self.is_up:
            return
        with self._lock:
            if self._down_since is None:
                return  # another thread was first
            now = self._clock()
            seconds, self._down_since = now - self._down_since, None
            suspect_since, self._suspect_since = self._suspect_since, None
            if self._slow_thread == threading.get_ident():
                suspect_since = None  # the suspicion was about this very response, which was only slow
            if suspect_since is not None:
                self._recheck = suspect_since, now + RESPONSE_SECONDS
            # Under the lock with _down_since: an outage that begins in between would be overwritten.
            self._up.set()
        if suspect_since is not None:
            self._break_silent(suspect_since)
            self._wake.set()
        if seconds > PROBE_SECONDS:
            log.info("api server answers again", after=round(seconds, 1))

    def _note_failure(self, started: float, *, silent: bool, may_be_delayed: bool) -> None:
        # Requests that were sent before the last suspicion were judged with it.
        is_suspicious = silent and self._clock() - started >= RESPONSE_SECONDS and started > self._last_suspicion
        if is_suspicious and may_be_delayed and self._connections.received_since(started):
            return  # the API server and the route to it are fine: something else held up that request
        with self._lock:
            now = self._clock()
            if is_suspicious:
                self._suspect(now, slow_thread=None)
            elif now < self._healthy_until:
                return  # the API server is fine: that request failed for a reason of its own
            self._mark_down(now)
        self._wake.set()

    def _suspect(self, now: float, *, slow_thread: int | None) -> None:
        self._suspect_since = self._last_suspicion = now
        self._slow_thread = slow_thread

    def _mark_down(self, now: float) -> None:
        if self._down_since is None:
            # The first probe is due now, so the failure of a single request pauses the others for one response only.
            self._down_since = self._probe_at = now
            self._up.clear()

    def _break_silent(self, since: float) -> None:
        broken = self._connections.break_silent(since, RESPONSE_SECONDS, self._slow_thread)
        if broken:
            log.info("connections given up", count=broken, cause="silent since a request got no answer")

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(self._next_check())
            self._wake.clear()
            try:
                self._check()
            except Exception:
                # All other threads depend on what this one finds out: report and continue.
                log.exception("connectivity failed")
                self._stopping.wait(PROBE_SECONDS)

    def _check(self) -> None:
        with self._lock:
            now = self._clock()
            if self._expected is not None and now >= self._expected[0]:
                self._suspect(now, slow_thread=self._expected[1])
                self._mark_down(now)
                self._expected = None
            is_probe_due = self._down_since is not None and now >= self._probe_at
            if is_probe_due:
                self._probe_at = now + PROBE_SECONDS
            recheck = self._recheck
            if recheck is not None and now >= recheck[1]:
                self._recheck = None
        if recheck is not None:
            # Requests that were sent shortly before the response, over connections that are dead too.
            self._break_silent(recheck[0])
        if is_probe_due and not self._stopping.is_set():
            # One thread for each probe: on a connection that leads nowhere a probe takes seconds to fail.
            threading.Thread(target=self._run_probe, name="connectivity probe", daemon=True).start()

    def _next_check(self) -> float | None:
        with self._lock:
            due = [] if self._down_since is None else [self._probe_at]
            due += [] if self._recheck is None else [min(self._recheck[1], self._clock() + RECHECK_SECONDS)]
            due += [] if self._expected is None else [self._expected[0]]
            return max(0.0, min(due) - self._clock()) if due else None

    def _run_probe(self) -> None:
        if self._probe is None:
            return
        started = self._clock()
        try:
            self._probe()
        except ApiError as error:
            self.note(error, started)
            with self._lock:
                # An API server that throttles sends Retry-After, and probes respect it as well.
                self._probe_at = max(self._probe_at, self._clock() + (error.retry_after or 0.0))
        except Exception:
            log.exception("probe of the api server failed")
        else:
            # In this order: a request that fails between the two lines must not begin the next outage.
            self._healthy_until = self._clock() + PROBE_SECONDS
            self._mark_up()
