"""Cache one collection by namespace and name, filled by a reflector and by the responses to our own writes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from webhook.rules.versions import is_older

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from webhook.rules.objects import Namespace


class Row(Protocol):
    """A cached object of a namespace."""

    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def resource_version(self) -> str: ...


R = TypeVar("R", bound=Row)


class Table(Generic[R]):
    """Objects of a collection; ``changed(namespace)`` is called after a change that matters.

    ``same(old, new)`` returns True if a change does not affect the plan (a renewed annotation, our own write).
    ``matters(object)`` judges one object. A change is passed on if the object matters as it is now or as it was before.
    """

    def __init__(
        self,
        same: Callable[[R, R], bool],
        changed: Callable[[str], None],
        matters: Callable[[R], bool] = lambda _: True,
    ) -> None:
        self._same = same
        self._matters = matters
        self._changed = changed
        self._lock = threading.Lock()
        self._rows: dict[str, dict[str, R]] = {}

    def of_namespace(self, namespace: str) -> Mapping[str, R]:
        """Return a copy of the objects of a namespace by name, so that a decision sees one state."""
        with self._lock:
            return dict(self._rows.get(namespace, ()))

    def namespaces(self) -> list[str]:
        """Return the namespaces that hold at least one object."""
        with self._lock:
            return list(self._rows)

    def number_in(self, namespace: str) -> int:
        """Return the number of objects in a namespace."""
        with self._lock:
            return len(self._rows.get(namespace, ()))

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._rows.values()))

    def replace(self, objects: Iterable[R]) -> None:
        """Replace all objects with these."""
        rows: dict[str, dict[str, R]] = {}
        for obj in objects:
            rows.setdefault(obj.namespace, {})[obj.name] = obj
        with self._lock:
            before, self._rows = self._rows, rows
        for namespace in before.keys() | rows.keys():
            if not self._equal(before.get(namespace, {}), rows.get(namespace, {})):
                self._changed(namespace)

    def upsert(self, obj: R) -> None:
        """Add or update an object; after our own write, an older event may still arrive."""
        with self._lock:
            row = self._rows.setdefault(obj.namespace, {})
            known = row.get(obj.name)
            if known is not None and is_older(obj.resource_version, known.resource_version):
                return
            row[obj.name] = obj
        if known is not None and self._same(known, obj):
            return
        # Plans and reports for the previous object must be taken back.
        if self._matters(obj) or (known is not None and self._matters(known)):
            self._changed(obj.namespace)

    def remove(self, obj: R) -> None:
        """Remove an object that is gone; after our own write, another one may have its name already."""
        known = self._take_out(obj.namespace, obj.name, obj.resource_version)
        if known is not None and self._matters(known):
            self._changed(obj.namespace)

    def discard(self, namespace: str, name: str) -> bool:
        """Remove an object that we have deleted, before the watch reports it; return True if it was cached."""
        return self._take_out(namespace, name) is not None

    def _take_out(self, namespace: str, name: str, gone_at: str = "") -> R | None:
        with self._lock:
            row = self._rows.get(namespace, {})
            known = row.get(name)
            if known is None or is_older(gone_at, known.resource_version):
                return None
            del row[name]
            if not row:
                del self._rows[namespace]
            return known

    def _equal(self, before: Mapping[str, R], now: Mapping[str, R]) -> bool:
        return before.keys() == now.keys() and all(self._same(before[name], now[name]) for name in now)


class NamespaceTable:
    """The namespaces.

    ``changed(name)`` is called after a relevant change of a namespace's labels or its deletion, and ``removed(name)``
    when it is gone.
    """

    def __init__(self, changed: Callable[[str], None], removed: Callable[[str], None] = lambda _: None) -> None:
        self._changed = changed
        self._removed = removed
        self._namespaces: dict[str, Namespace] = {}

    def get(self, name: str) -> Namespace | None:
        """Return a namespace; None if it does not exist."""
        return self._namespaces.get(name)

    def names(self) -> list[str]:
        """Return the names of all namespaces."""
        return list(self._namespaces)

    def replace(self, objects: Iterable[Namespace]) -> None:
        """Replace all namespaces with these."""
        before, self._namespaces = self._namespaces, {obj.name: obj for obj in objects}
        for name, obj in self._namespaces.items():
            if before.get(name) != obj:
                self._changed(name)
        for name in before.keys() - self._namespaces.keys():
            self._removed(name)

    def upsert(self, obj: Namespace) -> None:
        """Add a namespace that is new, or update one that has changed."""
        known = self._namespaces.get(obj.name)
        self._namespaces[obj.name] = obj
        if known != obj:
            self._changed(obj.name)

    def remove(self, obj: Namespace) -> None:
        """Remove a namespace that is gone; no work is left in it."""
        self._namespaces.pop(obj.name, None)
        self._removed(obj.name)
