"""What can be made to go wrong with an answer of the fake API server."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TypeAlias

READS = frozenset({"get", "list", "watch"})
WRITES = frozenset({"create", "apply", "patch", "delete"})


@dataclass(frozen=True, slots=True)
class Answer:
    """This status and body in place of the right ones; a body of None is a Status, as the API server writes it."""

    status: int
    body: bytes | None = None
    retry_after: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer at all, and no end either: a half-open connection."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The right answer, but the connection breaks after so many bytes of it."""

    after: int


@dataclass(frozen=True, slots=True)
class Lines:
    """A watch that says these lines in place of what there is to say, and then ends, or is silent for ever."""

    lines: tuple[bytes, ...] = ()
    silent: bool = False


Action: TypeAlias = Answer | Hang | Cut | Lines


@dataclass(slots=True)
class Fault:
    """An action for the next ``times`` requests that it fits, for ever when None; `lift` ends it before.

    An empty ``plural`` or ``name`` fits any; the name of a list or watch is that of its field selector.
    """

    action: Action
    verbs: frozenset[str]
    plural: str
    name: str
    times: int | None
    lifted: threading.Event = field(default_factory=threading.Event)
    met: int = 0

    def lift(self) -> None:
        """End it, also for the requests that hang in it."""
        self.lifted.set()


class Faults:
    """The faults that are switched on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def take(self, verb: str, plural: str, name: str) -> Fault | None:
        """Return the first fault that fits a request, and count it."""
        with self._lock:
            for fault in self._faults:
                over = fault.lifted.is_set() or (fault.times is not None and fault.met >= fault.times)
                fits = verb in fault.verbs and fault.plural in ("", plural) and fault.name in ("", name)
                if fits and not over:
                    fault.met += 1
                    return fault
            return None
