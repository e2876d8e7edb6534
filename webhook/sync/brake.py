"""Hold back a mass removal that one change of the configuration would cause, until it is corrected or confirmed.

The rules are in :mod:`webhook.rules.brake`. A removal that a change causes waits until the change has been judged. That
needs two things: the configuration that was in force before, which the leader reads from its stored state, and the
whole lists of namespaces and copies. Everything else of a new configuration is in force at once, as it is at admission.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from webhook.rules.brake import PastRemoval, Removals, digest, recent, taken_away
from webhook.rules.state_document import CONFIGURATION_KEY, HELD_KEY, encode_accepted, encode_held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from webhook.rules.actions import NamespacePlan
    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import NamespaceState
    from webhook.rules.state_document import AcceptedConfiguration
    from webhook.sync.caches import Caches

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.1
"""Between two looks for the lists that a judgement needs."""

PATIENCE_SECONDS = 10.0
"""How long to wait for the lists of all pull secrets; one that may not be listed must delay only itself."""

HELD_SECONDS = 5.0
"""How often a configuration that is held is judged again, and the confirmation looked for."""


@dataclass(frozen=True, slots=True)
class Held:
    """A configuration that is held: its digest, and what it would remove."""

    digest: str
    removals: Removals


class Brake:
    """Judges each new configuration; ``told(held)`` is called with what is held, and with None when it is released.

    ``judged()`` is called when removals that waited may be made.
    """

    def __init__(
        self,
        configuration: Configuration,
        caches: Caches,
        judged: Callable[[], None],
        told: Callable[[Held | None], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC).replace(microsecond=0),
    ) -> None:
        self._caches = caches
        self._judged = judged
        self._told = told
        self._clock = clock
        self._lock = threading.Lock()
        self._proposed = configuration
        self._accepted: Configuration | None = None
        self._past: tuple[PastRemoval, ...] = ()
        self._released: frozenset[str] = frozenset()
        self._since = time.monotonic()
        self._known = False
        self._has_kept = False
        self._confirmed = ""
        self.held: Held | None = None

    @property
    def accepted(self) -> Configuration | None:
        """The configuration that was in force last; None while it is not known."""
        return self._accepted

    @property
    def is_known(self) -> bool:
        """Whether the stored state has been read since this process began to lead."""
        return self._known

    def is_settled(self) -> bool:
        """Whether the configuration is in force, so that there is nothing to hold back."""
        return self._known and self._accepted is self._proposed

    def configure(self, configuration: Configuration) -> None:
        """Take a new configuration, to be judged."""
        with self._lock:
            self._released, self._since = frozenset(), time.monotonic()
            self._proposed = configuration
            if self._accepted is not None and configuration == self._accepted:
                self._proposed = self._accepted

    def forget(self) -> None:
        """Take it that another process may have judged since: the stored state has to be read."""
        with self._lock:
            self._known = False
            self._accepted, self._released = None, frozenset()

    def learn(self, stored: AcceptedConfiguration | None, confirmed: str) -> None:
        """Take the configuration that is stored as the one in force, and the digest that a person has confirmed."""
        with self._lock:
            self._confirmed = confirmed
            if self._known:
                return
            self._known = True
            if stored is None:
                return
            self._past = stored.past
            self._accepted = self._proposed if stored.configuration == self._proposed else stored.configuration

    def hold(self, state: NamespaceState, plan: NamespacePlan) -> NamespacePlan:
        """Return a plan without the removals that only a change of the configuration causes, while it is not judged."""
        if self.is_settled() or not (plan.removals or plan.deletions):
            return plan
        kept = plan.keeping(taken_away(self._trusted(), self._proposed, state.namespace) - self._released)
        if kept is not plan:
            self._has_kept = True
        # Released meanwhile? Then the names that have waited may have been looked at again already.
        return plan if self.is_settled() else kept

    def judge(self) -> float | None:
        """Judge the configuration if that is due; return the seconds until the next time, None for not at all."""
        if not self._known:
            return None
        if self.is_settled():
            self._hold(None)
            self._look_again()
            return None
        proposed, names = self._proposed, frozenset(self._proposed.secret_names)
        listed = frozenset(name for name in names if self._caches.has_listed(name))
        patient = time.monotonic() - self._since < PATIENCE_SECONDS
        if not self._caches.can_judge(proposed) or (patient and (listed != names or not self._can_judge_accepted())):
            return LOOK_SECONDS
        removals, past = self._count(proposed, listed), recent(self._past, self._clock())
        name = digest(proposed)
        if removals.exceeds(past) and self._confirmed != name:
            self._hold(Held(name, removals))
            return HELD_SECONDS
        self._release(proposed, listed, removals, () if self._confirmed == name else past)
        return None if listed == names else HELD_SECONDS

    def _release(
        self, proposed: Configuration, listed: frozenset[str], removals: Removals, past: tuple[PastRemoval, ...]
    ) -> None:
        """Let the removals of the ``listed`` pull secrets be made; with all of them, the configuration is in force."""
        with self._lock:
            if self._proposed is not proposed:
                return
            if removals.copies and self._confirmed != digest(proposed):
                past = (*past, PastRemoval(self._clock(), removals.copies))
            released_more, self._released, self._past = listed != self._released, listed, past
            if listed.issuperset(proposed.secret_names):
                self._accepted = proposed
        self._hold(None)
        if released_more:
            log.info("configuration released", removes=removals.copies, copies=removals.total)
        self._look_again()

    def values(self) -> Mapping[str, bytes | None]:
        """Return what has to be stored: the configuration in force, and what is held.

        Nothing before the stored state is known, so that what is stored stays.
        """
        with self._lock:
            held, accepted = self.held, self._accepted
            if not self._known:
                return {}
        return {
            CONFIGURATION_KEY: None if accepted is None else encode_accepted(accepted, self._past),
            HELD_KEY: None if held is None else encode_held(held.digest, held.removals.copies, held.removals.total),
        }

    def _look_again(self) -> None:
        """Have the namespaces looked at again in which removals have waited."""
        if self._has_kept:
            self._has_kept = False
            self._judged()

    def _can_judge_accepted(self) -> bool:
        return self._accepted is None or self._caches.can_judge(self._accepted)

    def _trusted(self) -> Configuration | None:
        """Return the accepted configuration, if the caches have kept what it needs of namespaces."""
        return self._accepted if self._can_judge_accepted() else None

    def _count(self, proposed: Configuration, listed: frozenset[str]) -> Removals:
        """Count what is not released yet."""
        accepted, lost, total = self._trusted(), 0, 0
        for namespace, names in self._our_copies(listed).items():
            total += len(names)
            found = self._caches.namespaces.get(namespace)
            if found is not None and not found.terminating:
                lost += len((taken_away(accepted, proposed, found) & names) - self._released)
        return Removals(lost, total)

    def _our_copies(self, names: Iterable[str]) -> dict[str, set[str]]:
        """Return the names of the copies that there are, by namespace."""
        ours: dict[str, set[str]] = {}
        for name in names:
            for namespace in self._caches.namespaces_with_copies(name):
                ours.setdefault(namespace, set()).add(name)
        return ours

    def _hold(self, held: Held | None) -> None:
        before, self.held = self.held, held
        if (before is None) != (held is None) or (held and before and held.digest != before.digest):
            self._told(held)
