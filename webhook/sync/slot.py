"""One object by its name, as it is known here: told by a watch, or by the answer to a write of our own."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from webhook.kube.wire import Object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

W = TypeVar("W", bound=Object)


@dataclass(frozen=True, slots=True)
class Sight(Generic[W]):
    """The one object of a name, or None, as it was seen at one moment."""

    value: W | None = None
    told: int = 0
    """How often the watch had said something until then."""


class Slot(Generic[W]):
    """What was seen last of the one object of a name, by a watch or the answer to a write; wakes who waits."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self.sight: Sight[W] = Sight()

    def replace(self, objects: Iterable[W]) -> None:
        self._tell(next(iter(objects), None))

    def upsert(self, obj: W) -> None:
        self._tell(obj)

    def remove(self, obj: W) -> None:
        # A watch may lag behind our own writes: the object that it takes away need not be the one that is there.
        present = self.sight.value
        self._tell(present if present is not None and present.metadata.uid != obj.metadata.uid else None)

    def written(self, obj: W | None, before: Sight[W]) -> None:
        """Take the answer to a write that was decided at ``before``, unless the watch has said something since.

        The answer may be the older news then: what it tells may have been changed or deleted again, and no watch says a
        thing twice. If it is not, the watch has yet to tell of it.
        """
        with self._lock:
            if self.sight.told == before.told:
                self.sight = Sight(obj, before.told)

    def _tell(self, value: W | None) -> None:
        with self._lock:
            self.sight = Sight(value, self.sight.told + 1)
        self._wake()
