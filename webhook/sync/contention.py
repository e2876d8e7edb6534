"""Hold back writes that another writer reverts repeatedly.

A removed or changed object is restored immediately, because it was usually a mistake. If the same change is reverted
repeatedly, another controller is probably fighting us, and both would write as fast as they can. So after some reverts
in a row an object is restored only occasionally, until a write stays unchanged for a while.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from webhook.kube.resources import SECRETS, SERVICE_ACCOUNTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from webhook.rules.actions import NamespacePlan
    from webhook.rules.objects import NamespaceState

CALM_SECONDS = 120.0
"""A write that stayed for this long counts as accepted. It is longer than any pause, so that a pause alone does not
count.
"""


@dataclass(frozen=True, slots=True)
class Patience:
    """The number of reverts in a row that are answered immediately; after them, one write in ``seconds``."""

    undoings: int
    seconds: float


REFERENCES = Patience(5, 60.0)
"""For a ServiceAccount: one write a minute."""

COPIES = Patience(5, 3.0)
"""For a copy: more often, because existing Pods pull with it."""


@dataclass(frozen=True, slots=True)
class Written:
    """The last content written to one object, its time, and the number of reverts in a row before it."""

    what: frozenset[str]
    at: float
    undone: int = 0


def written(before: Written | None, what: frozenset[str], now: float, *, keeps: bool) -> Written:
    """Return the record of an object after ``what`` has been written to it.

    ``keeps`` is true if earlier content must stay as well: references stay beside others, while the content of a copy
    replaces the previous one. Content that is written again has been reverted.
    """
    if before is None or now - before.at >= CALM_SECONDS:
        return Written(what, now)
    undone = before.undone + (not what.isdisjoint(before.what))
    return Written(before.what | what if keeps else what, now, undone)


def wait(before: Written | None, now: float, patience: Patience) -> float:
    """Return the seconds until an object may be written; 0 if it may be written now."""
    if before is None or not is_contended(before, now, patience):
        return 0.0
    return max(0.0, before.at + patience.seconds - now)


def is_contended(record: Written, now: float, patience: Patience) -> bool:
    """Return whether another writer keeps reverting our writes to an object."""
    return record.undone >= patience.undoings and now - record.at < CALM_SECONDS


FRESH_LIMIT = 2000
"""Objects remembered that have not been reverted yet. A cold start writes more. If an object finds no place, its second
reversion is noticed instead of the first. Contended objects are all remembered."""

PRUNE_SECONDS = 10.0
"""Seconds between two prunings when there is no place left."""

_REFERENCES, _COPY = SERVICE_ACCOUNTS.kind, SECRETS.kind
_PATIENCE = {_REFERENCES: REFERENCES, _COPY: COPIES}


@dataclass(frozen=True, slots=True)
class Contended:
    """An object that is reverted repeatedly; ``what`` are the references, or the hash of the content."""

    kind: str
    namespace: str
    name: str
    what: frozenset[str]

    @property
    def pause(self) -> float:
        """Seconds between two writes of it at least."""
        return _PATIENCE[self.kind].seconds


class Contention:
    """The recent writes by namespace and object; every method may be called from any thread.

    ``told(contended)`` is called after each write of an object that is reverted repeatedly.
    """

    def __init__(
        self, told: Callable[[Contended], None] = lambda _: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._told = told
        self._clock = clock
        self._lock = threading.Lock()
        self._written: dict[str, dict[tuple[str, str], Written]] = {}
        # Most objects get the same names: one shared set for all of them, not a set for each.
        self._shared: dict[frozenset[str], frozenset[str]] = {}
        self._fresh = 0
        self._undone = 0
        self._pruned_at = clock()

    @property
    def undone(self) -> int:
        """Number of writes since the start that had to be repeated because they were reverted."""
        return self._undone

    def contended(self) -> list[Contended]:
        """Return the objects that are held back now."""
        now = self._clock()
        with self._lock:
            self._prune(now)
            return [
                Contended(kind, namespace, name, record.what)
                for namespace, records in self._written.items()
                for (kind, name), record in records.items()
                if is_contended(record, now, _PATIENCE[kind])
            ]

    def hold(self, state: NamespaceState, plan: NamespacePlan) -> tuple[NamespacePlan, float]:
        """Return the part of a plan to do now, and the seconds until the next check; 0 for none."""
        namespace, now = state.namespace.name, self._clock()
        if namespace not in self._written:
            return plan, 0.0
        with self._lock:
            # A ServiceAccount that is deleted and created again was not reverted.
            there = {account.name for account in state.service_accounts}
            self._forget(
                namespace, [key for key in self._records(namespace) if key[0] == _REFERENCES and key[1] not in there]
            )
            accounts = self._waits(namespace, _REFERENCES, _accounts(plan), now)
            copies = self._waits(namespace, _COPY, (action.name for action in plan.copies), now)
        waits = [*accounts.values(), *copies.values()]
        return (plan.without(copies=copies, additions_to=accounts), min(waits)) if waits else (plan, 0.0)

    def wrote_references(self, namespace: str, account: str, names: Iterable[str]) -> None:
        """Remember that a ServiceAccount has been given references."""
        self._wrote(namespace, (_REFERENCES, account), frozenset(names), keeps=True)

    def removed_references(self, namespace: str, account: str) -> None:
        """Forget the references of a ServiceAccount, because we have removed them ourselves."""
        with self._lock:
            self._forget(namespace, [(_REFERENCES, account)])

    def wrote_copy(self, namespace: str, name: str, content: str) -> None:
        """Remember the hash of the content that was written to a copy."""
        self._wrote(namespace, (_COPY, name), frozenset((content,)), keeps=False)

    def deleted_copy(self, namespace: str, name: str) -> None:
        """Forget the content of a copy, because we have deleted it ourselves."""
        with self._lock:
            self._forget(namespace, [(_COPY, name)])

    def forget(self, namespace: str) -> None:
        """Forget a namespace that is gone."""
        if namespace in self._written:
            with self._lock:
                self._forget(namespace, list(self._records(namespace)))

    def _wrote(self, namespace: str, key: tuple[str, str], what: frozenset[str], *, keeps: bool) -> None:
        now = self._clock()
        with self._lock:
            before = self._records(namespace).get(key)
            record = written(before, self._shared.setdefault(what, what), now, keeps=keeps)
            self._undone += record.undone > (before.undone if before else 0)
            self._remember(namespace, key, record)
        if is_contended(record, now, _PATIENCE[key[0]]):
            self._told(Contended(key[0], namespace, key[1], record.what))

    def _waits(self, namespace: str, kind: str, names: Iterable[str], now: float) -> dict[str, float]:
        records = self._records(namespace)
        waits = {name: wait(records.get((kind, name)), now, _PATIENCE[kind]) for name in names}
        return {name: seconds for name, seconds in waits.items() if seconds > 0}

    def _records(self, namespace: str) -> dict[tuple[str, str], Written]:
        return self._written.get(namespace, {})

    def _remember(self, namespace: str, key: tuple[str, str], record: Written) -> None:
        self._forget(namespace, [key])
        if not record.undone:
            if self._fresh >= FRESH_LIMIT and record.at - self._pruned_at >= PRUNE_SECONDS:
                self._prune(record.at)
            if self._fresh >= FRESH_LIMIT:
                return
            self._fresh += 1
        self._written.setdefault(namespace, {})[key] = record

    def _forget(self, namespace: str, keys: Iterable[tuple[str, str]]) -> None:
        records = self._records(namespace)
        for key in keys:
            record = records.pop(key, None)
            self._fresh -= record is not None and not record.undone
        if not records:
            self._written.pop(namespace, None)

    def _prune(self, now: float) -> None:
        self._pruned_at = now
        self._shared.clear()
        for namespace, records in list(self._written.items()):
            self._forget(namespace, [key for key, record in records.items() if now - record.at >= CALM_SECONDS])


def _accounts(plan: NamespacePlan) -> Iterable[str]:
    return (action.service_account.name for action in (*plan.required, *plan.additions))
