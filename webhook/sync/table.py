"""Cache a collection, or one object, filled by a reflector and by the responses to our own writes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import msgspec

from webhook.rules.versions import is_older

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from webhook.kube.wire import Object
    from webhook.rules.objects import Namespace


class TableRow(Protocol):
    """A cached object of a namespace."""

    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def resource_version(self) -> str: ...


R = TypeVar("R", bound=TableRow)


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
        self._watched_version = ""
        """The resourceVersion that the watch has reached: it will not report older changes any more."""

    def of_namespace(self, namespace: str) -> Mapping[str, R]:
        """Return a copy of the objects of a namespace by name, so that a decision sees one state."""
        with self._lock:
            return dict(self._rows.get(namespace, ()))

    def get(self, namespace: str, name: str) -> R | None:
        """Return one object; None if it does not exist."""
        with self._lock:
            return self._get(namespace, name)

    def namespaces(self) -> list[str]:
        """Return the namespaces that hold at least one object."""
        with self._lock:
            return list(self._rows)

    def count_in(self, namespace: str) -> int:
        """Return the number of objects in a namespace."""
        with self._lock:
            return len(self._rows.get(namespace, ()))

    def replace(self, objects: Iterable[R], resource_version: str = "") -> None:
        """Replace all objects with those of a list; a watch continues at ``resource_version``."""
        rows: dict[str, dict[str, R]] = {}
        for obj in objects:
            rows.setdefault(obj.namespace, {})[obj.name] = obj
        with self._lock:
            # One assignment under the lock, so that readers see the whole old list or the whole new one.
            before, self._rows, self._watched_version = self._rows, rows, resource_version
        # A row from a response that is newer than the list is lost here. But the watch continues at the version of the
        # list, so it reports that object again.
        for namespace in before.keys() | rows.keys():
            if not self._equal(before.get(namespace, {}), rows.get(namespace, {})):
                self._changed(namespace)

    def upsert(self, obj: R) -> None:
        """Add or update an object that the watch reports; after our own write, an older event may still arrive."""
        self._put(obj, watched=True)

    def upsert_response(self, obj: R) -> None:
        """Add or update an object from the response to our own request.

        The response may arrive late. If the watch is past this version and the object is not here, it was deleted. The
        watch has reported that and will not report it again.
        """
        self._put(obj, watched=False)

    def _put(self, obj: R, *, watched: bool) -> None:
        with self._lock:
            if watched:
                self._watched_version = obj.resource_version
            cached = self._get(obj.namespace, obj.name)
            # Of two versions of one collection, the lower number is the older one (KEP-5504), whichever arrives first.
            if is_older(obj.resource_version, self._watched_version if cached is None else cached.resource_version):
                return
            self._rows.setdefault(obj.namespace, {})[obj.name] = obj
        # Without the lock from here on: the callbacks read this table, and the lock is not reentrant.
        if cached is not None and self._same(cached, obj):
            return
        # Plans and reports for the previous object must be taken back.
        if self._matters(obj) or (cached is not None and self._matters(cached)):
            self._changed(obj.namespace)

    def remove(self, obj: R) -> None:
        """Remove an object that the watch reports as gone; after our own write, another one may have its name."""
        with self._lock:
            self._watched_version = obj.resource_version
            cached = self._get(obj.namespace, obj.name)
            # A DELETED event has the version of the deletion (k8s.io/apiserver, pkg/storage/etcd3/watcher.go).
            if cached is None or is_older(obj.resource_version, cached.resource_version):
                return
            self._delete(cached)
        if self._matters(cached):
            self._changed(obj.namespace)

    def discard(self, before: R | None) -> None:
        """Remove an object that does not exist any more, before the watch reports it.

        ``before`` is the object as it was here before our request. If the watch has reported another version since,
        that one stays: it may be a new object with the same name, which the watch will not report again.
        """
        if before is None:
            return
        with self._lock:
            cached = self._get(before.namespace, before.name)
            # No callback: the worker whose request found the end of the object plans its namespace again anyway.
            if cached is not None and cached.resource_version == before.resource_version:
                self._delete(cached)

    def _get(self, namespace: str, name: str) -> R | None:
        return self._rows.get(namespace, {}).get(name)

    def _delete(self, obj: R) -> None:
        row = self._rows[obj.namespace]
        del row[obj.name]
        # An empty row would stay for each namespace that ever had an object.
        if not row:
            del self._rows[obj.namespace]

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
        # Without a lock: one reflector writes, and each access of a reader is a single operation on a dict.
        self._namespaces: dict[str, Namespace] = {}

    def get(self, name: str) -> Namespace | None:
        """Return a namespace; None if it does not exist."""
        return self._namespaces.get(name)

    def names(self) -> list[str]:
        """Return the names of all namespaces."""
        return list(self._namespaces)

    def replace(self, objects: Iterable[Namespace], _version: str = "") -> None:
        """Replace all namespaces with these."""
        # Replaced before the callbacks, because they read the table.
        before, self._namespaces = self._namespaces, {obj.name: obj for obj in objects}
        for name, obj in self._namespaces.items():
            if before.get(name) != obj:
                self._changed(name)
        for name in before.keys() - self._namespaces.keys():
            self._removed(name)

    def upsert(self, obj: Namespace) -> None:
        """Add a namespace that is new, or update one that has changed."""
        # Versions are not compared: this process writes no Namespace, so no response can be ahead of the watch.
        cached = self._namespaces.get(obj.name)
        self._namespaces[obj.name] = obj
        if cached != obj:
            self._changed(obj.name)

    def remove(self, obj: Namespace) -> None:
        """Remove a namespace that is gone; no work is left in it."""
        self._namespaces.pop(obj.name, None)
        self._removed(obj.name)


W = TypeVar("W", bound="Object")


class Observed(msgspec.Struct, Generic[W], frozen=True):
    """The one object with a name, or None, as it was seen at one moment."""

    value: W | None = None
    generation: int = 0
    """Number of changes that the watch had reported until then."""


class ObjectCache(Generic[W]):
    """The last observed state of one object, from a watch or the response to a write; it wakes waiting threads."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self.observed: Observed[W] = Observed()

    def replace(self, objects: Iterable[W], _version: str) -> None:
        self._set(next(iter(objects), None))

    def upsert(self, obj: W) -> None:
        self._set(obj)

    def remove(self, obj: W) -> None:
        # A watch may lag behind our own writes: the deleted object need not be the current one.
        present = self.observed.value
        self._set(present if present is not None and present.metadata.uid != obj.metadata.uid else None)

    def store_response(self, obj: W | None, before: Observed[W]) -> None:
        """Store the response to a write that was decided at ``before``, unless the watch has reported a change since.

        In that case the response may be older: its object may have been changed or deleted again, and a watch never
        repeats a report. If the response is newer, the watch will still report it.
        """
        with self._lock:
            if self.observed.generation == before.generation:
                self.observed = Observed(obj, before.generation)

    def _set(self, value: W | None) -> None:
        with self._lock:
            self.observed = Observed(value, self.observed.generation + 1)
        # Afterwards: a thread that wakes before would find the old state, and sleep again.
        self._wake()
