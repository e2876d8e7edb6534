"""How every copy stands, counted while the namespaces are looked at: so that nobody has to look at all to know.

A scrape reads a handful of numbers, however many namespaces there are. A rotation makes every copy stale at once,
without one being touched, because copies are counted by the hash of their content.
"""

from __future__ import annotations

import threading
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING

from webhook.rules.copy_status import CopyState, CopyStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from webhook.sync.write_result import Result

NONE_KNOWN: Mapping[str, str] = MappingProxyType({})

SHARED_LIMIT = 1000
"""Different records kept for sharing: most namespaces stand alike, and then have one record in common."""


class StatusIndex:
    """The standings by namespace; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, tuple[CopyStatus, ...]] = {}
        self._shared: dict[tuple[CopyStatus, ...], tuple[CopyStatus, ...]] = {}
        self._counts: Counter[CopyStatus] = Counter()
        self._failed: dict[str, dict[str, Result]] = {}
        self._failing: dict[str, Result] = {}

    def record(self, namespace: str, standings: Iterable[CopyStatus], due: Collection[str] = ()) -> None:
        """Take how the copies of a namespace stand; ``due`` are the names of those that are to be written."""
        with self._lock:
            found = tuple(standings)
            if namespace in self._failed:
                failed = {name: why for name, why in self._failed.pop(namespace).items() if name in due}
                if failed:
                    self._failed[namespace] = failed
                    found = tuple(_marked(each, failed) for each in found)
            self._put(namespace, found)

    def copy_failed(self, namespace: str, secret: str, result: Result) -> None:
        """Take it that a copy could not be written; that stands until it is no longer due."""
        with self._lock:
            failed = self._failed.setdefault(namespace, {})
            failed[secret] = result
            self._put(namespace, tuple(_marked(each, failed) for each in self._records.get(namespace, ())))

    def namespace_failed(self, namespace: str, result: Result) -> None:
        """Take it that a write of any kind has failed in a namespace."""
        with self._lock:
            self._failing[namespace] = result

    def namespace_done(self, namespace: str) -> None:
        """Take it that whatever was to be written in a namespace has been."""
        with self._lock:
            self._failing.pop(namespace, None)

    def clear(self) -> None:
        """Forget everything: who does not lead does not know."""
        with self._lock:
            for known in (self._records, self._shared, self._counts, self._failed, self._failing):
                known.clear()

    def namespaces(self) -> set[str]:
        """Return the namespaces of which anything is recorded."""
        with self._lock:
            return {*self._records, *self._failing}

    def failing(self) -> dict[str, Result]:
        """Return the namespaces where a write has failed and not succeeded since, and how."""
        with self._lock:
            return self._failing.copy()

    def counts(
        self, hashes: Mapping[str, str], last_good: Mapping[str, str] = NONE_KNOWN
    ) -> dict[tuple[str, CopyState], int]:
        """Return how many copies are in which state, while the pull secrets' contents have these hashes.

        A pull secret that has no content now may have a ``last_good`` one.
        """
        with self._lock:
            counted = list(self._counts.items())
        found: Counter[tuple[str, CopyState]] = Counter()
        for standing, number in counted:
            state = standing.now(hashes.get(standing.secret), last_good.get(standing.secret))
            found[standing.secret, state] += number
        return dict(found)

    def not_current(
        self, hashes: Mapping[str, str], last_good: Mapping[str, str] = NONE_KNOWN
    ) -> Iterator[tuple[str, CopyStatus]]:
        """Yield namespace and standing of each copy that is not current, in the state that it has now."""
        with self._lock:
            records = list(self._records.items())
        for namespace, standings in records:
            for standing in standings:
                state = standing.now(hashes.get(standing.secret), last_good.get(standing.secret))
                if state is not CopyState.CURRENT:
                    yield namespace, standing if state is standing.state else CopyStatus(standing.secret, state)

    def standings(
        self, hashes: Mapping[str, str], last_good: Mapping[str, str] = NONE_KNOWN
    ) -> dict[str, tuple[tuple[str, CopyState, str], ...]]:
        """Return by namespace the name, the state and the reason of each copy, as they are now."""
        with self._lock:
            records = list(self._records.items())
        return {
            namespace: tuple(
                (each.secret, each.now(hashes.get(each.secret), last_good.get(each.secret)), each.reason)
                for each in standings
            )
            for namespace, standings in records
        }

    def _put(self, namespace: str, standings: tuple[CopyStatus, ...]) -> None:
        if self._records.get(namespace, ()) == standings:
            return
        for standing in self._records.pop(namespace, ()):
            self._counts[standing] -= 1
            if not self._counts[standing]:
                del self._counts[standing]
        if not standings:
            return
        if len(self._shared) >= SHARED_LIMIT:
            self._shared.clear()
        self._records[namespace] = self._shared.setdefault(standings, standings)
        self._counts.update(standings)


def _marked(standing: CopyStatus, failed: Mapping[str, Result]) -> CopyStatus:
    if standing.secret not in failed or standing.state is CopyState.LEAVING:
        return standing
    return CopyStatus(standing.secret, CopyState.FAILING, reason=failed[standing.secret])
