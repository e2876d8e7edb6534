"""Cache the cluster state that the controller needs, and keep it up to date with reflectors.

The Secrets with a copy's name are watched name by name, across all namespaces. The sources are watched name by name in
the release namespace. RBAC grants exactly that, and no other Secret is ever read.
"""

from __future__ import annotations

import threading
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from webhook.kube.objects import ScopedDecoder, SecretObject, to_copy
from webhook.kube.reflector import Reflector
from webhook.kube.resources import NAMESPACES, SECRETS, SERVICE_ACCOUNTS, Collection
from webhook.ops.sync_status import WatchStatus
from webhook.rules.backfill import needs_plan, too_many
from webhook.rules.gates import selected_pull_secrets
from webhook.rules.namespace_tokens import token_accounts
from webhook.rules.objects import Copy, NamespaceState
from webhook.rules.ownership import Ownership, ownership_of
from webhook.rules.scope import CacheScope, part_within, scope_of
from webhook.sync.selections import SelectionHistory
from webhook.sync.source import Source, read_source
from webhook.sync.table import NamespaceTable, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from webhook.kube.client import Client
    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import Namespace, ServiceAccount
    from webhook.rules.ownership import Release
    from webhook.sync.sources import SourceStore

JUDGED_PER_SECOND = 20_000
"""ServiceAccounts of one namespace that its plans may judge in a second: about a tenth of a core."""

FEW_ACCOUNTS = 100
"""A namespace with at most this many ServiceAccounts is planned without delay."""

STOP_SECONDS = 20.0
"""Seconds that a reflector may take to end: one request timeout and a little."""


class Caches:
    """The caches of the controller; they call ``changed(namespace)`` and ``refreshed()`` to have work queued.

    ``changed_later(namespace, seconds)`` is called instead if one plan is to serve several changes. ``refreshed`` is
    called when a whole collection has been read for the first time. Before the first :meth:`configure` nothing is read
    and no callback is called, because their owner may not be complete before.

    ``judged(cause, number)`` counts ServiceAccounts that are compared with the configuration, ``changed`` alone or
    ``planned`` with their namespace.
    """

    def __init__(
        self,
        client: Client,
        release: Release,
        sources: SourceStore,
        changed: Callable[[str], None],
        changed_later: Callable[[str, float], None],
        refreshed: Callable[[], None],
        on_restart: Callable[[Collection, str], None] | None = None,
        judged: Callable[[str, int], None] = lambda *_: None,
    ) -> None:
        self._client = client
        self._release = release
        self._sources = sources
        self._changed = changed
        self._changed_later = changed_later
        self._refreshed = refreshed
        self._on_restart = on_restart
        self._judged = judged
        # Held while a configuration is put into force. Plans and the status read without it, so what they iterate over
        # is replaced or copied as a whole.
        self._lock = threading.Lock()
        self.selections = SelectionHistory()
        self.namespaces = NamespaceTable(self._namespace_changed, self.selections.forget)
        self.service_accounts: Table[ServiceAccount] = Table(
            _same_service_account, self._service_account_changed, self._service_account_matters
        )
        self._configuration: Configuration | None = None
        self._readable: tuple[Configuration, list[CacheScope], Configuration] | None = None
        self._wholly_known: Configuration | None = None
        self._decoder = ScopedDecoder(CacheScope())
        self._scoped: dict[Collection, _ScopedTable] = {}
        self._copies: dict[str, Table[Copy]] = {}
        self._reflectors: dict[Collection, Reflector[Any, Any]] = {}
        self._renewing: list[Collection] = []

    def configure(self, configuration: Configuration, accepted: Configuration | None = None) -> None:
        """Watch the Secrets that a configuration names, and no others; namespaces and ServiceAccounts always.

        The parts of namespaces that the ``accepted`` configuration reads are kept as well, so that both can be
        compared.
        """
        with self._lock:
            self._configuration = configuration
            self._wholly_known = None
            scope = scope_of(configuration)
            self._reflect_scoped(scope if accepted is None else scope.with_labels_of(scope_of(accepted)))
            needed = {self._copy_collection(name) for name in configuration.secret_names}
            needed |= {self._source_collection(name) for name in configuration.source_names}
            gone = [
                self._reflectors.pop(collection)
                for collection in list(self._reflectors)
                if collection.resource is SECRETS and collection not in needed
            ]
            _stop_all(gone)
            self._copies = {
                # Not "or": an empty table is false, and its reflector continues to fill the old one.
                name: self._copies[name] if name in self._copies else Table(_same_copy, self._changed)
                for name in configuration.secret_names
            }
            for name in configuration.secret_names:
                self._reflect(self._copy_collection(name), SecretObject, self._to_copy, self._copies[name])
            for name in configuration.source_names:
                self._reflect(
                    self._source_collection(name), SecretObject, read_source, _SourceWatch(name, self._sources)
                )
        # The new configuration may select less, and a loss must be noticed before the first plan.
        for name in self.namespaces.names():
            self._observe_selection(name)

    def stop(self) -> None:
        """Signal every reflector to end."""
        with self._lock:
            for reflector in self._reflectors.values():
                reflector.stop()

    def copies(self, name: str) -> Table[Copy] | None:
        """Return the Secrets that have the name of a copy; None if that name is not configured."""
        return self._copies.get(name)

    def has_copies(self, name: str) -> bool:
        """Return True if copies of that name exist that this release has created."""
        return any(True for _ in self.namespaces_with_copies(name))

    def namespaces_with_copies(self, name: str) -> Iterator[str]:
        """Yield the namespaces that have a copy of that name that this release has created."""
        table = self._copies.get(name)
        if table is None:
            return
        for namespace in table.namespaces():
            copy, cached = table.get(namespace, name), self.namespaces.get(namespace)
            if copy is not None and cached is not None and ownership_of(copy.mark, cached.uid) is Ownership.OURS:
                yield namespace

    def copy(self, namespace: str, name: str) -> Copy | None:
        """Return the Secret with a copy's name in a namespace, whether it is ours or not."""
        table = self._copies.get(name)
        return None if table is None else table.get(namespace, name)

    def state_of(self, namespace: Namespace) -> NamespaceState:
        """Return the cached state of a namespace, for a plan."""
        copies = {}
        for name, table in self._copies.items():
            copy = table.get(namespace.name, name)
            if copy is not None:
                copies[name] = copy
        accounts = self.service_accounts.of_namespace(namespace.name)
        # Counted, because the work of a plan grows with the ServiceAccounts of its namespace, and a tenant chooses
        # their number.
        self._judged("planned", len(accounts))
        return NamespaceState(namespace, copies, tuple(accounts.values()), self._uids(accounts))

    def _uids(self, accounts: Mapping[str, ServiceAccount]) -> Mapping[str, str] | None:
        """Return the UIDs of the ServiceAccounts that tokens are issued of; None if there are no such tokens."""
        names = self._decoder.scope.token_accounts
        return token_accounts(accounts.values(), names) if names else None

    def enforces_references(self, namespace: str) -> bool:
        """Return True if a ServiceAccount of a namespace enforces its references."""
        return any(account.enforces for account in self.service_accounts.of_namespace(namespace).values())

    def read_service_account(self, data: bytes) -> ServiceAccount:
        """Return the cached part of a ServiceAccount from a response of the API server."""
        return self._decoder.read_service_account(data)

    def readable_part(self, configuration: Configuration) -> Configuration:
        """Return the configuration without the parts of namespaces and ServiceAccounts that are not cached yet.

        After a configuration change, the lists that are now being read will add these parts.
        """
        scopes = [table.scope for table in self._scoped.values()]
        before = self._readable
        # The same for all plans and events until the configuration, or what is cached, changes.
        if before is not None and before[0] is configuration and before[1] == scopes:
            return before[2]
        part = configuration
        for scope in scopes:
            part = part_within(part, scope)
        self._readable = (configuration, scopes, part)
        return part

    def known_part(self, readable: Configuration) -> Configuration:
        """Return the part of a :meth:`readable_part` whose pull secrets can be judged already.

        A name whose Secrets have not been listed (a missing right, a new watch) must delay only itself.
        """
        if readable is self._wholly_known:
            return readable
        part = readable.part(
            tuple(
                [
                    entry
                    for entry in readable.pull_secrets
                    # Secrets of tenants are not watched, so no list of them is awaited.
                    if entry.tenant_owned or (self.has_listed(entry.name) and self._sources.has_read(entry.sources))
                ]
            ),
            tuple([name for name in readable.retired if self.has_listed(name)]),
        )
        if part is readable:
            self._wholly_known = readable  # until the next configuration: what has been read stays known
        return part

    def has_listed(self, name: str) -> bool:
        """Return True if the Secrets of a copy's name have been listed."""
        return self._has_synced(self._copy_collection(name))

    def can_judge(self, configuration: Configuration) -> bool:
        """Return True if all labels of namespaces that a configuration reads are cached."""
        scope = scope_of(configuration)
        return self.has_synced and all(
            table.scope.namespace_labels >= scope.namespace_labels for table in self._scoped.values()
        )

    @property
    def has_synced(self) -> bool:
        """True if namespaces and ServiceAccounts are cached; no plan is possible without them."""
        return bool(self._scoped) and all(table.filled for table in self._scoped.values())

    def renew(self) -> None:
        """Reopen every watch, and list the namespaces again: the cache of a standby may be old without a sign of it.

        Writes to copies and ServiceAccounts depend on the version that was seen. So their watches resume from where
        they were. Only a list protects a namespace that has opted out in the meantime.
        """
        self._renewing = []
        for collection, reflector in list(self._reflectors.items()):
            # A reflector that has not listed yet will read the current state anyway.
            if reflector.has_synced:
                reflector.renew(relist=collection.resource is NAMESPACES)
                self._renewing.append(collection)

    def not_renewed(self) -> list[Collection]:
        """Return the collections that the API server has not answered for since :meth:`renew`, except the sources."""
        pairs = [
            (collection, self._reflectors.get(collection))
            for collection in self._renewing
            # Only sources are watched within a namespace, and a new leader reads each of them by name.
            if collection.namespace is None
        ]
        return [
            collection
            for collection, reflector in pairs
            if reflector is not None and not (reflector.is_renewed and reflector.has_synced)
        ]

    def unsynced(self) -> list[str]:
        """Return the collections that have not been read for the first time yet."""
        with self._lock:
            return [str(collection) for collection, reflector in self._reflectors.items() if not reflector.has_synced]

    def watches(self) -> tuple[WatchStatus, ...]:
        """Return the status of each watch. It takes no lock, because a configuration change holds it for seconds."""
        return tuple(
            WatchStatus(str(collection), reflector.has_synced, reflector.is_connected)
            for collection, reflector in list(self._reflectors.items())
        )

    def _namespace_changed(self, name: str) -> None:
        self._observe_selection(name)
        self._changed(name)

    def _observe_selection(self, name: str) -> None:
        namespace, configuration = self.namespaces.get(name), self._configuration
        # A namespace that is being deleted takes its references with it: nothing in it is lost.
        if namespace is None or configuration is None or namespace.terminating:
            return
        # The whole configuration: a selection that the caches cannot judge yet is not lost.
        selected = selected_pull_secrets(configuration, namespace)
        self.selections.observe(name, namespace.uid, [entry.name for entry in selected])

    def _has_synced(self, collection: Collection) -> bool:
        reflector = self._reflectors.get(collection)
        return reflector is not None and reflector.has_synced

    def _service_account_changed(self, namespace: str) -> None:
        """Have a namespace planned; if a plan has many ServiceAccounts to judge, one plan serves many changes."""
        number = self.service_accounts.count_in(namespace)
        if number <= FEW_ACCOUNTS:
            self._changed(namespace)
        else:
            self._changed_later(namespace, number / JUDGED_PER_SECOND)

    def _service_account_matters(self, account: ServiceAccount) -> bool:
        """Judge one ServiceAccount that has changed or is gone, before its whole namespace is planned."""
        namespace, configuration = self.namespaces.get(account.namespace), self._configuration
        self._judged("changed", 1)
        # Two watches: the ServiceAccount may come before its namespace, or go after it. A ServiceAccount with a UID is
        # one that tokens are issued of: another UID makes the copy due.
        if namespace is None or configuration is None or account.uid:
            return True
        return needs_plan(account, namespace, self.readable_part(configuration))

    def _reflect_scoped(self, scope: CacheScope) -> None:
        """Watch namespaces and ServiceAccounts, and list them again if the configuration needs more of them."""
        # A smaller scope keeps the larger caches: to list the cluster again costs more than the surplus labels.
        if self._decoder.scope.covers(scope) and self._scoped:
            return
        decoder = self._decoder = ScopedDecoder(scope)
        # Joined before the new ones start: both fill the same tables, and an old row lacks labels of the new scope.
        _stop_all([self._reflectors.pop(collection) for collection in self._scoped])
        for collection, shape, convert, table in (
            (Collection(NAMESPACES), decoder.namespace, decoder.to_namespace, self.namespaces),
            (Collection(SERVICE_ACCOUNTS), decoder.service_account, decoder.to_service_account, self.service_accounts),
        ):
            before = self._scoped.get(collection)
            handler = self._scoped[collection] = _ScopedTable(table, scope, before)
            self._reflect(collection, shape, convert, handler)

    def _reflect(self, collection: Collection, shape: Any, convert: Any, handler: Any) -> None:  # noqa: ANN401
        # One place for every collection: the four types belong together, which a common signature cannot express.
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


class _ScopedTable:
    """Passes objects on to a table, and stores the scope with which its rows were read."""

    def __init__(self, table: Any, scope: CacheScope, before: _ScopedTable | None) -> None:  # noqa: ANN401
        self._table = table
        self._wanted = scope
        # Until the new list arrives, the rows and their scope are the previous ones, and plans continue with these.
        self.filled: bool = before is not None and before.filled
        self.scope: CacheScope = before.scope if before is not None else scope

    def replace(self, objects: Iterable[Any], resource_version: str) -> None:
        # The rows first: with the new scope before them, a label that was not read would look like one that is not set.
        self._table.replace(objects, resource_version)
        self.scope, self.filled = self._wanted, True

    def upsert(self, obj: Any) -> None:  # noqa: ANN401
        self._table.upsert(obj)

    def remove(self, obj: Any) -> None:  # noqa: ANN401
        self._table.remove(obj)


class _SourceWatch:
    """Passes the states of one source to the store; absence is a state too."""

    def __init__(self, name: str, sources: SourceStore) -> None:
        self._name = name
        self._sources = sources

    def replace(self, objects: Iterable[Source], _version: str) -> None:
        # A list of one name has one object or none; none is the proof that the source does not exist.
        self._sources.observe(next(iter(objects), None) or self._sources.absent(self._name))

    def upsert(self, obj: Source) -> None:
        self._sources.observe(obj, event_version=obj.resource_version)

    def remove(self, obj: Source) -> None:
        self._sources.observe(self._sources.absent(obj.name), event_version=obj.resource_version)


def _stop_all(reflectors: Sequence[Reflector[Any, Any]]) -> None:
    for reflector in reflectors:
        reflector.stop()
    for reflector in reflectors:
        # After all have been signalled, so that they end at the same time.
        reflector.join(STOP_SECONDS)


def _same_service_account(old: ServiceAccount, new: ServiceAccount) -> bool:
    return _plan_relevant_part(old) == _plan_relevant_part(new)


def _plan_relevant_part(account: ServiceAccount) -> tuple[object, ...]:
    """Return the part that plans depend on. The positions of our names matter only to the patch that removes them."""
    references = account.references
    listed = None if references is None else (references.present, references.names, too_many(references))
    return account.labels, listed, account.terminating, account.enforces, account.ownership, account.uid


def _same_copy(old: Copy, new: Copy) -> bool:
    return _ALL_BUT_VERSION(old) == _ALL_BUT_VERSION(new)


# The version grows with each write of any field, also of those that no plan reads.
_ALL_BUT_VERSION = attrgetter(*(name for name in Copy.__struct_fields__ if name != "resource_version"))
