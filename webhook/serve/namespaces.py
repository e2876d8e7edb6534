"""Cache the namespaces that decisions need; used only if the configuration depends on their labels."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from webhook.ops.health import Check
    from webhook.rules.objects import Namespace

log = structlog.get_logger(__name__)


class KnownNamespaces:
    """A reflector's handler that caches namespaces.

    The reflector's thread writes and the event loop reads. Each write is one operation on a dictionary, which is
    atomic.
    """

    def __init__(self) -> None:
        self._namespaces: dict[str, Namespace] = {}

    def get(self, name: str) -> Namespace | None:
        """Return a namespace, or None when it is unknown."""
        return self._namespaces.get(name)

    def replace(self, objects: Iterable[Namespace], _version: str = "") -> None:
        self._namespaces = {namespace.name: namespace for namespace in objects}

    def upsert(self, obj: Namespace) -> None:
        self._namespaces[obj.name] = obj

    def remove(self, obj: Namespace) -> None:
        self._namespaces.pop(obj.name, None)


class WatchState:
    """Tracks the downtime of the watch and reports it in the log and in the detail of a readiness check.

    The check keeps passing: old labels are right for most reviews, and other replicas do not have newer ones. The
    reflector's thread writes; any thread reads.
    """

    def __init__(self, check: Check, clock: Callable[[], float] = time.monotonic) -> None:
        self._check = check
        self._clock = clock
        self._lost_at: float | None = None
        self._synced = False

    @property
    def stale_seconds(self) -> float:
        """Return the seconds since the watch was lost; 0 while it is open."""
        lost_at = self._lost_at
        return 0.0 if lost_at is None else self._clock() - lost_at

    @property
    def awaited(self) -> list[str]:
        """Return what the API server has not sent yet: the list, or the changes after it."""
        if not self._synced:
            return ["the list of namespaces"]
        return [] if self._lost_at is None else ["a watch of namespaces"]

    def require(self) -> None:
        """Make the check fail until all namespaces are known."""
        self._check.fails("waiting for the list of namespaces")

    def tolerate(self) -> None:
        """Make the check pass already, although namespaces are unknown."""
        self._check.note = "no namespace is known yet"
        self._check.passes()

    def synced(self) -> None:
        """Record that all namespaces are known."""
        self._synced = True
        if self._lost_at is None:
            self._check.note = ""
        self._check.passes()

    def opened(self) -> None:
        if self._lost_at is not None:
            log.info("namespaces are watched again", after=round(self.stale_seconds, 1))
            self._lost_at = None
            self._check.note = ""

    def lost(self, cause: str) -> None:
        """Record that the watch broke or could not be opened."""
        if self._lost_at is None:
            self._lost_at = self._clock()
            self._check.note = "the watch is down, labels are as last known"
            log.warning("namespaces are not watched", cause=cause, effect="their labels are as last known")
