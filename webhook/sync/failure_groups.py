"""Group names that fail in the same way: one of a group is tried often, and its success brings the others forward.

A policy that denies, or a right that is missing, fails many namespaces alike. Each backs off by itself, up to two
minutes. When the policy is changed, nobody tells: without this, the last namespace would learn of it minutes later.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.errors import ApiError

PROBE_SECONDS = 5.0
"""Between two tries of one name for its whole group, and between two times that a group is brought forward."""

_Kind: TypeAlias = tuple[str, int, str, str]


@dataclass(slots=True)
class _Group:
    names: set[str] = field(default_factory=set)
    probe: str | None = None
    """The name that is tried for all of them."""


class FailureGroups:
    """Every name is in one group at most: that of its last failure. Every method may be called from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._groups: dict[_Kind, _Group] = {}
        self._kinds: dict[str, _Kind] = {}
        self._forward_at: dict[_Kind, float] = {}

    def failed(self, name: str, error: ApiError) -> bool:
        """Note how a name has failed; whether it is the one that is to be tried often for its group."""
        kind = (type(error).__name__, error.status, error.reason, error.denied_by)
        with self._lock:
            if self._kinds.get(name) != kind:
                self._leave(name)
            group = self._groups.setdefault(kind, _Group())
            group.names.add(name)
            self._kinds[name] = kind
            if group.probe is None:
                group.probe = name
            return group.probe == name

    def succeeded(self, name: str) -> list[str]:
        """Note that a name has been written; return the others of its group, which may succeed now as well."""
        with self._lock:
            kind = self._kinds.get(name)
            if kind is None:
                return []
            now = self._clock()
            if now - self._forward_at.get(kind, now - PROBE_SECONDS) < PROBE_SECONDS:
                # One that fails and succeeds in turn must not have all the others tried each time.
                self._leave(name)
                return []
            self._forward_at[kind] = now
            others = self._groups.pop(kind).names - {name}
            for each in (name, *others):
                del self._kinds[each]
            return sorted(others)

    def forget(self, name: str) -> str | None:
        """Take a name out of its group without a success; return the name that is to be tried for the group instead."""
        with self._lock:
            return self._leave(name)

    def clear(self) -> None:
        """Forget every failure."""
        with self._lock:
            self._groups.clear()
            self._kinds.clear()

    def _leave(self, name: str) -> str | None:
        kind = self._kinds.pop(name, None)
        if kind is None:
            return None
        group = self._groups[kind]
        group.names.discard(name)
        if not group.names:
            del self._groups[kind]
            return None
        if group.probe != name:
            return None
        group.probe = next(iter(group.names))
        return group.probe
