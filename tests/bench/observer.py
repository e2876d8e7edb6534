"""A watcher of the API server that notes when each namespace had its copy and its reference."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from tests.unit.polling import until
from webhook.kube.connect import connect
from webhook.kube.objects import SecretObject
from webhook.kube.reflector import Reflector
from webhook.kube.resources import SECRETS, SERVICE_ACCOUNTS, Collection
from webhook.kube.wire import ObjectMeta

DEADLINE_SECONDS = 600.0
SECONDS_EACH = 0.03
"""Seconds that each namespace adds to the deadline: ten times as many as it takes on a quiet machine."""

SYNC_SECONDS = 60.0


class _Reference(msgspec.Struct):
    name: str = ""


class ServiceAccountObject(msgspec.Struct, rename="camel"):
    """A ServiceAccount with every reference that it has."""

    metadata: ObjectMeta
    image_pull_secrets: list[_Reference] = []


class _Goal:
    """Namespaces of which something is wanted, and when the last of them had it."""

    def __init__(self, namespaces: Iterable[str], wanted: Callable[[str], bool]) -> None:
        self.missing = set(namespaces)
        self.latest = 0.0
        self._wanted = wanted

    def look(self, namespace: str, value: str, when: float) -> None:
        if namespace in self.missing and self._wanted(value):
            self.missing.discard(namespace)
            self.latest = max(self.latest, when)


class Seen:
    """By namespace a version of what was last seen in it, and when it was seen first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._values: dict[str, tuple[str, float]] = {}
        self._goals: list[_Goal] = []

    def replace(self, objects: Iterable[tuple[str, str]], _version: str) -> None:
        for each in objects:
            self.upsert(each)

    def upsert(self, obj: tuple[str, str]) -> None:
        namespace, value = obj
        with self._changed:
            known = self._values.get(namespace)
            if known is None or known[0] != value:
                when = time.perf_counter()
                self._values[namespace] = (value, when)
                # Only the one that changed is looked at: who measures must not need more time than what is measured.
                for goal in self._goals:
                    goal.look(namespace, value, when)
                    if not goal.missing:
                        self._changed.notify_all()

    def remove(self, obj: tuple[str, str]) -> None:
        self.upsert((obj[0], ""))

    def value(self, namespace: str) -> str:
        """Return what was last seen in a namespace."""
        with self._changed:
            return self._values.get(namespace, ("", 0.0))[0]

    def earliest(self, namespaces: Iterable[str]) -> float:
        """Return when the first of these namespaces changed to what it has now."""
        with self._changed:
            return min(self._values[namespace][1] for namespace in namespaces)

    def wait(self, namespaces: Iterable[str], wanted: Callable[[str], bool]) -> float:
        """Wait until what is in each of these namespaces is ``wanted``; return when the last of them became so.

        A namespace in which nothing has been seen is not what anybody wants.
        """
        goal = _Goal(namespaces, wanted)
        deadline = time.monotonic() + DEADLINE_SECONDS + len(goal.missing) * SECONDS_EACH
        with self._changed:
            for namespace in goal.missing & self._values.keys():
                goal.look(namespace, *self._values[namespace])
            self._goals.append(goal)
            try:
                while goal.missing:
                    if not self._changed.wait(deadline - time.monotonic()):
                        missing = f"{len(goal.missing)} namespaces are not as they should be"
                        raise TimeoutError(f"{missing}, {min(goal.missing)} for one")
            finally:
                self._goals.remove(goal)
            return goal.latest


NEW_ACCOUNT = "builder"
"""The name of the ServiceAccounts that are created during a rotation, one in a namespace."""


class Observer:
    """Watches the copies of one name, and the ServiceAccounts ``default`` and :data:`NEW_ACCOUNT`, as cluster-admin."""

    def __init__(self, kubeconfig: Path, copy_name: str) -> None:
        client = connect(kubeconfig)
        self.copies = Seen()
        self.references = Seen()
        self.new_references = Seen()
        self._reflectors: tuple[Reflector[Any, Any], ...] = (
            Reflector(client, Collection(SECRETS, name=copy_name), SecretObject, _copy, self.copies),
            *(
                Reflector(client, Collection(SERVICE_ACCOUNTS, name=name), ServiceAccountObject, _references, seen)
                for name, seen in (("default", self.references), (NEW_ACCOUNT, self.new_references))
            ),
        )
        for reflector in self._reflectors:
            reflector.start()
        for reflector in self._reflectors:
            until(lambda: reflector.has_synced, SYNC_SECONDS)  # noqa: B023 - called before the next one

    def stop(self) -> None:
        for reflector in self._reflectors:
            reflector.stop()


def _copy(obj: SecretObject) -> tuple[str, str]:
    return obj.metadata.namespace, (obj.data or {}).get(".dockerconfigjson", "")


def _references(obj: ServiceAccountObject) -> tuple[str, str]:
    return obj.metadata.namespace, ",".join(entry.name for entry in obj.image_pull_secrets)
