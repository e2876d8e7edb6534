"""Record Events, which ``kubectl describe`` and ``kubectl get events`` show to people.

Recording never blocks and never fails its caller: there is a bounded queue and one thread. A repeated notice increases
the count of its Event, at most once a minute, so that a lasting fault does not fill etcd.

Source: k8s.io/client-go/tools/record (EventCorrelator); the object is core/v1 Event.
"""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import structlog

from webhook.errors import ApiError, Forbidden, Invalid, NotFound
from webhook.kube.resources import EVENTS
from webhook.rules.renewing import format_time
from webhook.rules.text import escaped

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.kube.client import Client

log = structlog.get_logger(__name__)

COMPONENT = "pull-secret-webhook"

REPEAT_SECONDS = 60.0
"""Seconds between two increments of the same Event at least."""

QUEUE_LIMIT = 1000
"""Events that wait to be written. Further ones are dropped with a log line: they are advice, not state."""

MEMORY_LIMIT = 5000
"""Events remembered for their count. The oldest are forgotten, which costs one more Event object."""


RECENT_LIMIT = 50
"""Notices that are kept for display."""


class Reference(msgspec.Struct, frozen=True):
    """The object that an Event is about.

    The reference to a Namespace is in that namespace, so that its users see the Event.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""


class Notice(msgspec.Struct, frozen=True):
    """One notice about one object: a CamelCase reason and a sentence."""

    regarding: Reference
    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Warning"


class _WrittenEvent(msgspec.Struct):
    name: str
    """Name of the Event object. It is random, so that no user of the namespace can have taken it before."""
    count: int
    written_at: float


class EventRecorder:
    """Writes notices as Events, in a thread of its own. ``pace()`` is called before each write, and may wait."""

    def __init__(
        self,
        client: Client,
        *,
        pace: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._pace = pace
        self._clock = clock
        self._queue: queue.Queue[tuple[datetime, Notice] | None] = queue.Queue(QUEUE_LIMIT)
        # Only the thread of the recorder uses it, so it needs no lock.
        self._written: dict[Notice, _WrittenEvent] = {}
        self._recent: deque[tuple[datetime, Notice]] = deque(maxlen=RECENT_LIMIT)
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Start to write."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Write the queued notices, for at most ``timeout`` seconds, and end."""
        deadline = time.monotonic() + timeout
        try:
            # Behind the last notice, so that the thread ends when it has written all of them.
            self._queue.put(None, timeout=timeout)
        except queue.Full:
            return
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def recent(self) -> list[tuple[datetime, Notice]]:
        """Return the recent notices and their times, the latest first."""
        return list(self._recent)

    def record(self, notice: Notice) -> None:
        """Queue a notice to be written, with the present time, because writes may wait."""
        occurred = (datetime.now(UTC), notice)
        # Before the queue: the status page shows the notice even if it is dropped there.
        self._recent.appendleft(occurred)
        try:
            self._queue.put_nowait(occurred)
        except queue.Full:
            log.warning("event dropped", reason=notice.reason, about=notice.regarding.name)

    def _run(self) -> None:
        while (occurred := self._queue.get()) is not None:
            at, notice = occurred
            try:
                self._write(notice, format_time(at))
            except ApiError as error:
                log.info("event not written", reason=notice.reason, about=notice.regarding.name, cause=str(error))
            except Exception:
                # The thread must outlive a defect in one Event.
                log.exception("event failed", reason=notice.reason)

    def _write(self, notice: Notice, timestamp: str) -> None:
        now = self._clock()
        written = self._written.get(notice)
        if written is None:
            self._create(notice, timestamp, now)
            return
        # Repeats within the minute are counted here, and the next increment writes the sum.
        written.count += 1
        if now - written.written_at < REPEAT_SECONDS:
            return
        # Before the request: a failed increment is repeated after a minute, not with the next notice.
        written.written_at = now
        try:
            self._increment(notice, timestamp, written)
        except (NotFound, Forbidden, Invalid):
            # The API server keeps Events for an hour, and another object may have the name by now.
            self._create(notice, timestamp, now)

    def _create(self, notice: Notice, timestamp: str, now: float) -> None:
        # The name must be a DNS subdomain of at most 253 characters, so no part of it can be empty or end in a hyphen.
        written = _WrittenEvent(f"{notice.regarding.name[:200].rstrip('.-')}.{secrets.token_hex(8)}", 1, now)
        self._pace()
        self._client.create(EVENTS, _event(notice, timestamp, written.name), notice.regarding.namespace)
        # Only a written Event is counted up later. After a failure, the same notice creates an Event the next time.
        self._written.pop(notice, None)
        while len(self._written) >= MEMORY_LIMIT:
            del self._written[next(iter(self._written))]
        self._written[notice] = written

    def _increment(self, notice: Notice, timestamp: str, written: _WrittenEvent) -> None:
        # Without a resourceVersion, because only this process increments the Event, and its count is absolute.
        body = {"count": written.count, "lastTimestamp": timestamp}
        namespace = notice.regarding.namespace
        self._pace()
        self._client.merge_patch(EVENTS, written.name, body, namespace, field_manager=COMPONENT)


def _event(notice: Notice, timestamp: str, name: str) -> dict[str, Any]:
    regarding = notice.regarding
    return {
        "metadata": {"name": name, "namespace": regarding.namespace},
        "involvedObject": {
            "apiVersion": regarding.api_version,
            "kind": regarding.kind,
            "namespace": regarding.namespace,
            "name": regarding.name,
            **({"uid": regarding.uid} if regarding.uid else {}),
        },
        "reason": notice.reason,
        # Cut after it is escaped, because that makes a text longer. The limit is that of a note in events.k8s.io.
        "message": escaped(notice.message)[:1024],
        "type": notice.type,
        "count": 1,
        "firstTimestamp": timestamp,
        "lastTimestamp": timestamp,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": "",
    }
