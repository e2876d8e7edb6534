"""Keep the certificate valid, trusted and renewed: carry out the steps that :mod:`certs.rotation` returns."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from certs.bundle import described, expired, parse
from certs.rotation import (
    CertificateState,
    Lifetimes,
    Nothing,
    PublishBundle,
    StoreAuthority,
    StoreLeaf,
    is_published,
    next_step,
)
from certs.validity import not_after
from webhook.errors import ApiError, CertificateInvalid, Conflict, NotFound, Refused
from webhook.kube.events import Notice, Reference
from webhook.rules.timing import delay
from webhook.sync.certificate_store import CertificateStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from certs.rotation import Step
    from webhook.kube.client import Client
    from webhook.kube.events import EventRecorder
    from webhook.ops.certificate_metrics import IssuedCertificateMetrics
    from webhook.sync.certificate_store import Snapshot
    from webhook.sync.settings import CertificateNames

log = structlog.get_logger(__name__)

POLL_SECONDS = 30.0
"""Seconds to sleep at most. Due steps are noticed within this time after a suspension or a jump of the clock."""

RETRY_SECONDS = 1.0
RETRY_CAP = 5.0
REFUSED_CAP = 60.0
"""Seconds after the first failed write, and at most after many; more if a person has to change something first. A
conflict is solved after the first: the object has been read again."""


def _now() -> datetime:
    return datetime.now(UTC)


class CertificateKeeper:
    """Keeps the certificate valid, trusted and renewed, in a thread of its own, while this process leads."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        names: CertificateNames,
        may_write: Callable[[], bool],
        recorder: EventRecorder,
        metrics: IssuedCertificateMetrics,
        lifetimes: Lifetimes | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._names = names
        self._may_write = may_write
        self._reporter = _Reporter(recorder, metrics, namespace)
        self._metrics = metrics
        self._lifetimes = lifetimes or Lifetimes()
        self._clock = clock
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._published: tuple[bytes, datetime] | None = None
        self._store = CertificateStore(client, namespace, names, self._wake.set)
        self._thread = threading.Thread(target=self._run, name="certificates", daemon=True)

    def start(self) -> None:
        """Start to watch; writing waits for leadership."""
        self._store.start()
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Finish the write in progress, and end."""
        self._stopping.set()
        self._wake.set()
        self._store.stop()
        self._thread.join(timeout)

    def set_leading(self, leading: bool) -> None:
        """Check immediately whether a step is due. The election calls this."""
        if leading:
            self._wake.set()

    @property
    def has_synced(self) -> bool:
        """True if all of its objects have been read once."""
        return self._store.has_synced

    def _run(self) -> None:
        pause, failures = 0.0, 0
        while not self._stopping.is_set():
            self._wake.wait(pause)
            self._wake.clear()
            try:
                pause = self._reconcile()
                failures = 0
            except (Conflict, NotFound) as error:
                # Another replica was faster, which is usual at a first installation: the state is read again, and no
                # failure is counted.
                pause = RETRY_SECONDS
                log.info("certificate not written", cause=str(error), retry_in=pause)
            except ApiError as error:
                failures += 1
                pause = max(_delay(failures, error), error.retry_after or 0.0)
                self._reporter.not_written(error, pause)
            except Exception:
                pause = POLL_SECONDS
                log.exception("certificates failed", retry_in=pause)

    def _reconcile(self) -> float:
        """Take the steps that are due; return the seconds until the next check."""
        if not self._store.has_synced:
            return RETRY_SECONDS
        while not self._stopping.is_set():
            now = self._clock()
            snapshot = self._store.snapshot()
            state = self._state(snapshot, now)
            self._reporter.report_state(state, now, sends_events=self._may_write())
            step = next_step(state, now, self._lifetimes)
            if isinstance(step, Nothing):
                return min(max(0.0, (step.until - now).total_seconds()), POLL_SECONDS)
            if not self._may_write():
                return POLL_SECONDS
            # One step at a time: the next one is decided on the state after this write, so a crash in between leaves a
            # valid state.
            self._store.write(step, snapshot)
            self._report_written(step)
        return 0.0

    def _state(self, snapshot: Snapshot, now: datetime) -> CertificateState:
        state = snapshot.state(self._names.sans)
        return replace(state, published_since=self._published_since(state, now))

    def _published_since(self, state: CertificateState, now: datetime) -> datetime | None:
        """Remember when the present authority was first seen in every caBundle."""
        if not is_published(state):
            self._published = None
        elif self._published is None or self._published[0] != state.authority:
            self._published = (state.authority, now)
        return None if self._published is None else self._published[1]

    def _report_written(self, step: Step) -> None:
        match step:
            case StoreAuthority(cause=cause):
                self._metrics.wrote("authority")
                log.info("authority issued", secret=self._names.authority_secret, cause=cause)
            case StoreLeaf(cause=cause):
                self._metrics.wrote("certificate")
                log.info("serving certificate issued", secret=self._names.leaf_secret, cause=cause)
            case PublishBundle(unparsable=unparsable):
                self._metrics.wrote("bundle")
                log.info("ca bundle written", webhook=self._names.webhook_configuration)
                self._reporter.left_out(unparsable)
            case Nothing():
                return


def _delay(failures: int, error: ApiError) -> float:
    cap = REFUSED_CAP if error.is_lasting else RETRY_CAP
    return delay(failures, random.random(), base=RETRY_SECONDS, cap=cap)  # noqa: S311 (jitter)


class _Reporter:
    """Reports, by logs, Events and metrics, the problems that only people can correct."""

    def __init__(self, recorder: EventRecorder, metrics: IssuedCertificateMetrics, namespace: str) -> None:
        self._recorder = recorder
        self._metrics = metrics
        self._regarding = Reference("v1", "Namespace", namespace, namespace)
        self._reported: frozenset[str] = frozenset()

    def report_state(self, state: CertificateState, now: datetime, *, sends_events: bool) -> None:
        """Report the current state, and, if ``sends_events`` is set, the foreign authorities that have expired."""
        self._metrics.holds(_expiry(state.leaf), _expiry(state.authority))
        bundle = parse(b"\n".join(state.ca_bundles))
        expired_foreign = expired(bundle.foreign, now)
        self._metrics.publishes(
            own=len(bundle.ours), foreign=len(bundle.foreign) - len(expired_foreign), expired=len(expired_foreign)
        )
        if not sends_events:
            return
        authorities = frozenset(map(described, expired_foreign))
        for name in sorted(authorities - self._reported):
            log.warning("foreign authority expired", authority=name)
            self._record_event(
                "ForeignAuthorityExpired",
                f"the caBundle holds {name}, which has expired: remove it, because it is not used",
            )
        self._reported = authorities

    def left_out(self, blocks: int) -> None:
        """Report that a part of the bundle could not be read."""
        if not blocks:
            return
        self._metrics.left_out(blocks)
        log.warning("ca bundle unreadable", left_out=blocks)
        self._record_event(
            "BundleUnreadable", f"the caBundle held {blocks} entries that are no certificate: they have been left out"
        )

    def not_written(self, error: ApiError, retry_in: float) -> None:
        """Report that a write failed."""
        self._metrics.failed()
        log.warning("certificate not written", cause=str(error), retry_in=retry_in)
        if isinstance(error, Refused):
            self._record_event("CertificateDenied", f"the API server refuses a write of the certificate: {error}")

    def _record_event(self, reason: str, message: str) -> None:
        self._recorder.record(Notice(self._regarding, reason, message))


def _expiry(certificate_pem: bytes) -> datetime | None:
    try:
        return not_after(certificate_pem)
    except CertificateInvalid:
        return None
