"""Spread the writes that hand the ownership of lists back over time.

After an upgrade, or after many namespaces were created at once, each ServiceAccount of the cluster may need one. None
of them is urgent, and copies and references must not wait for them.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.core.actions import NamespacePlan

PER_SECOND = 20.0
AT_ONCE = 20
"""Writes that need not wait when none were made for a second: so in daily life nothing waits."""

SETTLE_SECONDS = 5.0
"""An entry of our field manager that owns a list may be that of another release, which is about to hand it back itself
and knows to whom."""


class HandBackPace:
    """Gives each namespace that has something to hand back a time for it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = 0.0
        self._due: dict[str, float] = {}

    def hold(self, namespace: str, plan: NamespacePlan) -> tuple[NamespacePlan, float]:
        """Return the plan without what must wait, and in how many seconds to look again; 0 for not at all."""
        with self._lock:
            if not plan.hand_backs:
                self._due.pop(namespace, None)
                return plan, 0.0
            now = self._clock()
            due = self._due.get(namespace)
            if due is None:
                start = max(self._free_at, now - AT_ONCE / PER_SECOND)
                self._free_at = start + len(plan.hand_backs) / PER_SECOND
                if any(action.service_account.ownership.holds for action in plan.hand_backs):
                    start = max(start, now + SETTLE_SECONDS)
                due = self._due[namespace] = start
            if due <= now:
                del self._due[namespace]
                return plan, 0.0
            return replace(plan, hand_backs=()), due - now
