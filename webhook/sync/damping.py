"""Slow down work on a namespace that opts in and out repeatedly.

Each change of the label costs one write for each ServiceAccount and copy. So a label that flips every two seconds would
keep workers and the API server busy without benefit. After a few changes in a row, the namespace gets turns less often,
until its selection has stayed the same for some time. A rotation still reaches the existing copies.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from webhook.rules.actions import NamespacePlan

if TYPE_CHECKING:
    from collections.abc import Callable

FLIPS = 5
"""Changes of the selection that are followed immediately."""

CALM_SECONDS = 60.0
"""Seconds for which a selection must stay the same to end the series of changes."""

SECONDS_PER_WRITE = 0.25
LEAST_PAUSE_SECONDS = 1.0
PAUSE_SECONDS = 5.0
"""Seconds of pause after a turn of a namespace whose selection keeps changing: so many for each write, within bounds. A
small namespace is correct a second after its last change, and a large one does not take the workers of the others."""


@dataclass(slots=True)
class _Selection:
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

    def hold(self, namespace: str, selected: frozenset[str], plan: NamespacePlan) -> tuple[NamespacePlan, float]:
        """Return the part of a plan to do now, and the seconds until the next check; 0 for none."""
        now = self._clock()
        with self._lock:
            selected = self._shared.setdefault(selected, selected)
            selection = self._selections.setdefault(namespace, _Selection(selected))
            if selected != selection.names:
                calm = now - selection.flipped_at >= CALM_SECONDS
                selection.flips = 1 if calm else selection.flips + 1
                selection.names, selection.flipped_at = selected, now
            if selection.flips <= FLIPS or now - selection.flipped_at >= CALM_SECONDS or plan.is_empty:
                return plan, 0.0
            wait = selection.acts_at - now
            if wait <= 0:
                pause = plan.number_of_writes * SECONDS_PER_WRITE
                selection.acts_at = now + min(max(pause, LEAST_PAUSE_SECONDS), PAUSE_SECONDS)
                return plan, 0.0
        updates = tuple(action for action in plan.copies if action.updates is not None)
        return NamespacePlan(copies=updates, findings=plan.findings, namespace_uid=plan.namespace_uid), wait

    def forget(self, namespace: str) -> None:
        """Forget a namespace that is gone."""
        with self._lock:
            self._selections.pop(namespace, None)
