"""Limit the cost of failures: a circuit breaker for general ones, and groups for names that fail in the same way.

A proxy that answers each write with its own page, or an overloaded API server, fails the next namespace as it failed
this one. Then the breaker allows one attempt at a time, after a pause, until one succeeds.

A policy that denies, or a missing right, fails many namespaces in the same way. Each of them backs off, up to two
minutes. The API server does not report when the cause is gone. So one namespace of a group is tried often, and its
success brings the others forward.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from webhook.rules.timing import delay

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from webhook.errors import ApiError

BASE_SECONDS = 0.25
CAP_SECONDS = 2.0
"""Seconds between two attempts at most. The cap is low because it bounds how late the recovery is noticed."""


class Attempt:
    """One attempt of a worker, from its creation to the end of its context.

    ``is_probe`` is true if it is the only one for now. If the worker does not report an outcome, the next one tries.
    """

    def __init__(self, breaker: Breaker, *, is_probe: bool) -> None:
        self._breaker = breaker
        self.is_probe = is_probe

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_probe:
            self._breaker.ended(self)

    def failed(self) -> None:
        """Note a failure that has a general cause, not one in the request."""
        self._breaker.failed(self)

    def succeeded(self) -> None:
        """Note a response that only a healthy API server sends: to a write, or the cause of its refusal."""
        self._breaker.succeeded()


class Breaker:
    """Admits workers; every method may be called from any thread."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._failures = 0
        self._next_attempt_at = 0.0
        self._probe: Attempt | None = None
        self._closing = False

    def attempt(self) -> Attempt:
        """Wait until this worker may continue, and return its attempt."""
        # Without the lock, because nearly always the last write has succeeded.
        if not self._failures:
            return Attempt(self, is_probe=False)
        with self._condition:
            while self._failures and not self._closing:
                remaining = self._next_attempt_at - time.monotonic()
                if self._probe is None and remaining <= 0:
                    self._probe = Attempt(self, is_probe=True)
                    return self._probe
                # The end of a probe wakes all that wait, so they need no time limit while there is one.
                self._condition.wait(None if self._probe is not None else remaining)
        return Attempt(self, is_probe=False)

    def ended(self, attempt: Attempt) -> None:
        """Note the end of an attempt, with any outcome."""
        with self._condition:
            # A probe without an outcome (no write was due) leaves the time of the next one as it is: it may begin now.
            if self._probe is attempt:
                self._probe = None
                self._condition.notify_all()

    def failed(self, attempt: Attempt) -> None:
        """Note a failure; those that were already on their way at the first failure prove nothing new."""
        with self._condition:
            # Ten workers that fail at the same moment are one failure. Counting each would end at the longest pause
            # immediately.
            if self._failures and self._probe is not attempt:
                return
            self._failures += 1
            pause = delay(self._failures, random.random(), base=BASE_SECONDS, cap=CAP_SECONDS)  # noqa: S311 (jitter)
            self._next_attempt_at = time.monotonic() + pause
            self._condition.notify_all()

    def succeeded(self) -> None:
        """Admit all workers."""
        if not self._failures:
            return
        with self._condition:
            if self._failures:
                self._failures = 0
                self._condition.notify_all()

    def close(self) -> None:
        """Admit all workers, because the process ends."""
        with self._condition:
            # The workers pass and find the gate closed, so their plans end without a write.
            self._closing = True
            self._condition.notify_all()


PROBE_SECONDS = 5.0
"""Seconds between two tries of one name for its whole group, and between two times that a group is brought forward."""

_Kind: TypeAlias = tuple[str, int, str, str]


class _Group(msgspec.Struct):
    names: set[str] = msgspec.field(default_factory=set)
    probe: str | None = None
    """The name that is tried for all of them."""


class FailureGroups:
    """Every name is in at most one group: that of its last failure. Every method may be called from any thread.

    ``probe(name)`` is called when a name takes the place of the one that was tried for its group.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, probe: Callable[[str], None] = lambda _: None
    ) -> None:
        self._clock = clock
        self._probe = probe
        self._lock = threading.Lock()
        self._groups: dict[_Kind, _Group] = {}
        self._kinds: dict[str, _Kind] = {}
        self._forward_at: dict[_Kind, float] = {}

    def failed(self, name: str, error: ApiError) -> bool:
        """Note the failure of a name; return True if this name is to be tried often for its group."""
        # Without the message, which names the object. With the policy: when one allows a write, another may still deny.
        kind = (type(error).__name__, error.status, error.reason, error.denied_by)
        with self._lock:
            if self._kinds.get(name) != kind:
                self._remove(name)
            group = self._groups.setdefault(kind, _Group())
            group.names.add(name)
            self._kinds[name] = kind
            if group.probe is None:
                group.probe = name
            return group.probe == name

    def succeeded(self, name: str) -> list[str]:
        """Note that a name has been written; return the others of its group, which may succeed now too."""
        with self._lock:
            kind = self._kinds.get(name)
            if kind is None:
                return []
            now = self._clock()
            if now - self._forward_at.get(kind, now - PROBE_SECONDS) < PROBE_SECONDS:
                # A name that fails and succeeds in turn must not have all the others tried each time.
                self._remove(name)
                return []
            # It outlives the group, because names that fail again in the same way form a new one.
            self._forward_at[kind] = now
            others = self._groups.pop(kind).names - {name}
            for member in (name, *others):
                del self._kinds[member]
            return sorted(others)

    def forget(self, name: str) -> None:
        """Remove a name from its group without a success."""
        with self._lock:
            self._remove(name)

    def clear(self) -> None:
        """Forget every failure."""
        with self._lock:
            self._groups.clear()
            self._kinds.clear()

    def _remove(self, name: str) -> None:
        kind = self._kinds.pop(name, None)
        if kind is None:
            return
        group = self._groups[kind]
        group.names.discard(name)
        if not group.names:
            del self._groups[kind]
        elif group.probe == name:
            # Any other name will do: all of them failed for the same cause. Its backoff may have two minutes to go.
            group.probe = next(iter(group.names))
            self._probe(group.probe)
