"""Hold back writes that another writer reverts repeatedly.

A removed or changed object is restored immediately, because it was usually a mistake. If the same change is reverted
repeatedly, another controller is probably fighting us, and both would write as fast as they can. So after some reverts
in a row an object is restored only occasionally, until a write stays unchanged for a while.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import msgspec

from webhook.kube.resources import SECRETS, SERVICE_ACCOUNTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from webhook.rules.actions import NamespacePlan
    from webhook.rules.objects import NamespaceState

CALM_SECONDS = 120.0
"""A write that stayed for this long counts as accepted. It is longer than any pause, so that a pause alone does not
count.
"""


class BackoffPolicy(msgspec.Struct, frozen=True):
    """The number of reverts in a row that are answered immediately; after them, one write in ``interval`` seconds."""

    reverts: int
    interval: float


REFERENCES = BackoffPolicy(5, 60.0)
"""For a ServiceAccount: one write a minute."""

COPIES = BackoffPolicy(5, 3.0)
"""For a copy: more often, because existing Pods pull with it."""


class WriteRecord(msgspec.Struct, frozen=True):
    """The last content written to one object, its time, and the number of reverts in a row before it."""

    content: frozenset[str]
    written_at: float
    reverts: int = 0


def record_write(before: WriteRecord | None, content: frozenset[str], now: float, *, accumulates: bool) -> WriteRecord:
    """Return the record of an object after ``content`` has been written to it.

    ``accumulates`` is true if earlier content must stay as well: references stay beside others, while the content of a
    copy replaces the previous one. Content that is written again has been reverted.
    """
    if before is None or now - before.written_at >= CALM_SECONDS:
        return WriteRecord(content, now)
    # Content that is written for the first time, as in a rotation, was not missing because somebody reverted it.
    reverts = before.reverts + (not content.isdisjoint(before.content))
    return WriteRecord(before.content | content if accumulates else content, now, reverts)


def backoff(before: WriteRecord | None, now: float, policy: BackoffPolicy) -> float:
    """Return the seconds until an object may be written; 0 if it may be written now."""
    if before is None or not is_contended(before, now, policy):
        return 0.0
    return max(0.0, before.written_at + policy.interval - now)


def is_contended(record: WriteRecord, now: float, policy: BackoffPolicy) -> bool:
    """Return whether another writer keeps reverting our writes to an object."""
    return record.reverts >= policy.reverts and now - record.written_at < CALM_SECONDS


FRESH_LIMIT = 2000
"""Objects remembered that have not been reverted yet. A cold start writes more. If an object finds no place, its second
reversion is noticed instead of the first. Contended objects are all remembered."""

PRUNE_SECONDS = 10.0
"""Seconds between two prunings when there is no place left."""

_REFERENCES, _COPY = SERVICE_ACCOUNTS.kind, SECRETS.kind
_POLICIES = {_REFERENCES: REFERENCES, _COPY: COPIES}


class ContendedObject(msgspec.Struct, frozen=True):
    """An object that is reverted repeatedly; ``content`` are the references, or the hash of the content."""

    kind: str
    namespace: str
    name: str
    content: frozenset[str]

    @property
    def pause(self) -> float:
        """Seconds between two writes of it at least."""
        return _POLICIES[self.kind].interval


class Contention:
    """The recent writes by namespace and object; every method may be called from any thread.

    ``on_contended(contended)`` is called after each write of an object that is reverted repeatedly.
    """

    def __init__(
        self,
        on_contended: Callable[[ContendedObject], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_contended = on_contended
        self._clock = clock
        self._lock = threading.Lock()
        self._written: dict[str, dict[tuple[str, str], WriteRecord]] = {}
        # Most objects get the same names: one shared set for all of them, not a set for each.
        self._shared: dict[frozenset[str], frozenset[str]] = {}
        self._fresh = 0
        self._reverts = 0
        self._pruned_at = clock()

    @property
    def reverts(self) -> int:
        """Number of writes since the start that had to be repeated because they were reverted."""
        return self._reverts

    def contended(self) -> list[ContendedObject]:
        """Return the objects that are held back now."""
        now = self._clock()
        with self._lock:
            # The status reads this regularly. With few objects there is no other moment to forget those that are calm.
            self._prune(now)
            return [
                ContendedObject(kind, namespace, name, record.content)
                for namespace, records in self._written.items()
                for (kind, name), record in records.items()
                if is_contended(record, now, _POLICIES[kind])
            ]

    def filter(self, state: NamespaceState, plan: NamespacePlan) -> tuple[NamespacePlan, float]:
        """Return the part of a plan to do now, and the seconds until the next check; 0 for none."""
        namespace, now = state.namespace.name, self._clock()
        # Without the lock: nearly all namespaces are not in the memory, and each plan passes here.
        if namespace not in self._written:
            return plan, 0.0
        with self._lock:
            # A ServiceAccount that is deleted and created again was not reverted.
            existing = {account.name for account in state.service_accounts}
            self._drop(
                namespace, [key for key in self._records(namespace) if key[0] == _REFERENCES and key[1] not in existing]
            )
            if plan.is_empty:
                return plan, 0.0  # as after each of our own writes
            accounts = self._backoffs(namespace, _REFERENCES, _accounts(plan), now)
            copies = self._backoffs(namespace, _COPY, (action.name for action in plan.copies), now)
        waits = [*accounts.values(), *copies.values()]
        return (plan.without(copies=copies, additions_to=accounts), min(waits)) if waits else (plan, 0.0)

    def record_references(self, namespace: str, account: str, names: Iterable[str]) -> None:
        """Remember that a ServiceAccount has been given references."""
        self._record(namespace, (_REFERENCES, account), frozenset(names), accumulates=True)

    def removed_references(self, namespace: str, account: str) -> None:
        """Forget the references of a ServiceAccount, because we have removed them ourselves."""
        with self._lock:
            self._drop(namespace, [(_REFERENCES, account)])

    def record_copy(self, namespace: str, name: str, content: str) -> None:
        """Remember the hash of the content that was written to a copy."""
        self._record(namespace, (_COPY, name), frozenset((content,)), accumulates=False)

    def deleted_copy(self, namespace: str, name: str) -> None:
        """Forget the content of a copy, because we have deleted it ourselves."""
        with self._lock:
            self._drop(namespace, [(_COPY, name)])

    def forget(self, namespace: str) -> None:
        """Forget a namespace that is gone."""
        if namespace in self._written:
            with self._lock:
                self._drop(namespace, list(self._records(namespace)))

    def _record(self, namespace: str, key: tuple[str, str], content: frozenset[str], *, accumulates: bool) -> None:
        now = self._clock()
        with self._lock:
            before = self._records(namespace).get(key)
            # With tokens, each copy has a content of its own, and another one after each renewal.
            if len(self._shared) >= FRESH_LIMIT:
                self._shared.clear()
            record = record_write(before, self._shared.setdefault(content, content), now, accumulates=accumulates)
            self._reverts += record.reverts > (before.reverts if before else 0)
            self._store(namespace, key, record)
        if is_contended(record, now, _POLICIES[key[0]]):
            # Without the lock, because the callback logs and queues an Event.
            self._on_contended(ContendedObject(key[0], namespace, key[1], record.content))

    def _backoffs(self, namespace: str, kind: str, names: Iterable[str], now: float) -> dict[str, float]:
        records = self._records(namespace)
        waits = {name: backoff(records.get((kind, name)), now, _POLICIES[kind]) for name in names}
        return {name: seconds for name, seconds in waits.items() if seconds > 0}

    def _records(self, namespace: str) -> dict[tuple[str, str], WriteRecord]:
        return self._written.get(namespace, {})

    def _store(self, namespace: str, key: tuple[str, str], record: WriteRecord) -> None:
        # Dropped first, so that an object whose write has just been reverted no longer takes the place of a fresh one.
        self._drop(namespace, [key])
        if not record.reverts:
            if self._fresh >= FRESH_LIMIT and record.written_at - self._pruned_at >= PRUNE_SECONDS:
                self._prune(record.written_at)
            # The memory is bounded. An object that is left out is noticed at its next revert instead.
            if self._fresh >= FRESH_LIMIT:
                return
            self._fresh += 1
        self._written.setdefault(namespace, {})[key] = record

    def _drop(self, namespace: str, keys: Iterable[tuple[str, str]]) -> None:
        records = self._records(namespace)
        for key in keys:
            record = records.pop(key, None)
            self._fresh -= record is not None and not record.reverts
        # filter() looks without the lock for the namespace: an empty entry would send each of its plans into the lock.
        if not records:
            self._written.pop(namespace, None)

    def _prune(self, now: float) -> None:
        self._pruned_at = now
        # Contents of earlier rotations, of which no copy has a record any more, must not stay forever.
        self._shared.clear()
        for namespace, records in list(self._written.items()):
            self._drop(namespace, [key for key, record in records.items() if now - record.written_at >= CALM_SECONDS])


def _accounts(plan: NamespacePlan) -> Iterable[str]:
    return (action.service_account.name for action in (*plan.required, *plan.additions))
