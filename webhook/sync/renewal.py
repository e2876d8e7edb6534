"""Renew the credentials of the renewing sources in time, while this process leads.

The schedule is computed from the issued Secrets, which the watches of the sources deliver. So a standby continues it
when it takes over, and a Secret that was deleted or changed by somebody is written again. Providers run in threads of
their own, a few at a time: neither the workers nor this loop wait for them. A failure keeps the old credential.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog

from webhook.errors import ApiError, Conflict, CredentialsNotIssued
from webhook.kube.objects import decode_secret
from webhook.rules.credential import SourceReason
from webhook.rules.dockerconfig import read_payload
from webhook.rules.renewal_schedule import Due, next_renewal, retry_seconds
from webhook.rules.renewing import describe_previous, settings_digest
from webhook.sync.source import read_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.rules.configuration import Configuration
    from webhook.rules.renewing import IssuedCredential, RenewingSource
    from webhook.sync.issued_secrets import IssuedSecrets
    from webhook.sync.issuer import Issuer
    from webhook.sync.source import Source
    from webhook.sync.sources import SourceReads, SourceStore

log = structlog.get_logger(__name__)

MAX_RUNNING = 4
"""Credentials that are issued at the same time, so that many providers do not exhaust the memory of the container."""

POLL_SECONDS = 10.0
"""Seconds to sleep at most, so that a jump of the clock or a suspension is noticed."""

CONFLICT_SECONDS = 0.5
"""Seconds until a renewal is decided again after its Secret has changed."""

MAX_SENT = 10
"""Credentials of failed writes that are remembered for one source. The last ones are the likely ones to be stored."""

_UNUSABLE = frozenset(SourceReason) - {
    SourceReason.CREDENTIAL_REFUSED,
    SourceReason.TERMINATING,
    SourceReason.ABSENT,
    SourceReason.NOT_ISSUED,
}
"""Problems of an issued Secret that only an edit can cause."""


class RenewalReporter(Protocol):
    """Reports renewals to people."""

    def renewed(self, source: RenewingSource, credential: IssuedCredential) -> None:
        """Report a new credential."""

    def not_renewed(self, source: RenewingSource, error: CredentialsNotIssued, kept: str) -> None:
        """Report a failure; ``kept`` is the part of a sentence about the credential in the Secret."""


class RenewalState(msgspec.Struct, frozen=True):
    """The renewals of one source: the next one, and the last failure if the last attempt failed."""

    name: str
    secret: str
    next_at: datetime | None = None
    failures: int = 0
    reason: str = ""
    message: str = ""


@dataclass(slots=True)
class _Progress:
    """The state of one source in this process. ``retry_at`` counts monotonic seconds."""

    failures: int = 0
    retry_at: float = 0.0
    running: bool = False
    requested: str = ""
    """The request of a person that the last failure has seen: a newer one does not wait for ``retry_at``."""
    error: CredentialsNotIssued | None = None
    stored: Source | None = field(default=None, repr=False)
    """The Secret that this process has written last."""
    sent: tuple[IssuedCredential, ...] = ()
    """Credentials whose write failed since then. The write may have been made without an answer."""


def _now() -> datetime:
    return datetime.now(UTC)


class Renewer:
    """Renews the sources of a configuration; ``counted(source, result)`` is called for each attempt."""

    def __init__(
        self,
        issuer: Issuer,
        secrets: IssuedSecrets,
        sources: SourceStore,
        reads: SourceReads,
        reporter: RenewalReporter,
        counted: Callable[[str, str], None],
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._issuer = issuer
        self._secrets = secrets
        self._sources = sources
        self._reads = reads
        self._reporter = reporter
        self._counted = counted
        self._clock = clock
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._leading = False
        self._renewing: tuple[RenewingSource, ...] = ()
        self._progress: dict[str, _Progress] = {}
        # Apart from the progress, which ends with a configuration or a term while its provider still runs.
        self._running = 0

    def configure(self, configuration: Configuration) -> None:
        """Set the sources of a new configuration. A source with other settings is renewed immediately."""
        with self._lock:
            before = {source.secret: source for source in self._renewing}
            self._renewing = configuration.renewing
            # A source that is as before keeps its progress: a change of others must not end the pause after its
            # failure.
            kept = {source.secret for source in self._renewing if before.get(source.secret) == source}
            self._progress = {name: progress for name, progress in self._progress.items() if name in kept}
        self._wake.set()

    def set_leading(self, leading: bool) -> None:
        """Start to renew, or stop."""
        with self._lock:
            self._leading = leading
            # Another process writes from now on, or may have written since: the failures of a term end with it.
            self._progress.clear()
        self._wake.set()

    def changed(self) -> None:
        """Decide again soon, because a source has changed or this process ends."""
        self._wake.set()

    def states(self) -> dict[str, RenewalState]:
        """Return the state of each source by the name of its Secret; a standby has no failures."""
        with self._lock:
            return {source.secret: self._state(source) for source in self._renewing}

    def run(self, stopping: threading.Event) -> None:
        """Renew until ``stopping`` is set, and :meth:`changed` is called once more."""
        pause: float | None = 0.0
        while not stopping.is_set():
            self._wake.wait(pause)
            # Cleared before the look, so that a change during the look causes another one.
            self._wake.clear()
            pause = POLL_SECONDS if stopping.is_set() else self._start_due()

    def _start_due(self) -> float:
        """Start the renewals that are due; return the seconds until the next decision."""
        pause = POLL_SECONDS
        with self._lock:
            if not self._leading:
                return POLL_SECONDS
            for source in self._renewing:
                progress = self._progress.setdefault(source.secret, _Progress())
                observed = self._sources.source(source.secret)
                # Without a first read of its Secret, a credential that is still valid would be issued again.
                if progress.running or observed is None:
                    continue
                self._note_stored_after_all(source, observed, progress)
                due = self._due(source, observed, progress)
                # The due time is of the wall clock, as the annotations have it. The pause is monotonic: a jump of the
                # clock does not end it.
                seconds_left = max((due.time - self._clock()).total_seconds(), self._pause_left(observed, progress))
                if seconds_left > 0:
                    pause = min(pause, seconds_left)
                elif self._running < MAX_RUNNING:  # otherwise the end of another renewal wakes this loop
                    self._start(source, observed, progress, due.cause)
        return pause

    def _note_stored_after_all(self, source: RenewingSource, observed: Source, progress: _Progress) -> None:
        """End a failure if the credential of a write without an answer is in the Secret."""
        stored = [sent for sent in progress.sent if read_payload(sent.payload) == observed.credentials]
        if stored:
            self._succeeded(source, observed, progress, stored[0])
            log.info("credential was stored after all", source=source.name, secret=source.secret)

    def _succeeded(
        self, source: RenewingSource, stored: Source, progress: _Progress, credential: IssuedCredential
    ) -> None:
        progress.stored, progress.sent = stored, ()
        progress.failures, progress.retry_at, progress.error = 0, 0.0, None
        self._reporter.renewed(source, credential)

    def _pause_left(self, observed: Source, progress: _Progress) -> float:
        """Return the seconds until the end of the pause after a failure; it is over if that is not positive."""
        return 0.0 if self._is_requested_again(observed, progress) else progress.retry_at - time.monotonic()

    @staticmethod
    def _is_requested_again(observed: Source, progress: _Progress) -> bool:
        return progress.failures > 0 and observed.issued.is_requested and observed.issued.renew != progress.requested

    def _due(self, source: RenewingSource, observed: Source, progress: _Progress) -> Due:
        now = self._clock()
        if observed.problem is not None and observed.problem.reason in _UNUSABLE:
            return Due(now, "its Secret cannot be used")
        # Known only in this term: a new leader takes the content that it finds for the one that was issued.
        stored = progress.stored
        if stored is not None and observed.credentials not in (None, stored.credentials):
            return Due(now, "its Secret was changed by somebody")
        return next_renewal(source.name, observed.issued if observed.uid else None, settings_digest(source), now)

    def _start(self, source: RenewingSource, observed: Source, progress: _Progress, cause: str) -> None:
        def renew() -> None:
            try:
                self._renew(source, observed, progress, cause)
            finally:
                with self._lock:
                    progress.running = False
                    self._running -= 1
                self._wake.set()

        # A daemon, because a request for a token may still wait for its answer when the process ends.
        threading.Thread(target=renew, name=f"renewal {source.name}", daemon=True).start()
        # After the start: a source whose thread cannot be started would count as running for ever. The thread needs the
        # lock to undo this, and the caller holds it.
        progress.running = True
        self._running += 1

    def _renew(self, source: RenewingSource, observed: Source, progress: _Progress, cause: str) -> None:
        try:
            self._secrets.check(observed)
            credential = self._issuer.issue(source, observed.issued.expires_at)
            progress.sent = (*progress.sent, credential)[-MAX_SENT:]
            stored = read_source(decode_secret(self._secrets.store(source, credential, observed)))
        except Conflict as error:
            # The issuer has not failed. The read shows the Secret as it is now, perhaps before the watch does.
            log.info("renewal decided again", source=source.name, cause=str(error))
            self._read_again(source.secret)
            progress.retry_at = time.monotonic() + CONFLICT_SECONDS
        except CredentialsNotIssued as error:
            if not self._issuer.stopping.is_set():  # else it was cancelled
                self._failed(source, observed, progress, error)
        except Exception:
            log.exception("renewal failed", source=source.name)
            self._counted(source.name, "error")
            # A defect waits like a failure. Otherwise this loop would start the renewal again immediately.
            self._wait(progress, observed)
        else:
            self._succeeded(source, stored, progress, credential)
            # The watch brings it later, and would find the old credential due until then.
            self._sources.observe(stored, event_version=stored.resource_version)
            self._counted(source.name, "renewed")
            log.info("credential renewed", source=source.name, secret=source.secret, cause=cause)

    def _failed(
        self, source: RenewingSource, observed: Source, progress: _Progress, error: CredentialsNotIssued
    ) -> None:
        self._wait(progress, observed)
        progress.error = error
        self._counted(source.name, error.reason)
        seconds = round(progress.retry_at - time.monotonic(), 2)
        log.warning(
            "credential not renewed", source=source.name, reason=error.reason, cause=str(error), retry_in=seconds
        )
        self._reporter.not_renewed(source, error, self._describe_kept(observed, error))

    def _describe_kept(self, observed: Source, error: CredentialsNotIssued) -> str:
        """Return the part of a sentence about the credential that is in the Secret after a failure."""
        # ``observed`` is the state before this attempt, which may have deleted the Secret.
        if error.deleted or not observed.uid:
            return "its Secret does not exist"
        if observed.problem is not None:
            return "the one in its Secret cannot be used"
        return describe_previous(observed.issued.expires_at, self._clock())

    def _wait(self, progress: _Progress, observed: Source) -> None:
        issued = observed.issued
        has_times = issued.expires_at is not None and issued.issued_at is not None
        lifetime = issued.expires_at - issued.issued_at if has_times else None  # type: ignore[operator]
        progress.failures += 1
        progress.requested = observed.issued.renew
        progress.retry_at = time.monotonic() + retry_seconds(progress.failures, random.random(), lifetime)  # noqa: S311

    def _read_again(self, name: str) -> None:
        try:
            self._reads.read(name)
        except ApiError as error:
            log.info("source not read yet", source=name, cause=str(error))

    def _state(self, source: RenewingSource) -> RenewalState:
        progress = self._progress.get(source.secret, _Progress())
        observed = self._sources.source(source.secret)
        next_at = None
        if observed is not None:
            next_at = self._due(source, observed, progress).time
            if (pause := self._pause_left(observed, progress)) > 0:
                next_at = max(next_at, self._clock() + timedelta(seconds=pause))
        error = progress.error
        return RenewalState(
            source.name,
            source.secret,
            next_at,
            progress.failures,
            "" if error is None else error.reason,
            "" if error is None else str(error),
        )
