"""Events: what a person must know, where ``kubectl describe`` and ``kubectl get events`` show it.

Recording never waits and never fails its caller: a bounded queue and one thread. The same thing said again counts up
the Event that is there, at most once a minute, so that a lasting fault does not fill etcd.

Source: k8s.io/client-go/tools/record (EventCorrelator); the object is core/v1 Event.
"""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import structlog

from webhook.errors import ApiError, Forbidden, Invalid, NotFound
from webhook.kube.resources import EVENTS
from webhook.rules.text import escaped

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.kube.client import Client

log = structlog.get_logger(__name__)

COMPONENT = "pull-secret-webhook"

REPEAT_SECONDS = 60.0
"""How often the same Event is counted up at most."""

QUEUE_LIMIT = 1000
"""Events waiting to be written; what comes beyond is dropped with a log line: they are advice, not state."""

MEMORY_LIMIT = 5000
"""Events remembered for counting up; the oldest are forgotten, which costs one more Event object."""


RECENT_LIMIT = 50
"""Notices kept to be shown."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The object that an Event is about; a Namespace is given as in itself, so that its users see the Event."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to say about one object: a CamelCase reason and a sentence."""

    regarding: Reference
    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Warning"


@dataclass(slots=True)
class _Said:
    name: str
    """Of the Event object. Random, so that nobody in the namespace can have taken it before."""
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
        self._queue: queue.Queue[Notice | None] = queue.Queue(QUEUE_LIMIT)
        self._said: dict[Notice, _Said] = {}
        self._recent: deque[tuple[datetime, Notice]] = deque(maxlen=RECENT_LIMIT)
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Write what waits, for at most ``timeout`` seconds, and end."""
        try:
            self._queue.put(None, timeout=timeout)
        except queue.Full:
            return
        self._thread.join(timeout)

    def recent(self) -> list[tuple[datetime, Notice]]:
        """Return what has been recorded of late and when, the latest first."""
        return list(self._recent)

    def record(self, notice: Notice) -> None:
        """Have a notice written soon."""
        self._recent.appendleft((datetime.now(UTC), notice))
        try:
            self._queue.put_nowait(notice)
        except queue.Full:
            log.warning("event dropped", reason=notice.reason, about=notice.regarding.name)

    def _run(self) -> None:
        while (notice := self._queue.get()) is not None:
            try:
                self._write(notice)
            except ApiError as error:
                log.info("event not written", reason=notice.reason, about=notice.regarding.name, cause=str(error))
            except Exception:
                # The thread must outlive a defect in one Event.
                log.exception("event failed", reason=notice.reason)

    def _write(self, notice: Notice) -> None:
        now = self._clock()
        said = self._said.get(notice)
        if said is None:
            self._create(notice, now)
            return
        said.count += 1
        if now - said.written_at < REPEAT_SECONDS:
            return
        said.written_at = now
        try:
            self._count_up(notice, said)
        except (NotFound, Forbidden, Invalid):
            # The API server keeps Events for an hour, and what is there under the name may be somebody else's by now.
            self._create(notice, now)

    def _create(self, notice: Notice, now: float) -> None:
        said = _Said(f"{notice.regarding.name[:200]}.{secrets.token_hex(8)}", 1, now)
        self._pace()
        self._client.create(EVENTS, _event(notice, said.name), notice.regarding.namespace)
        # Only what has been written is counted up later; what could not be is said again the next time.
        self._said.pop(notice, None)
        while len(self._said) >= MEMORY_LIMIT:
            del self._said[next(iter(self._said))]
        self._said[notice] = said

    def _count_up(self, notice: Notice, said: _Said) -> None:
        body = {"count": said.count, "lastTimestamp": _now()}
        namespace = notice.regarding.namespace
        self._pace()
        self._client.merge_patch(EVENTS, said.name, body, namespace, field_manager=COMPONENT)


def _event(notice: Notice, name: str) -> dict[str, Any]:
    regarding, stamp = notice.regarding, _now()
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
        "message": escaped(notice.message)[:1024],
        "type": notice.type,
        "count": 1,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": "",
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
