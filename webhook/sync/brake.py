"""Hold back a mass removal that one configuration change would cause, until it is corrected or confirmed.

The rules are in :mod:`webhook.rules.brake`. A removal that a change causes waits until the change has been judged. That
needs the configuration that was in force before, and the whole lists of namespaces and copies. The leader reads that
configuration from its stored state. Everything else of a new configuration is in force immediately, as it is at
admission.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from webhook.rules.brake import PastRemoval, Removals, digest, lost_by_change, recent
from webhook.rules.state_document import CONFIGURATION_KEY, HELD_KEY, encode_accepted, encode_held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from webhook.rules.actions import NamespacePlan
    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import NamespaceState
    from webhook.rules.state_document import AcceptedConfiguration
    from webhook.sync.caches import Caches

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.1
"""Seconds between two checks for the lists that a judgement needs."""

LIST_WAIT_SECONDS = 10.0
"""Seconds to wait for the lists of all pull secrets. One that may not be listed must delay only itself."""

HELD_SECONDS = 5.0
"""Seconds between two judgements of a held configuration, and two checks for its confirmation."""


@dataclass(frozen=True, slots=True)
class HeldConfiguration:
    """A configuration that is held: its digest, and the removals that it would cause."""

    digest: str
    removals: Removals


class Brake:
    """Judges each new configuration; ``on_held(held)`` receives what is held, and None when it is released.

    ``on_judged()`` is called when removals that waited may be made.
    """

    def __init__(
        self,
        configuration: Configuration,
        caches: Caches,
        on_judged: Callable[[], None],
        on_held: Callable[[HeldConfiguration | None], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC).replace(microsecond=0),
    ) -> None:
        self._caches = caches
        self._on_judged = on_judged
        self._on_held = on_held
        self._clock = clock
        self._lock = threading.Lock()
        self._proposed = configuration
        self._accepted: Configuration | None = None
        self._past: tuple[PastRemoval, ...] = ()
        self._released: frozenset[str] = frozenset()
        self._proposed_at = time.monotonic()
        self._is_loaded = False
        self._has_withheld = False
        self._confirmed = ""
        self.held: HeldConfiguration | None = None

    @property
    def accepted(self) -> Configuration | None:
        """The last configuration in force; None until it has been read."""
        return self._accepted

    @property
    def is_loaded(self) -> bool:
        """True if the stored state has been read since this process began to lead."""
        return self._is_loaded

    def is_settled(self) -> bool:
        """True if the configuration is in force, so that no removal has to be held."""
        return self._is_loaded and self._accepted is self._proposed

    def configure(self, configuration: Configuration) -> None:
        """Set a new configuration, to be judged."""
        with self._lock:
            self._released, self._proposed_at = frozenset(), time.monotonic()
            self._proposed = configuration
            # The same object, so that is_settled() is a comparison of identity, which each plan makes.
            if self._accepted is not None and configuration == self._accepted:
                self._proposed = self._accepted

    def forget(self) -> None:
        """Discard the stored state, because another process may have judged since; it has to be read again."""
        with self._lock:
            self._is_loaded = False
            self._accepted, self._released = None, frozenset()

    def load(self, stored: AcceptedConfiguration | None, confirmed: str) -> None:
        """Take the stored configuration as the one in force, and the digest that a person has confirmed."""
        with self._lock:
            self._confirmed = confirmed
            if self._is_loaded:
                return
            self._is_loaded = True
            if stored is None:
                return
            self._past = stored.past
            self._accepted = self._proposed if stored.configuration == self._proposed else stored.configuration

    def filter(self, state: NamespaceState, plan: NamespacePlan) -> NamespacePlan:
        """Return a plan without the removals that only a configuration change causes, until it is judged."""
        if self.is_settled() or not (plan.removals or plan.deletions):
            return plan
        kept = plan.without_removals_of(
            lost_by_change(self._baseline(), self._proposed, state.namespace) - self._released
        )
        if kept is not plan:
            self._has_withheld = True
        # If it was released in the meantime, the namespaces that waited may have been checked again already.
        return plan if self.is_settled() else kept

    def judge(self) -> float | None:
        """Judge the configuration if that is due; return the seconds until the next time, None for never."""
        if not self._is_loaded:
            return None
        if self.is_settled():
            self._set_held(None)
            self._enqueue_withheld()
            return None
        proposed, names = self._proposed, frozenset(self._proposed.secret_names)
        listed = frozenset(name for name in names if self._caches.has_listed(name))
        waits_for_lists = time.monotonic() - self._proposed_at < LIST_WAIT_SECONDS
        if not self._caches.can_judge(proposed) or (
            waits_for_lists and (listed != names or not self._can_judge_accepted())
        ):
            return POLL_SECONDS
        removals, past = self._count_removals(proposed, listed), recent(self._past, self._clock())
        name = digest(proposed)
        if removals.exceeds(past) and self._confirmed != name:
            self._set_held(HeldConfiguration(name, removals))
            return HELD_SECONDS
        self._release(proposed, listed, removals, () if self._confirmed == name else past)
        return None if listed == names else HELD_SECONDS

    def _release(
        self, proposed: Configuration, listed: frozenset[str], removals: Removals, past: tuple[PastRemoval, ...]
    ) -> None:
        """Allow the removals of the ``listed`` pull secrets. If these are all, the configuration is in force."""
        with self._lock:
            # Another configuration has arrived since the judgement began, and it has to be judged by itself.
            if self._proposed is not proposed:
                return
            if removals.copies and self._confirmed != digest(proposed):
                past = (*past, PastRemoval(self._clock(), removals.copies))
            released_more, self._released, self._past = listed != self._released, listed, past
            if listed.issuperset(proposed.secret_names):
                self._accepted = proposed
        self._set_held(None)
        if released_more:
            log.info("configuration released", removes=removals.copies, copies=removals.total)
        self._enqueue_withheld()

    def values(self) -> Mapping[str, bytes | None]:
        """Return the values to store: the configuration in force, and the held one.

        Empty until the stored state has been read, so that it is not overwritten.
        """
        with self._lock:
            held, accepted = self.held, self._accepted
            if not self._is_loaded:
                return {}
        return {
            CONFIGURATION_KEY: None if accepted is None else encode_accepted(accepted, self._past),
            HELD_KEY: None if held is None else encode_held(held.digest, held.removals.copies, held.removals.total),
        }

    def _enqueue_withheld(self) -> None:
        """Queue the namespaces again in which removals have waited."""
        if self._has_withheld:
            self._has_withheld = False
            self._on_judged()

    def _can_judge_accepted(self) -> bool:
        return self._accepted is None or self._caches.can_judge(self._accepted)

    def _baseline(self) -> Configuration | None:
        """Return the accepted configuration, if the caches have kept the parts of namespaces that it reads."""
        return self._accepted if self._can_judge_accepted() else None

    def _count_removals(self, proposed: Configuration, listed: frozenset[str]) -> Removals:
        """Count the removals that are not released yet."""
        accepted, lost, total = self._baseline(), 0, 0
        for namespace, names in self._our_copies(listed).items():
            total += len(names)
            cached = self._caches.namespaces.get(namespace)
            # Copies in a namespace that is being deleted go with it, whatever the configuration is.
            if cached is not None and not cached.terminating:
                lost += len((lost_by_change(accepted, proposed, cached) & names) - self._released)
        return Removals(lost, total)

    def _our_copies(self, names: Iterable[str]) -> dict[str, set[str]]:
        """Return the names of the existing copies, by namespace."""
        ours: dict[str, set[str]] = {}
        for name in names:
            for namespace in self._caches.namespaces_with_copies(name):
                ours.setdefault(namespace, set()).add(name)
        return ours

    def _set_held(self, held: HeldConfiguration | None) -> None:
        before, self.held = self.held, held
        if (before is None) != (held is None) or (held and before and held.digest != before.digest):
            self._on_held(held)
