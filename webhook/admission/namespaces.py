"""The labels of all namespaces, kept by a watch; only for configurations with a ``namespaceSelector``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from webhook.core.selection import Namespace


class NamespaceLabels:
    """A reflector's handler that answers what labels a namespace has.

    The reflector's thread writes, the event loop reads: each write is one operation on a dictionary, which is atomic.
    """

    def __init__(self) -> None:
        self._labels: dict[str, Mapping[str, str]] = {}

    def labels_of(self, namespace: str) -> Mapping[str, str] | None:
        """Return the labels of ``namespace``, or None when it is not known."""
        return self._labels.get(namespace)

    def replace(self, objects: Iterable[Namespace]) -> None:
        self._labels = {namespace.name: namespace.labels for namespace in objects}

    def upsert(self, obj: Namespace) -> None:
        self._labels[obj.name] = obj.labels

    def remove(self, obj: Namespace) -> None:
        self._labels.pop(obj.name, None)
