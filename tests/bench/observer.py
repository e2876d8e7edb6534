"""A watcher of the API server that notes when each namespace had its copy and its reference."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from webhook.kube.client import connect
from webhook.kube.reflector import Reflector
from webhook.kube.resources import SECRETS, SERVICE_ACCOUNTS, Collection
from webhook.sync.shapes import SecretObject, ServiceAccountObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

DEADLINE_SECONDS = 600.0
SYNC_SECONDS = 60.0


class Seen:
    """By namespace a version of what was last seen in it, and when it was seen first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._values: dict[str, tuple[str, float]] = {}

    def replace(self, objects: Iterable[tuple[str, str]]) -> None:
        for each in objects:
            self.upsert(each)

    def upsert(self, obj: tuple[str, str]) -> None:
        namespace, value = obj
        with self._changed:
            if self._values.get(namespace, ("", 0.0))[0] != value:
                self._values[namespace] = (value, time.perf_counter())
                self._changed.notify_all()

    def remove(self, obj: tuple[str, str]) -> None:
        with self._changed:
            self._values.pop(obj[0], None)

    def value(self, namespace: str) -> str:
        """Return what was last seen in a namespace."""
        with self._changed:
            return self._values.get(namespace, ("", 0.0))[0]

    def wait(self, namespaces: Iterable[str], wanted: Callable[[str], bool]) -> float:
        """Wait until what is in each of these namespaces is ``wanted``; return when the last of them became so."""
        missing = set(namespaces)
        latest = 0.0
        deadline = time.monotonic() + DEADLINE_SECONDS
        with self._changed:
            while True:
                for namespace in list(missing):
                    value, when = self._values.get(namespace, ("", 0.0))
                    if wanted(value):
                        missing.discard(namespace)
                        latest = max(latest, when)
                if not missing:
                    return latest
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"{len(missing)} namespaces are not as they should be, {min(missing)} for one")


class Observer:
    """Watches the copies of one name, and the ``default`` ServiceAccounts, as cluster-admin."""

    def __init__(self, kubeconfig: Path, copy_name: str) -> None:
        client = connect(kubeconfig)
        self.copies = Seen()
        self.references = Seen()
        self._reflectors = (
            Reflector(client, Collection(SECRETS, name=copy_name), SecretObject, _copy, self.copies),
            Reflector(
                client, Collection(SERVICE_ACCOUNTS, name="default"), ServiceAccountObject, _references, self.references
            ),
        )
        for reflector in self._reflectors:
            reflector.start()
        for reflector in self._reflectors:
            if not reflector.wait_synced(SYNC_SECONDS):
                raise TimeoutError("the API server is not answering")

    def stop(self) -> None:
        for reflector in self._reflectors:
            reflector.stop()


def _copy(obj: SecretObject) -> tuple[str, str]:
    return obj.metadata.namespace, (obj.data or {}).get(".dockerconfigjson", "")


def _references(obj: ServiceAccountObject) -> tuple[str, str]:
    return obj.metadata.namespace, ",".join((entry and entry.name) or "" for entry in obj.image_pull_secrets or ())
