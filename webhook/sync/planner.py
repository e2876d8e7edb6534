"""Plan the writes of one namespace, without those that have to wait.

The writes that hand the ownership of lists back are spread over time. After an upgrade each ServiceAccount of the
cluster may need one. They are not urgent, and copies and references must not wait for them.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from webhook.rules.actions import EMPTY
from webhook.rules.copy_status import standings
from webhook.rules.dangling import left_over, marked
from webhook.rules.gates import selected_pull_secrets
from webhook.rules.plan import plan_namespace
from webhook.sync.damping import FlapDamping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from webhook.rules.actions import NamespacePlan
    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import NamespaceState
    from webhook.sync.brake import Brake
    from webhook.sync.caches import Caches
    from webhook.sync.contention import Contention
    from webhook.sync.events import Notices
    from webhook.sync.removal_delay import RemovalDelay
    from webhook.sync.status_index import StatusIndex

PER_SECOND = 20.0
AT_ONCE = 20
"""Writes that need not wait if none were made for a second, so that usually none waits."""

SETTLE_SECONDS = 5.0
"""Seconds to wait. An entry of our field manager that owns a list may belong to another release. That release may be
about to hand it back itself, to the right owner."""


class HandBackPace:
    """Schedules the hand-back of each namespace that needs one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = 0.0
        self._due: dict[str, float] = {}

    def hold(self, namespace: str, plan: NamespacePlan) -> tuple[NamespacePlan, float]:
        """Return the plan without the writes that must wait, and the seconds until the next check; 0 for none."""
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


class Planner:
    """Plans from the caches."""

    def __init__(
        self,
        caches: Caches,
        contention: Contention,
        grace: RemovalDelay,
        ledger: StatusIndex,
        notices: Notices,
        brake: Brake | None = None,
    ) -> None:
        self._brake = brake
        self._caches = caches
        self._contention = contention
        self._grace = grace
        self._ledger = ledger
        self._notices = notices
        self._damping = FlapDamping()
        self._hand_backs = HandBackPace()

    def plan(
        self, name: str, configuration: Configuration, hashes: Mapping[str, str | None]
    ) -> tuple[NamespacePlan, float]:
        """Return the writes for a namespace now, and the seconds until the next check; 0 for none."""
        namespace = self._caches.namespaces.get(name)
        if namespace is None or not self._caches.has_synced:
            self._ledger.record(name, ())
            self._notices.found(name, ())
            self._contention.forget(name)
            self._damping.forget(name)
            return self._grace.hold(name, EMPTY)
        if namespace.terminating:
            self._contention.forget(name)
        state = self._caches.state_of(namespace)
        readable = self._caches.readable_part(configuration)
        known = self._caches.known_part(readable)
        # The whole configuration: a name that becomes judgeable at a start is not a change of the namespace.
        selected = frozenset(entry.name for entry in selected_pull_secrets(configuration, namespace))
        lost = self._lost(state, configuration, selected)
        plan = plan_namespace(state, known, hashes, readable, lost)
        self._ledger.record(name, standings(state, known), {action.name for action in plan.copies})
        self._notices.found(name, plan.findings)
        if self._brake is not None:
            plan = self._brake.hold(state, plan)
        plan, contended = self._contention.hold(state, plan)
        plan, leaving = self._grace.hold(name, plan)
        plan, paced = self._hand_backs.hold(name, plan)
        plan, damped = self._damping.hold(name, selected, plan)
        if damped:
            self._notices.flapping(name)
        return plan, min(filter(None, (contended, leaving, paced, damped)), default=0.0)

    def _lost(self, state: NamespaceState, configuration: Configuration, selected: frozenset[str]) -> frozenset[str]:
        """Return the names for which a namespace was selected before."""
        name, history = state.namespace.name, self._caches.selections
        if state.namespace.terminating:
            return frozenset()
        history.saw(name, state.namespace.uid, selected)
        lost = history.lost(name, lambda: marked(state, configuration))
        if lost:
            history.followed(name, left_over(state, lost))
        return lost
