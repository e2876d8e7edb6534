"""Slow down work on a namespace that opts in and out again and again.

Each change of the label is worth one write for each ServiceAccount and copy. So a label that flips every two seconds
would keep workers and the API server busy for nothing. After a few changes in a row, the namespace gets one turn in a
while, until its selection has stayed the same for some time. A rotation still reaches the copies that are there.
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
"""Changes of what is selected that are followed at once."""

CALM_SECONDS = 60.0
"""A selection that has stayed the same for this long ends the series of changes."""

SECONDS_PER_WRITE = 0.25
LEAST_PAUSE_SECONDS = 1.0
PAUSE_SECONDS = 5.0
"""Pause after a turn of a namespace whose selection keeps changing: so much for each write, within bounds. A small
namespace is right again a second after its last change, and a large one does not take the workers of the others."""


@dataclass(slots=True)
class _Selection:
    """What is selected in one namespace, and how often that has changed lately."""

    names: frozenset[str]
    flips: int = 0
    flipped_at: float = 0.0
    acts_at: float = 0.0
    """When its next turn is."""


class FlapDamping:
    """The selections of all namespaces; one namespace is handled by one worker at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._shared: dict[frozenset[str], frozenset[str]] = {}
        self._selections: dict[str, _Selection] = {}

    def hold(self, namespace: str, selected: frozenset[str], plan: NamespacePlan) -> tuple[NamespacePlan, float]:
        """Return what of a plan is to be done now, and in how many seconds to look again; 0 for not at all."""
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
