"""Record the results of writes and checks by namespace, the last check of all, and how far rotations are.

A scrape reads a few numbers, even with many namespaces. A rotation makes every copy stale immediately, without any
update, because copies are counted by the hash of their content.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from webhook.errors import ApiError, ApiUnavailable, Conflict, Invalid, NotFound, Refused, Throttled
from webhook.rules.copy_status import NO_HASHES, CopyState, CopyStatus
from webhook.rules.gates import selected_pull_secrets
from webhook.rules.ownership import Ownership, ownership_of
from webhook.rules.rollout import HoldReason, Progress, Stage, priority_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from webhook.rules.configuration import Configuration, PullSecret
    from webhook.rules.objects import Copy, Namespace
    from webhook.rules.rollout import Rollout
    from webhook.sync.caches import Caches


class WriteReverted(Conflict):
    """The write was accepted, and a webhook reverted it in the same request."""


Expected: TypeAlias = "Mapping[str, str | frozenset[str]]"
"""By pull secret: the hash that its copies have while they are current, or several while it is rolled out."""


class Result(StrEnum):
    """The result of a write."""

    OK = "ok"
    CONFLICT = "conflict"
    UNDONE = "undone"
    DENIED = "denied"
    INVALID = "invalid"
    NOT_FOUND = "not-found"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    ERROR = "error"


# The first match counts, so a class comes before its bases: WriteReverted is a Conflict, and Invalid is Refused.
_RESULTS = (
    (WriteReverted, Result.UNDONE),
    (Conflict, Result.CONFLICT),
    (Invalid, Result.INVALID),
    (Refused, Result.DENIED),
    (NotFound, Result.NOT_FOUND),
    (Throttled, Result.THROTTLED),
    (ApiUnavailable, Result.UNAVAILABLE),
)


def result_of(error: ApiError) -> Result:
    """Return the result of a write that raised ``error``."""
    return next((result for kind, result in _RESULTS if isinstance(error, kind)), Result.ERROR)


SHARED_LIMIT = 1000
"""Different records kept for sharing: most namespaces have equal states, and share one record."""


_NOT_REACHABLE = frozenset({CopyState.CONFLICTING, CopyState.LEAVING})
"""States of copies that never get a content."""


class StatusIndex:
    """The copy states by namespace; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, tuple[CopyStatus, ...]] = {}
        self._shared: dict[tuple[CopyStatus, ...], tuple[CopyStatus, ...]] = {}
        self._counts: Counter[CopyStatus] = Counter()
        self._failed: dict[str, dict[str, Result]] = {}
        self._failing: dict[str, Result] = {}

    def record(self, namespace: str, copy_statuses: Iterable[CopyStatus], due: Collection[str] = ()) -> None:
        """Set the states of a namespace's copies; ``due`` are the names of those that are to be written."""
        with self._lock:
            statuses = tuple(copy_statuses)
            if namespace in self._failed:
                # Until its retry, each plan finds the copy missing or stale. That must not hide the failure.
                failed = {name: result for name, result in self._failed.pop(namespace).items() if name in due}
                if failed:
                    self._failed[namespace] = failed
                    statuses = tuple(_with_failure(status, failed) for status in statuses)
            self._put(namespace, statuses)

    def copy_failed(self, namespace: str, secret: str, result: Result) -> None:
        """Note that a copy could not be written; this state stays until the copy is no longer due."""
        with self._lock:
            failed = self._failed.setdefault(namespace, {})
            failed[secret] = result
            self._put(namespace, tuple(_with_failure(status, failed) for status in self._records.get(namespace, ())))

    def namespace_failed(self, namespace: str, result: Result) -> None:
        """Note that a write of any kind has failed in a namespace."""
        with self._lock:
            self._failing[namespace] = result

    def namespace_done(self, namespace: str) -> None:
        """Note that all writes of a namespace have been made."""
        with self._lock:
            self._failing.pop(namespace, None)

    def clear(self) -> None:
        """Clear all state; a standby does not track copies."""
        with self._lock:
            for index in (self._records, self._shared, self._counts, self._failed, self._failing):
                index.clear()

    def namespaces(self) -> set[str]:
        """Return the namespaces that have a record."""
        with self._lock:
            # A namespace without copies has no record, but a write of its references may fail.
            return {*self._records, *self._failing}

    def failing(self) -> dict[str, Result]:
        """Return the namespaces with a failed write and no success since, with the result of that write."""
        with self._lock:
            return self._failing.copy()

    def reach(self, secret: str, content_hash: str) -> tuple[int, int]:
        """Return how many copies of a pull secret have a content, and how many there are or should be."""
        with self._lock:
            counted = [(status, number) for status, number in self._counts.items() if status.secret == secret]
        reachable = [(status, number) for status, number in counted if status.state not in _NOT_REACHABLE]
        reached = sum(number for status, number in reachable if status.content_hash == content_hash)
        return reached, sum(number for _, number in reachable)

    def counts(self, hashes: Expected, last_good: Mapping[str, str] = NO_HASHES) -> dict[tuple[str, CopyState], int]:
        """Return the number of copies in each state, given these hashes of the pull secrets' contents.

        A pull secret that has no content now may have a ``last_good`` one.
        """
        with self._lock:
            # Copied under the lock and judged without it, so that a scrape does not hold up the workers.
            counted = list(self._counts.items())
        counts: Counter[tuple[str, CopyState]] = Counter()
        for status, number in counted:
            state = status.current_state(hashes.get(status.secret), last_good.get(status.secret))
            counts[status.secret, state] += number
        return dict(counts)

    def not_current(
        self, hashes: Expected, last_good: Mapping[str, str] = NO_HASHES
    ) -> Iterator[tuple[str, CopyStatus]]:
        """Yield namespace and state of each copy that is not current now."""
        with self._lock:
            records = list(self._records.items())
        for namespace, copy_statuses in records:
            for status in copy_statuses:
                state = status.current_state(hashes.get(status.secret), last_good.get(status.secret))
                if state is not CopyState.CURRENT:
                    yield namespace, status if state is status.state else CopyStatus(status.secret, state)

    def by_namespace(
        self, hashes: Expected, last_good: Mapping[str, str] = NO_HASHES
    ) -> dict[str, tuple[tuple[str, CopyState, str], ...]]:
        """Return by namespace the name, the present state and the reason of each copy."""
        with self._lock:
            records = list(self._records.items())

        def present(status: CopyStatus) -> tuple[str, CopyState, str]:
            state = status.current_state(hashes.get(status.secret), last_good.get(status.secret))
            return status.secret, state, status.reason

        # Most namespaces have equal records, so only the different ones are computed.
        computed = {statuses: tuple(map(present, statuses)) for statuses in {statuses for _, statuses in records}}
        return {namespace: computed[statuses] for namespace, statuses in records}

    def _put(self, namespace: str, copy_statuses: tuple[CopyStatus, ...]) -> None:
        if self._records.get(namespace, ()) == copy_statuses:
            return
        for status in self._records.pop(namespace, ()):
            self._counts[status] -= 1
            # Otherwise each rotation would leave an entry for the previous hash.
            if not self._counts[status]:
                del self._counts[status]
        if not copy_statuses:
            return
        # Only the sharing begins again: the records keep their tuples.
        if len(self._shared) >= SHARED_LIMIT:
            self._shared.clear()
        # Most namespaces have the same statuses, so 10,000 of them share a few tuples.
        self._records[namespace] = self._shared.setdefault(copy_statuses, copy_statuses)
        for status in copy_statuses:
            self._counts[status] += 1


def _with_failure(status: CopyStatus, failed: Mapping[str, Result]) -> CopyStatus:
    if status.secret not in failed or status.state is CopyState.LEAVING:
        return status
    return CopyStatus(status.secret, CopyState.FAILING, reason=failed[status.secret])


class Resync:
    """The names that a pass has not reached yet. A new pass replaces one that has not ended."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._remaining: set[str] | None = None
        self._since = clock()
        self.is_complete = False
        """True if a pass has ended since this process began to check."""

    def begin(self, names: Iterable[str]) -> None:
        """Start a pass over these names."""
        with self._lock:
            self._remaining = set(names)
            self._end_if_done()

    def checked(self, name: str) -> None:
        """Note that a name has been checked, with any result."""
        with self._lock:
            if self._remaining is not None:
                self._remaining.discard(name)
                self._end_if_done()

    def restart(self) -> None:
        """Count from now on: this process has just begun to check."""
        with self._lock:
            self._remaining = None
            self._since = self._clock()
            self.is_complete = False

    @property
    def seconds_since(self) -> float:
        """Seconds since the last pass ended; before the end of the first pass, seconds since this process began."""
        return self._clock() - self._since

    def _end_if_done(self) -> None:
        if not self._remaining:
            self._remaining = None
            self._since = self._clock()
            self.is_complete = True


_BEHIND = (CopyState.STALE, CopyState.MISSING, CopyState.FAILING, CopyState.KEPT)
"""States of copies that a rotation has not reached. One that conflicts or is leaving is never reached."""


class Rotations:
    """Measures each rotation: from a new content of a pull secret until every copy of it is current.

    Every method may be called from any thread.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._hashes: dict[str, str] = {}
        self._begun: dict[str, float] = {}
        self._seconds: dict[str, float] = {}

    def follow(self, hashes: Mapping[str, str], *, measured: bool) -> None:
        """Note the hashes of the present contents; a changed one begins a rotation.

        If it is not ``measured``, the states of all copies are not known yet, so it has no duration.
        """
        with self._lock:
            for name, content_hash in hashes.items():
                previous_hash = self._hashes.get(name)
                if previous_hash == content_hash:
                    continue
                self._hashes[name] = content_hash
                self._seconds.pop(name, None)
                # A rotation that a newer content overtakes has no duration: its copies were never all current.
                self._begun.pop(name, None)
                # The first content that a process sees is not a rotation: the copies may have had it for days.
                if previous_hash is not None and measured:
                    self._begun[name] = self._clock()

    def forget(self) -> None:
        """Forget all durations: another process may have rotated meanwhile."""
        with self._lock:
            self._begun.clear()
            self._seconds.clear()

    @property
    def under_way(self) -> bool:
        """True if there is a rotation to observe."""
        # Without the lock, because each turn of a worker reads it.
        return bool(self._begun)

    def observe(self, counts: Mapping[tuple[str, CopyState], int]) -> None:
        """End each rotation that has reached all copies, given the present number of copies in each state."""
        with self._lock:
            for name in [name for name in self._begun if not any(counts.get((name, state)) for state in _BEHIND)]:
                self._seconds[name] = self._clock() - self._begun.pop(name)

    def seconds(self, name: str) -> float | None:
        """Return the duration of the last rotation of a pull secret; None if it is not known or not over."""
        return self._seconds.get(name)


_BEFORE_ROLLING_OUT = frozenset({Stage.PROPOSED, Stage.PROVED, Stage.CANARY})


class RolloutReach:
    """Reads the caches and the states of copies; a Secret that is not ours is never reached, and does not count."""

    def __init__(self, caches: Caches, status_index: StatusIndex) -> None:
        self._caches = caches
        self._status_index = status_index

    def progress(self, configuration: Configuration, name: str, rollout: Rollout) -> Progress:
        """Return the copies that have the proposed content of a pull secret."""
        entry = next((entry for entry in configuration.pull_secrets if entry.name == name), None)
        if entry is None or not self._is_listed(name):
            # An unread copy counts as not reached: otherwise a new leader could end a rollout with empty caches.
            return Progress(remaining=1)
        content = rollout.proposed or rollout.base
        reached, total = self._status_index.reach(name, content)
        # Only in the stages that it decides, because the search for it passes all namespaces.
        needs_canary = rollout.stage in _BEFORE_ROLLING_OUT or rollout.reason is HoldReason.CANARY_EMPTY
        canary = list(self._canary(configuration, entry)) if needs_canary else []
        remaining = total - reached
        if rollout.stage is Stage.ROLLING_OUT and not remaining:
            # The index knows a namespace only after its first plan, so the end of a rollout is counted.
            remaining = sum(not _has(copy, content) for copy in self._copies(configuration, name))
        return Progress(len(canary), sum(_has(copy, content) for copy in canary), remaining, total)

    def in_canary(self, configuration: Configuration, name: str, content: str) -> list[str]:
        """Return the canary namespaces whose copy has a content, in order."""
        entry = next((entry for entry in configuration.pull_secrets if entry.name == name), None)
        if entry is None or not self._is_listed(name):
            return []
        copies = self._canary(configuration, entry)
        return sorted(copy.namespace for copy in copies if copy is not None and copy.content_hash == content)

    def outdated(self, configuration: Configuration, name: str, content: str) -> list[str]:
        """Return the namespaces whose copy has another content, in the order in which they get it.

        The API server refuses Pods of ServiceAccounts that enforce their references more often, so these come first.
        """
        caches = self._caches
        names = [
            copy.namespace
            # A missing copy needs no turn: it is written without delay, because Pods cannot pull without it.
            for copy in (self._copies(configuration, name) if self._is_listed(name) else ())
            if copy is not None and copy.content_hash != content
        ]
        return sorted(names, key=lambda namespace: (not caches.enforces_references(namespace), *self._rank(namespace)))

    def _rank(self, namespace: str) -> tuple[int, str]:
        cached = self._caches.namespaces.get(namespace)
        return (0 if cached is None else -priority_of(cached.labels)), namespace

    def _is_listed(self, name: str) -> bool:
        return self._caches.has_synced and self._caches.has_listed(name)

    def _canary(self, configuration: Configuration, entry: PullSecret) -> Iterator[Copy | None]:
        if entry.rollout is None:
            return
        for namespace in self._caches.namespaces.names():
            if entry.rollout.is_canary(namespace) and (cached := self._caches.namespaces.get(namespace)) is not None:
                yield from self._copy(configuration, cached, entry.name)

    def _copies(self, configuration: Configuration, name: str) -> Iterator[Copy | None]:
        """Yield the copy of each selected namespace; None where it is missing."""
        for namespace in self._caches.namespaces.names():
            if (cached := self._caches.namespaces.get(namespace)) is not None:
                yield from self._copy(configuration, cached, name)

    def _copy(self, configuration: Configuration, namespace: Namespace, name: str) -> Iterator[Copy | None]:
        """Yield the copy in a namespace that is to have one, if it does not hold a foreign Secret."""
        if all(entry.name != name for entry in selected_pull_secrets(configuration, namespace)):
            return
        copy = self._caches.copy(namespace.name, name)
        # A rollout that waited for a Secret of somebody else would never end.
        if copy is None or ownership_of(copy.mark, namespace.uid) is not Ownership.FOREIGN:
            yield copy


def _has(copy: Copy | None, content: str) -> bool:
    return copy is not None and copy.content_hash == content
