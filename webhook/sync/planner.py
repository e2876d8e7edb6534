"""What to do about one namespace now: its plan, less what must wait, and what is remembered and told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.core.actions import EMPTY
from webhook.core.dangling import left_over, marked
from webhook.core.gates import selected_pull_secrets
from webhook.core.plan import plan_namespace
from webhook.core.standing import standings
from webhook.sync.damping import FlapDamping
from webhook.sync.hand_back_pace import HandBackPace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.core.actions import NamespacePlan
    from webhook.core.model import Configuration
    from webhook.core.state import NamespaceState
    from webhook.sync.brake import Brake
    from webhook.sync.caches import Caches
    from webhook.sync.contention import Contention
    from webhook.sync.grace import Grace
    from webhook.sync.ledger import Ledger
    from webhook.sync.notices import Notices


class Planner:
    """Plans from the caches."""

    def __init__(
        self,
        caches: Caches,
        contention: Contention,
        grace: Grace,
        ledger: Ledger,
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
        """Return what to write in a namespace now, and in how many seconds to look again; 0 for not at all."""
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
        known = self._caches.known_part(configuration)
        # By the whole configuration: a name that becomes known at a start is not a change of the namespace.
        selected = frozenset(entry.name for entry in selected_pull_secrets(configuration, namespace))
        lost = self._lost(state, configuration, selected)
        plan = plan_namespace(state, known, hashes, self._caches.readable_part(configuration), lost)
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
