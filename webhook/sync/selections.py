"""Remember which pull secrets select each namespace: those it has lost, and how often the selection has changed.

A ServiceAccount may reference a Secret that does not exist. Our webhook adds such a reference while a source is
missing, and a person can delete a copy just before the namespace opts out. A person can also have set the reference by
hand, in a namespace that was never selected. The object looks the same in both cases, so the difference is remembered
here.

A standby remembers too, because it may take over between the opt-out and the removal. After a restart the history is
empty. Then our entry in the managedFields of a ServiceAccount is the evidence: see
:func:`webhook.rules.dangling.marked`.

A namespace that opts in and out repeatedly is slowed down. Each change of the label costs one write for each
ServiceAccount and copy, so a label that flips every two seconds would keep workers and the API server busy without
benefit. After a few changes in a row, the namespace gets turns less often, until its selection has stayed the same for
some time. A rotation still reaches the existing copies.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import msgspec

from webhook.rules.actions import NamespacePlan

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

SETTLED_SECONDS = 120.0
"""After this time no replica of the webhook adds the reference any more: see :mod:`webhook.sync.planner`."""

TAKEOVER_SECONDS = 600.0
"""Seconds in which another process could follow up a loss. An older loss is no longer ours: a person may have set the
reference since."""


class _Record(msgspec.Struct):
    """The selection of one namespace, and its losses."""

    uid: str
    selected: frozenset[str]
    lost: frozenset[str] = frozenset()
    lost_at: float = 0.0
    examined: bool = False
    """True if this process has looked for evidence of an earlier selection."""
    planned: bool = False
    """True if this process has planned the namespace since the loss."""
    is_clean: bool = False
    """True if no ServiceAccount had a reference to a lost pull secret at that time."""


class SelectionHistory:
    """The selections of all namespaces. Every method may be called from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._shared: dict[frozenset[str], frozenset[str]] = {}
        self._records: dict[str, _Record] = {}

    def observe(self, namespace: str, uid: str, selected: Collection[str]) -> None:
        """Note the pull secrets that select a namespace now."""
        names = frozenset(selected)
        with self._lock:
            # Most namespaces have the same selection, and share one set.
            names = self._shared.setdefault(names, names)
            record = self._records.get(namespace)
            # Another UID is another namespace with the same name: it has lost nothing.
            if record is None or record.uid != uid:
                self._records[namespace] = _Record(uid, names)
            elif record.selected != names:
                if newly_lost := record.selected - names:
                    record.lost |= newly_lost
                    record.lost_at, record.planned, record.is_clean = self._clock(), False, False
                # A name that is selected again is not lost, even if it was a moment ago.
                record.lost -= names
                record.selected = names

    def lost(self, namespace: str, evidence: Callable[[], Collection[str]]) -> frozenset[str]:
        """Return the recent losses of a namespace; ``evidence()`` is called at the first check by this process."""
        with self._lock:
            record = self._records.get(namespace)
            if record is None:
                return frozenset()
            if not record.examined:
                record.examined = True
                if marked := frozenset(evidence()) - record.selected:
                    record.lost |= marked
                    # The evidence is read by a plan, so this loss ends only when no reference is left.
                    record.lost_at, record.planned = self._clock(), True
            if record.lost and self._is_expired(record):
                record.lost = frozenset()
            return record.lost

    def record_plan(self, namespace: str, left: Collection[str]) -> None:
        """Note that a namespace was planned, and the lost names that a ServiceAccount still references."""
        with self._lock:
            record = self._records.get(namespace)
            if record is not None and record.lost:
                record.planned, record.is_clean = True, not left

    def forget(self, namespace: str) -> None:
        """Forget a namespace that is gone."""
        with self._lock:
            self._records.pop(namespace, None)

    def _is_expired(self, record: _Record) -> bool:
        age = self._clock() - record.lost_at
        if record.planned:
            # A replica of the webhook may still have an older label or configuration, and add the reference again.
            return record.is_clean and age >= SETTLED_SECONDS
        # Not planned here: this process was a standby, and the leader has followed up the loss.
        return age >= TAKEOVER_SECONDS


FLIPS = 5
"""Changes of the selection that are followed immediately."""

CALM_SECONDS = 60.0
"""Seconds for which a selection must stay the same to end the series of changes."""

SECONDS_PER_WRITE = 0.25
LEAST_PAUSE_SECONDS = 1.0
PAUSE_SECONDS = 5.0
"""Seconds of pause after a turn of a namespace whose selection keeps changing: so many for each write, within bounds. A
small namespace is correct a second after its last change, and a large one does not take the workers of the others."""


class _Selection(msgspec.Struct):
    """The selection of one namespace, and the number of its recent changes."""

    names: frozenset[str]
    flips: int = 0
    flipped_at: float = 0.0
    acts_at: float = 0.0
    """Time of its next turn."""


class FlapDamping:
    """The selections of all namespaces; one namespace is handled by one worker at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._shared: dict[frozenset[str], frozenset[str]] = {}
        self._selections: dict[str, _Selection] = {}

    def filter(self, namespace: str, selected: frozenset[str], plan: NamespacePlan) -> tuple[NamespacePlan, float]:
        """Return the part of a plan to do now, and the seconds until the next check; 0 for none."""
        now = self._clock()
        with self._lock:
            selected = self._shared.setdefault(selected, selected)
            selection = self._selections.get(namespace)
            if selection is None:
                # The first selection that this process sees is not a change.
                selection = self._selections[namespace] = _Selection(selected)
            if selected != selection.names:
                calm = now - selection.flipped_at >= CALM_SECONDS
                selection.flips = 1 if calm else selection.flips + 1
                selection.names, selection.flipped_at = selected, now
            # An empty plan needs no turn, and must not begin a pause for the next change.
            if selection.flips <= FLIPS or now - selection.flipped_at >= CALM_SECONDS or plan.is_empty:
                return plan, 0.0
            wait = selection.acts_at - now
            if wait <= 0:
                pause = plan.number_of_writes * SECONDS_PER_WRITE
                selection.acts_at = now + min(max(pause, LEAST_PAUSE_SECONDS), PAUSE_SECONDS)
                return plan, 0.0
        # Copies that exist follow a rotation nevertheless: Pods would pull with the previous credential.
        updates = tuple(action for action in plan.copies if action.updates is not None)
        return NamespacePlan(copies=updates, findings=plan.findings, namespace_uid=plan.namespace_uid), wait

    def forget(self, namespace: str) -> None:
        """Forget a namespace that is gone."""
        with self._lock:
            self._selections.pop(namespace, None)
