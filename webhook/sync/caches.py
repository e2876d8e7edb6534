"""Everything the loop knows of the cluster, and the reflectors that keep it so.

The Secrets with a copy's name are watched name by name, across all namespaces, and the sources name by name in the
release namespace: RBAC grants exactly that, and no other Secret is ever read.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from webhook.core.state import NamespaceState
from webhook.kube.reflector import Reflector
from webhook.kube.resources import NAMESPACES, SECRETS, SERVICE_ACCOUNTS, Collection
from webhook.observe.sync_status import WatchStatus
from webhook.sync.shapes import (
    NamespaceObject,
    SecretObject,
    ServiceAccountObject,
    to_copy,
    to_namespace,
    to_service_account,
)
from webhook.sync.sources import Source, absent_source, read_source
from webhook.sync.table import NamespaceTable, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from webhook.core.model import Configuration
    from webhook.core.selection import Namespace
    from webhook.core.state import Copy, ServiceAccount
    from webhook.kube.client import Client
    from webhook.sync.release import Release
    from webhook.sync.sources import SourceBook

STOP_SECONDS = 20.0
"""How long a reflector may take to end: one request timeout and a little."""


class Caches:
    """The caches of the loop; ``changed(namespace)`` and ``refreshed()`` tell what to look at again.

    ``refreshed`` is called when a whole collection has been read for the first time. Nothing is read, and nobody is
    called, before the first :meth:`configure`: whoever makes the caches may not be complete before they are.
    """

    def __init__(
        self,
        client: Client,
        release: Release,
        sources: SourceBook,
        changed: Callable[[str], None],
        refreshed: Callable[[], None],
        on_restart: Callable[[Collection, str], None] | None = None,
    ) -> None:
        self._client = client
        self._release = release
        self._sources = sources
        self._changed = changed
        self._refreshed = refreshed
        self._on_restart = on_restart
        self._lock = threading.Lock()
        self.namespaces = NamespaceTable(changed)
        self.service_accounts: Table[ServiceAccount] = Table(_same_service_account, changed)
        self._copies: dict[str, Table[Copy]] = {}
        self._reflectors: dict[Collection, Reflector[Any, Any]] = {}

    def configure(self, configuration: Configuration) -> None:
        """Watch what a configuration names, and no longer what it does not; namespaces and ServiceAccounts always."""
        with self._lock:
            self._reflect(Collection(NAMESPACES), NamespaceObject, to_namespace, self.namespaces)
            self._reflect(Collection(SERVICE_ACCOUNTS), ServiceAccountObject, to_service_account, self.service_accounts)
            wanted = {self._copy_collection(name) for name in configuration.secret_names}
            wanted |= {self._source_collection(name) for name in configuration.source_names}
            gone = [
                self._reflectors.pop(collection)
                for collection in list(self._reflectors)
                if collection.resource is SECRETS and collection not in wanted
            ]
            for reflector in gone:
                reflector.stop()
            for reflector in gone:
                reflector.join(STOP_SECONDS)
            self._copies = {
                # Not "or": a table is false while it is empty, and its reflector goes on filling the one that it has.
                name: self._copies[name] if name in self._copies else Table(_same_copy, self._changed)
                for name in configuration.secret_names
            }
            for name in configuration.secret_names:
                self._reflect(self._copy_collection(name), SecretObject, self._to_copy, self._copies[name])
            for name in configuration.source_names:
                self._reflect(
                    self._source_collection(name), SecretObject, read_source, _SourceWatch(name, self._sources)
                )

    def stop(self) -> None:
        """Ask every reflector to end."""
        with self._lock:
            for reflector in self._reflectors.values():
                reflector.stop()

    def copies(self, name: str) -> Table[Copy] | None:
        """Return the Secrets that have the name of a copy; None when that name is not configured."""
        return self._copies.get(name)

    def has_copies(self, name: str) -> bool:
        """Whether there are copies of that name that this release has made."""
        table = self._copies.get(name)
        rows = [] if table is None else [table.of_namespace(namespace).get(name) for namespace in table.namespaces()]
        return any(copy is not None and copy.ours for copy in rows)

    def state_of(self, namespace: Namespace) -> NamespaceState:
        """Return what is known of a namespace, for a plan."""
        copies = {}
        for name, table in self._copies.items():
            copy = table.of_namespace(namespace.name).get(name)
            if copy is not None:
                copies[name] = copy
        accounts = self.service_accounts.of_namespace(namespace.name)
        return NamespaceState(namespace, copies, tuple(accounts.values()))

    def known_part(self, configuration: Configuration) -> Configuration:
        """Return the configuration without the pull secrets that cannot be judged yet.

        A name whose Secrets have not been listed (a right that is missing, a watch just begun) must delay only itself.
        """
        return replace(
            configuration,
            pull_secrets=tuple(
                entry
                for entry in configuration.pull_secrets
                if self._has_synced(self._copy_collection(entry.name)) and self._sources.knows(entry.sources)
            ),
            retired=tuple(name for name in configuration.retired if self._has_synced(self._copy_collection(name))),
        )

    @property
    def has_synced(self) -> bool:
        """Whether namespaces and ServiceAccounts are known: without them nothing can be planned."""
        return all(self._has_synced(Collection(resource)) for resource in (NAMESPACES, SERVICE_ACCOUNTS))

    def unsynced(self) -> list[str]:
        """Return what has not been read for the first time yet."""
        with self._lock:
            return [str(collection) for collection, reflector in self._reflectors.items() if not reflector.has_synced]

    def disconnected(self) -> list[str]:
        """Return what is not being watched at this moment."""
        with self._lock:
            return [str(collection) for collection, reflector in self._reflectors.items() if not reflector.is_connected]

    def watches(self) -> tuple[WatchStatus, ...]:
        """Return how each watch is; takes no lock, because a change of configuration holds it for seconds."""
        return tuple(
            WatchStatus(str(collection), reflector.has_synced, reflector.is_connected)
            for collection, reflector in list(self._reflectors.items())
        )

    def _has_synced(self, collection: Collection) -> bool:
        reflector = self._reflectors.get(collection)
        return reflector is not None and reflector.has_synced

    def _reflect(self, collection: Collection, shape: Any, convert: Any, handler: Any) -> None:  # noqa: ANN401
        # One place for every collection: the four types go together, which no signature over all of them can say.
        if collection in self._reflectors:
            return
        reflector: Reflector[Any, Any] = Reflector(
            self._client, collection, shape, convert, handler, on_restart=self._on_restart, on_synced=self._refreshed
        )
        self._reflectors[collection] = reflector
        reflector.start()

    def _to_copy(self, obj: SecretObject) -> Copy:
        return to_copy(obj, self._release)

    def _copy_collection(self, name: str) -> Collection:
        return Collection(SECRETS, name=name)

    def _source_collection(self, name: str) -> Collection:
        return Collection(SECRETS, self._release.namespace, name)


class _SourceWatch:
    """Hands the states of one source to the book; its absence is a state too."""

    def __init__(self, name: str, sources: SourceBook) -> None:
        self._name = name
        self._sources = sources

    def replace(self, objects: Iterable[Source]) -> None:
        self._sources.take(next(iter(objects), None) or absent_source(self._name))

    def upsert(self, obj: Source) -> None:
        self._sources.take(obj)

    def remove(self, obj: Source) -> None:
        self._sources.take(absent_source(obj.name))


def _same_service_account(old: ServiceAccount, new: ServiceAccount) -> bool:
    return (old.labels, old.references, old.terminating, old.enforces) == (
        new.labels,
        new.references,
        new.terminating,
        new.enforces,
    )


def _same_copy(old: Copy, new: Copy) -> bool:
    return replace(old, resource_version=new.resource_version) == new
