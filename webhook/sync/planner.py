"""Plan the writes of one namespace, and hold back those that have to wait.

:class:`Planner` reads the caches and returns what is due. :class:`PlanFilters` takes out what has to wait, and returns
when to look again. The controller reports and records what they found.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from webhook.rules.actions import EMPTY
from webhook.rules.copy_status import copy_statuses
from webhook.rules.dangling import names_written_by_us, still_referenced
from webhook.rules.gates import selected_pull_secrets
from webhook.rules.namespace_tokens import is_urgent, renewal_time
from webhook.rules.plan import plan_namespace
from webhook.sync.rollouts import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from webhook.rules.actions import ApplyCopy, NamespacePlan
    from webhook.rules.configuration import Configuration
    from webhook.rules.copy_status import CopyStatus
    from webhook.rules.objects import NamespaceState
    from webhook.sync.caches import Caches
    from webhook.sync.configuration import Brake
    from webhook.sync.contention import Contention
    from webhook.sync.rollouts import Rollouts
    from webhook.sync.selections import FlapDamping


@dataclass(frozen=True, slots=True)
class PlannedNamespace:
    """The due writes of one namespace, and the findings on the way."""

    state: NamespaceState
    plan: NamespacePlan
    copies: tuple[CopyStatus, ...]
    """The states of its copies."""
    selected: frozenset[str]
    """The pull secrets that select it."""
    now: datetime = field(compare=False)
    renewal_after: float = 0.0
    """Seconds until a token in one of its copies is due; 0 for none."""


class Planner:
    """Plans from the caches."""

    def __init__(self, caches: Caches, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._caches = caches
        self._now = now

    def plan(
        self, name: str, configuration: Configuration, hashes: Mapping[str, str | None]
    ) -> PlannedNamespace | None:
        """Return everything that is due in a namespace; None if it does not exist, or is not known yet."""
        namespace = self._caches.namespaces.get(name)
        if namespace is None or not self._caches.has_synced:
            return None
        state = self._caches.state_of(namespace)
        readable = self._caches.readable_part(configuration)
        known_part = self._caches.known_part(readable)
        entries = selected_pull_secrets(known_part, namespace)
        # The whole configuration: a name that becomes judgeable at a start is not a change of the namespace.
        all_entries = entries if known_part is configuration else selected_pull_secrets(configuration, namespace)
        selected = frozenset([entry.name for entry in all_entries])
        lost = self._lost_names(state, configuration, selected)
        now = self._now()
        # One time for all: a token that comes due between two readings would be in no plan, and not be waited for.
        plan = plan_namespace(state, known_part, hashes, readable, lost, now, entries)
        statuses = tuple(copy_statuses(state, known_part, hashes, now, entries))
        return PlannedNamespace(state, plan, statuses, selected, now, self._next_renewal(state, now))

    def _next_renewal(self, state: NamespaceState, now: datetime) -> float:
        """Return the seconds until a token in a copy is renewed, or until it expires; 0 for none."""
        if state.token_accounts is None:
            return 0.0
        issued = [copy for copy in state.copies.values() if copy.issued.expires_at is not None]
        # Also the expiry: it changes the state of the copy, and no watch reports it.
        times = [time for copy in issued for time in (renewal_time(copy, now), copy.issued.expires_at) if time]
        return min([(time - now).total_seconds() for time in times if time > now], default=0.0)

    def _lost_names(
        self, state: NamespaceState, configuration: Configuration, selected: frozenset[str]
    ) -> frozenset[str]:
        """Return the names for which a namespace was selected before."""
        name, history = state.namespace.name, self._caches.selections
        # The namespace takes its objects with it, so nothing has to be removed from it.
        if state.namespace.terminating:
            return frozenset()
        history.observe(name, state.namespace.uid, selected)
        lost = history.lost(name, lambda: names_written_by_us(state, configuration))
        if lost:
            history.record_plan(name, still_referenced(state, configuration, lost))
        return lost


GRACE_SECONDS = 120.0
"""Seconds of delay. The kubelet checks ConfigMaps once a minute and may be a minute behind; the webhook then reads the
file immediately."""


class RemovalDelay:
    """Delays the removal of references from ServiceAccounts that enforce them.

    A retired pull secret is injected until every replica of the webhook has the new configuration: a mounted ConfigMap
    reaches one node later than another. If such a ServiceAccount lost the reference in the meantime, the API server
    would refuse the Pods that still get it. See :mod:`webhook.rules.backfill`. Only one worker at a time may call it
    for one namespace.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[str, dict[str, float]] = {}

    def filter(self, namespace: str, plan: NamespacePlan) -> tuple[NamespacePlan, float]:
        """Return the part of a plan to do now, and the seconds until the next check; 0 for none."""
        if not plan.removals and namespace not in self._since:
            return plan, 0.0
        leaving = [removal.service_account for removal in plan.removals if removal.service_account.enforces]
        # Popped and built again, so that an account that no longer loses a reference starts from zero the next time.
        before = self._since.pop(namespace, {})
        if not leaving:
            return plan, 0.0
        now = self._clock()
        since = self._since[namespace] = {account.name: before.get(account.name, now) for account in leaving}
        waits = {name: GRACE_SECONDS - (now - began) for name, began in since.items() if now - began < GRACE_SECONDS}
        return (plan.without(removals_from=waits), min(waits.values())) if waits else (plan, 0.0)


class _LeakyBucket:
    """The turns of namespaces that share a rate of writes, each booked in advance; safe from any thread."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = 0.0
        self._due: dict[str, float] = {}

    def wait(self, namespace: str, writes: int, delay: float = 0.0) -> float:
        """Return the seconds until the turn of a namespace; 0 if it has come, which ends it.

        The first call books the turn, for so many ``writes``, and after ``delay`` seconds at the earliest.
        """
        with self._lock:
            now = self._clock()
            due = self._due.get(namespace)
            if due is None:
                # The virtual clock of a leaky bucket: it may lag by one burst.
                start = max(self._free_at, now - self._burst / self._rate)
                self._free_at = start + writes / self._rate
                due = self._due[namespace] = max(start, now + delay) if delay else start
            if due > now:
                return due - now
            # The turn is over with the plan, also if its writes fail: their retry books another one.
            del self._due[namespace]
            return 0.0

    def forget(self, namespace: str) -> None:
        """Forget the turn of a namespace."""
        if namespace not in self._due:
            return  # without the lock: nearly all plans
        with self._lock:
            self._due.pop(namespace, None)


HAND_BACKS_PER_SECOND = 20.0
HAND_BACK_BURST = 20
"""Writes that need not wait if none were made for a second, so that usually none waits."""

SETTLE_SECONDS = 5.0
"""Seconds to wait. An entry of our field manager that owns a list may belong to another release. That release may be
about to hand it back itself, to the right owner."""


class HandBackRateLimit:
    """Spreads the writes that hand the ownership of lists back over time.

    After an upgrade each ServiceAccount of the cluster may need one. They are not urgent, and copies and references
    must not wait for them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._turns = _LeakyBucket(HAND_BACKS_PER_SECOND, HAND_BACK_BURST, clock)

    def filter(self, namespace: str, plan: NamespacePlan) -> tuple[NamespacePlan, float]:
        """Return the plan without the writes that must wait, and the seconds until the next check; 0 for none."""
        if not plan.hand_backs:
            self.forget(namespace)
            return plan, 0.0
        settles = any(action.service_account.ownership.holds for action in plan.hand_backs)
        seconds = self._turns.wait(namespace, len(plan.hand_backs), SETTLE_SECONDS if settles else 0.0)
        return (replace(plan, hand_backs=()), seconds) if seconds > 0 else (plan, 0.0)

    def forget(self, namespace: str) -> None:
        """Forget the turn of a namespace that has no such writes, or is gone."""
        self._turns.forget(namespace)


RENEWALS_PER_SECOND = 50.0
RENEWAL_BURST = 50
"""Copies with tokens that are renewed in a second. With the shortest tokens, of ten minutes, 12,000 namespaces stay in
time. A token that is near its end does not wait."""


class RenewalRateLimit:
    """Spreads the renewals of tokens in copies over time, because all of them may be due after an outage."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._turns = _LeakyBucket(RENEWALS_PER_SECOND, RENEWAL_BURST, clock)

    def filter(self, planned: PlannedNamespace, plan: NamespacePlan) -> tuple[NamespacePlan, float]:
        """Return the plan without the renewals that must wait, and the seconds until the next check; 0 for none."""
        namespace = planned.state.namespace.name
        waiting = [action.name for action in plan.copies if self._may_wait(action, planned.now)]
        if not waiting:
            self.forget(namespace)
            return plan, 0.0
        seconds = self._turns.wait(namespace, len(waiting))
        return (plan.without(copies=waiting), seconds) if seconds > 0 else (plan, 0.0)

    def forget(self, namespace: str) -> None:
        """Forget the turn of a namespace that has no such renewals, or is gone."""
        self._turns.forget(namespace)

    def _may_wait(self, action: ApplyCopy, now: datetime) -> bool:
        copy = action.updates
        # A copy that is missing, or has no valid token, is written now: Pods cannot pull without it.
        return copy is not None and copy.issued.expires_at is not None and not is_urgent(copy.issued, now)


UNBOOKED_SECONDS = 5.0
"""Seconds for which a namespace waits if the turns of a rollout are not booked yet. All are queued when they are."""


class CopyRate:
    """Spreads the changed copies of a rotation that is rolled out over time; see ``maxPerSecond``.

    A copy that is missing is not delayed: Pods cannot pull without it.
    """

    def __init__(self, rollouts: Rollouts, clock: Callable[[], float] = time.monotonic) -> None:
        self._rollouts = rollouts
        self._clock = clock
        self._lock = threading.Lock()
        self._booked: dict[str, _Bookings] = {}

    def book(self, name: str, content: str, namespaces: Iterable[str]) -> None:
        """Book the turns of the namespaces to which a content is rolled out now, the most important one first."""
        with self._lock:
            self._booked[name] = _Bookings(Turns(content, is_rolling_out=True), self._clock())
        for namespace in namespaces:
            self._seconds(name, namespace)

    def filter(self, namespace: str, plan: NamespacePlan) -> tuple[NamespacePlan, float]:
        """Return the plan without the copies that must wait, and the seconds until the next check; 0 for none."""
        if not self._rollouts.names or not plan.copies:
            return plan, 0.0
        waits = {}
        for action in plan.copies:
            if action.updates is not None and (seconds := self._seconds(action.name, namespace)) > 0:
                waits[action.name] = seconds
        return (plan.without(copies=waits), min(waits.values())) if waits else (plan, 0.0)

    def _seconds(self, name: str, namespace: str) -> float:
        """Return the seconds until the copy in a namespace may change."""
        turns, rate = self._rollouts.turns(name, namespace)
        if not rate:
            return 0.0
        with self._lock:
            now, booked = self._clock(), self._booked.get(name)
            if booked is None or booked.turns != turns:
                # book() follows in a moment, by priority. A turn that is taken here would ignore the priorities.
                if turns.is_rolling_out:
                    return UNBOOKED_SECONDS
                booked = self._booked[name] = _Bookings(turns, now)
            # As with a leaky bucket, each namespace books its turn in advance.
            if namespace not in booked.due:
                booked.due[namespace] = max(booked.free_at, now)
                booked.free_at = booked.due[namespace] + 1 / rate
            return booked.due[namespace] - now

    def forget(self, namespace: str) -> None:
        """Forget the turns of a namespace that is gone."""
        with self._lock:
            for booked in self._booked.values():
                booked.due.pop(namespace, None)


class _Bookings(msgspec.Struct):
    """The turns of the namespaces in one rotation."""

    turns: Turns
    free_at: float
    due: dict[str, float] = msgspec.field(default_factory=dict)


class FilteredPlan(msgspec.Struct, frozen=True):
    """The writes of a plan for now."""

    plan: NamespacePlan
    requeue_after: float
    """Seconds until the next check; 0 for none."""
    flapping: bool
    """True if the namespace is slowed down because its selection changes repeatedly."""


class PlanFilters:
    """Takes out of a plan what has to wait."""

    def __init__(
        self, contention: Contention, damping: FlapDamping, brake: Brake | None, copy_rate: CopyRate | None = None
    ) -> None:
        self._brake = brake
        self._copy_rate = copy_rate
        self._contention = contention
        self._removal_delay = RemovalDelay()
        self._hand_backs = HandBackRateLimit()
        self._renewals = RenewalRateLimit()
        self._damping = damping

    def filter(self, planned: PlannedNamespace) -> FilteredPlan:
        """Return the writes for now."""
        state, plan = planned.state, planned.plan
        name = state.namespace.name
        if self._brake is not None:
            # The brake comes first: what it withholds must not use up the rates of the filters after it.
            plan = self._brake.filter(state, plan)
        plan, contended = self._contention.filter(state, plan)
        plan, leaving = self._removal_delay.filter(name, plan)
        plan, rate_limited = self._hand_backs.filter(name, plan)
        plan, renewed_later = self._renewals.filter(planned, plan)
        plan, damped = self._damping.filter(name, planned.selected, plan)
        rationed = 0.0
        if self._copy_rate is not None:
            # Last: a copy that another filter holds back must not book a turn of the rollout.
            plan, rationed = self._copy_rate.filter(name, plan)
        waits = (contended, leaving, rate_limited, renewed_later, damped, planned.renewal_after, rationed)
        # 0 stands for no wait, so it must not become the minimum.
        requeue_after = min(filter(None, waits), default=0.0)
        if state.namespace.terminating:
            # At the end, because the filters have just remembered it. Its deletion does not queue it again.
            self.forget(name)
        return FilteredPlan(plan, requeue_after, flapping=damped > 0)

    def forget(self, name: str) -> None:
        """Forget a namespace that is gone."""
        self._contention.forget(name)
        self._damping.forget(name)
        # An empty plan removes its entry.
        self._removal_delay.filter(name, EMPTY)
        self._hand_backs.forget(name)
        self._renewals.forget(name)
        if self._copy_rate is not None:
            self._copy_rate.forget(name)
