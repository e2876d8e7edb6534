"""Watch the credentials of the sources: whether they still log in to their registries, and when they expire.

Tests of logins are off by default, because they send credentials from sync to registries. A refused credential is
reported, and no copy is removed because of it. A new credential is held back only if the registry refuses it and still
accepts the previous one. So a typing error breaks no node.

No watch announces that a credential expires, because nothing in the cluster changes at that time. So a thread sleeps
until the next time at which a credential of any source changes its state, and reports it once.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog
from msgspec.structs import replace

from webhook.errors import SourceInvalid
from webhook.registries.login import Login
from webhook.rules.credential import SourceReason
from webhook.rules.expiry import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from webhook.registries.login import LoginResult
    from webhook.rules.credential import Credential
    from webhook.rules.dockerconfig import Credentials
    from webhook.rules.expiry import Expiry, ExpiryReason
    from webhook.sync.source import Source

log = structlog.get_logger(__name__)


class RefusedLogin(msgspec.Struct, frozen=True):
    """A credential that its registry refuses, and a sentence about it."""

    source: str
    registry: str
    message: str


class LoginTester:
    """Tests credentials with ``log_in(key, credential)``; safe from any thread.

    ``on_refused(refused)`` is called once for each credential that a registry refuses.
    """

    def __init__(
        self,
        log_in: Callable[[str, Credential], LoginResult],
        on_refused: Callable[[RefusedLogin], None] = lambda _: None,
    ) -> None:
        self._log_in = log_in
        self.on_refused = on_refused
        self._lock = threading.Lock()
        # Only remember() writes these two, and the store calls it under a lock.
        self._copied: dict[str, Credentials] = {}
        self._held: dict[str, Source] = {}
        self._refused: dict[tuple[str, str], RefusedLogin] = {}

    def judge(self, source: Source) -> Source:
        """Return a changed source, with a problem in place of credentials that must not be copied."""
        if source.credentials is None:
            return source
        # The content that is in the copies. A version that was held back does not count.
        before = self._copied.get(source.name)
        registry = None if before is None else self._newly_refused(source.credentials, before)
        if registry is None:
            return source
        message = (
            f'source Secret "{source.name}": {registry} refuses its new credential, and still accepts the previous '
            "one: correct it"
        )
        problem = SourceInvalid(SourceReason.CREDENTIAL_REFUSED, message)
        return replace(source, credentials=None, problem=problem)

    def remember(self, source: Source, judged: Source) -> None:
        """Remember the credentials of a source that are copied from now on, or that its new content is held."""
        if judged.credentials is not None:
            self._copied[source.name] = judged.credentials
        if judged.credentials is source.credentials:
            self._held.pop(source.name, None)
        else:
            self._held[source.name] = source

    def refused(self, source: str) -> list[str]:
        """Return the registries that refused the credential of a source at the last test."""
        with self._lock:
            return sorted(login.registry for login in self._refused.values() if login.source == source)

    def forget(self) -> None:
        """Forget the refusals, because another process may have tested since."""
        with self._lock:
            self._refused = {}

    def held(self) -> list[Source]:
        """Return the sources that were held; the registry may accept them by now."""
        # A copy of the values, because a watch can bring another version meanwhile.
        return list(self._held.values())

    def test_all(self, sources: Iterable[Source], may_continue: Callable[[], bool]) -> None:
        """Test each credential of each source, while ``may_continue()``."""
        refused_now: dict[tuple[str, str], RefusedLogin] = {}
        for source in sources:
            for key, credential in (source.credentials or {}).items():
                # A round that is cut short replaces nothing: refusals that it did not reach would be reported again
                # later.
                if not may_continue():
                    return
                result = self._log_in(key, credential)
                log.debug(
                    "login tried", source=source.name, registry=key, result=result.login.value, cause=result.message
                )
                if result.login is Login.REFUSED:
                    refused_now[source.name, key] = RefusedLogin(source.name, key, result.message)
        with self._lock:
            before, self._refused = self._refused, refused_now
        for name, refused in refused_now.items():
            if name not in before:
                self.on_refused(refused)

    def _newly_refused(self, credentials: Credentials, before: Credentials) -> str | None:
        """Return a registry that refuses the new credential and accepts the previous one; None if there is none."""
        for key, credential in credentials.items():
            previous = before.get(key)
            # A registry that is new, or whose credential is the same, loses nothing by the change.
            if previous is None or previous == credential:
                continue
            # A registry that refuses the previous one, too, has other trouble: nodes gain nothing if the new one is
            # held back.
            if (
                self._log_in(key, credential).login is Login.REFUSED
                and self._log_in(key, previous).login is Login.ACCEPTED
            ):
                return key
        return None


LONGEST_WAIT = 3600.0
"""Seconds. A clock that was set, or a machine that was suspended, is noticed after that at the latest."""

SHORTEST_WAIT = 0.05
"""Seconds. A sleep can end a little before the wall clock reaches the time."""


class ExpiryGroup(msgspec.Struct, frozen=True):
    """The state that some credentials of one source share, and the end of a sentence about the first that expires."""

    reason: ExpiryReason
    text: str
    differ: bool = False
    """True if the others expire at other times."""
    renews: bool = False
    """True if sync renews the source."""


class ExpiryReporter(Protocol):
    """Reports to people."""

    def credentials_expire(self, source: str, registries: Sequence[str], expiring: ExpiryGroup) -> None:
        """Report that the credentials of a source for these registries expire or have expired."""

    def credentials_renewed(self, source: str, registries: Sequence[str]) -> None:
        """Report that credentials that were reported are not known to expire soon any more."""

    def expiry_unreadable(self, source: str, problem: str) -> None:
        """Report times of expiry that cannot be used."""


class ExpiryWatch:
    """Follows the times of expiry of all sources; ``now()`` is the wall clock.

    ``renews(source)`` is True for a source that sync renews.
    """

    def __init__(
        self,
        sources: Callable[[], Iterable[Source]],
        reporter: ExpiryReporter,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        renews: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.now = now
        self._renews = renews
        self._sources = sources
        self._reporter = reporter
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._reported: dict[tuple[str, str], ExpiryReason] = {}
        self._unreadable: dict[str, str] = {}

    def changed(self) -> None:
        """Look again soon: a source has changed, or the process stops."""
        self._wake.set()

    def report_again(self) -> None:
        """Report everything again: this process has become the leader, and only the leader writes Events."""
        with self._lock:
            self._reported, self._unreadable = {}, {}
        self.changed()

    def run(self, stopping: threading.Event) -> None:
        """Check at each change, until ``stopping`` is set and :meth:`changed` is called once more."""
        while not stopping.is_set():
            # The event is cleared before the next check, so that a change during the check causes another one.
            self._wake.wait(self.check())
            self._wake.clear()

    def check(self) -> float:
        """Report the states that are new; return the seconds until the next change of one."""
        now = self.now()
        changes: list[datetime] = []
        with self._lock:
            # Under the lock to the end: a report_again() in the middle would be lost for the sources that follow.
            before, self._reported = self._reported, {}
            unreadable, self._unreadable = self._unreadable, {}
            for source in self._sources():
                # Such a source is reported by its problem, and its times are not known.
                if source.credentials is None:
                    continue
                expiries = source.credentials.expiries
                self._compare(source.name, expiries.by_registry.items(), before, now)
                changes += filter(None, (expiry.next_change(now) for expiry in expiries.by_registry.values()))
                if expiries.problems:
                    self._unreadable[source.name] = expiries.remark
                    if unreadable.get(source.name) != expiries.remark:
                        self._reporter.expiry_unreadable(source.name, expiries.remark)
        wait = (min(changes) - now).total_seconds() if changes else LONGEST_WAIT
        return min(max(wait, SHORTEST_WAIT), LONGEST_WAIT)

    def _compare(
        self,
        source: str,
        expiries: Iterable[tuple[str, Expiry]],
        before: dict[tuple[str, str], ExpiryReason],
        now: datetime,
    ) -> None:
        """Report the credentials of one source whose state has changed, those with the same state together."""
        times_by_reason: dict[ExpiryReason, dict[str, datetime]] = {}
        # A registry that the source has lost stays in here: the warning about it is over, too.
        renewed = {registry for name, registry in before if name == source}
        for registry, expiry in expiries:
            reason = expiry.reason(now)
            if reason is None:
                continue
            renewed.discard(registry)
            self._reported[source, registry] = reason
            if before.get((source, registry)) is not reason:
                times_by_reason.setdefault(reason, {})[registry] = expiry.expires_at
        for reason, times in times_by_reason.items():
            text, differ = describe(min(times.values()), now), len(set(times.values())) > 1
            expiring = ExpiryGroup(reason, text, differ, renews=self._renews(source))
            self._reporter.credentials_expire(source, list(times), expiring)
        if renewed:
            self._reporter.credentials_renewed(source, sorted(renewed))
