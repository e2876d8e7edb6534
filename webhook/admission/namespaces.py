"""The labels of all namespaces, kept by a watch; only for configurations with a ``namespaceSelector``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from webhook.kube.wire import Object


class NamespaceLabels:
    """A reflector's handler that answers what labels a namespace has.

    The reflector's thread writes, the event loop reads: each write is one assignment to a dictionary, which is atomic.
    """

    def __init__(self) -> None:
        self._labels: dict[str, Mapping[str, str]] = {}

    def labels_of(self, namespace: str) -> Mapping[str, str] | None:
        """Return the labels of ``namespace``, or None when it is not known."""
        return self._labels.get(namespace)

    def replace(self, objects: Iterable[Object]) -> None:
        """Take these namespaces for all there are."""
        self._labels = {obj.metadata.name: obj.metadata.labels or {} for obj in objects}

    def upsert(self, obj: Object) -> None:
        """Take a namespace that is new or has changed."""
        self._labels[obj.metadata.name] = obj.metadata.labels or {}

    def remove(self, obj: Object) -> None:
        """Forget a namespace that has been deleted."""
        self._labels.pop(obj.metadata.name, None)
