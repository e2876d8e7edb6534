"""Notice when a credential is about to expire, and when it has, and report both once.

No watch announces it, because nothing in the cluster changes at that time. So a thread sleeps until the next time at
which a credential of any source changes its state.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from webhook.rules.expiry import Expiry, ExpiryReason
    from webhook.sync.source import Source

LONGEST_WAIT = 3600.0
"""Seconds. A clock that was set, or a machine that was suspended, is noticed after that at the latest."""

SHORTEST_WAIT = 0.05
"""Seconds. A sleep can end a little before the wall clock reaches the time."""


class ExpiryReporter(Protocol):
    """Reports to people."""

    def credentials_expire(self, source: str, registries: Sequence[str], reason: ExpiryReason, text: str) -> None:
        """Report that the credentials of a source for these registries expire or have expired."""

    def credentials_renewed(self, source: str, registries: Sequence[str]) -> None:
        """Report that credentials that were reported are not known to expire soon any more."""

    def expiry_unreadable(self, source: str, problem: str) -> None:
        """Report times of expiry that cannot be used."""


class ExpiryWatch:
    """Follows the times of expiry of all sources; ``now()`` is the wall clock."""

    def __init__(
        self,
        sources: Callable[[], Iterable[Source]],
        reporter: ExpiryReporter,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.now = now
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
            self._wake.wait(self.check())
            self._wake.clear()

    def check(self) -> float:
        """Report the states that are new; return the seconds until the next change of one."""
        now = self.now()
        changes: list[datetime] = []
        with self._lock:
            before, self._reported = self._reported, {}
            unreadable, self._unreadable = self._unreadable, {}
            for source in self._sources():
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
        found: dict[ExpiryReason, list[str]] = {}
        texts: dict[ExpiryReason, str] = {}
        renewed = {registry for name, registry in before if name == source}
        for registry, expiry in expiries:
            reason = expiry.reason(now)
            if reason is None:
                continue
            renewed.discard(registry)
            self._reported[source, registry] = reason
            if before.get((source, registry)) is not reason:
                found.setdefault(reason, []).append(registry)
                texts.setdefault(reason, expiry.describe(now))
        for reason, registries in found.items():
            self._reporter.credentials_expire(source, registries, reason, texts[reason])
        if renewed:
            self._reporter.credentials_renewed(source, sorted(renewed))
