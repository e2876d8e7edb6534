"""Remove references and copies from all namespaces, pass after pass, until a pass finds none.

Each pass lists the cluster, because the cleanup job runs only once and keeps no watches.
"""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import structlog
from msgspec.structs import replace

from webhook.errors import ApiError
from webhook.kube.listing import list_decoder, list_objects
from webhook.kube.objects import ScopedDecoder, SecretObject, to_copy
from webhook.kube.resources import NAMESPACES, SECRETS, SERVICE_ACCOUNTS, Collection
from webhook.report.removals import Removable
from webhook.rules.objects import NamespaceState
from webhook.rules.ownership import FIELD_MANAGER, Ownership
from webhook.rules.plan import plan_uninstall
from webhook.rules.scope import scope_of
from webhook.rules.timing import delay
from webhook.sync.contention import Contention
from webhook.sync.executor import Executor
from webhook.sync.status_index import Result, WriteReverted
from webhook.sync.table import Table
from webhook.sync.writes import LeadershipLost, Unfinished, Writes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from webhook.kube.client import Client
    from webhook.rules.actions import NamespacePlan, RemoveReferences
    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import Copy, Namespace, ServiceAccount
    from webhook.rules.ownership import Release


class ClusterSnapshot:
    """Namespaces, their ServiceAccounts, and the Secrets that have one of the configuration's names."""

    def __init__(self, client: Client, release: Release, configuration: Configuration) -> None:
        self._client = client
        self._release = release
        self._namespaces: dict[str, Namespace] = {}
        self.service_accounts: Table[ServiceAccount] = Table(_always_changed, _ignore_change)
        self._decoder = ScopedDecoder(scope_of(configuration))
        self._copies: dict[str, Table[Copy]] = {
            name: Table(_always_changed, _ignore_change) for name in configuration.secret_names
        }

    def read(self) -> dict[str, ApiError]:
        """Read all of it again; return why Secrets of some names could not be listed.

        Raises:
            ApiError: namespaces or ServiceAccounts could not be listed, which are always needed.
        """
        decoder = self._decoder
        namespaces = self._list(Collection(NAMESPACES), decoder.namespace, decoder.to_namespace)
        self._namespaces = {namespace.name: namespace for namespace in namespaces}
        self.service_accounts.replace(
            self._list(Collection(SERVICE_ACCOUNTS), decoder.service_account, decoder.to_service_account)
        )
        unread = {}
        for name, table in self._copies.items():
            # The right to one name can be missing alone. The others are removed nevertheless.
            try:
                table.replace(self._list(Collection(SECRETS, name=name), SecretObject, self._to_copy))
            except ApiError as error:
                unread[name] = error
        return unread

    def copies(self, name: str) -> Table[Copy] | None:
        """Return the Secrets of that name; None for a name that is not in the configuration."""
        return self._copies.get(name)

    def read_service_account(self, data: bytes) -> ServiceAccount:
        """Return the cached part of a ServiceAccount from a response of the API server."""
        return self._decoder.read_service_account(data)

    def states(self) -> Iterator[NamespaceState]:
        """Yield the cached state of each namespace, by name."""
        for name in sorted(self._namespaces):
            yield self.state_of(name)

    def state_of(self, name: str) -> NamespaceState:
        """Return the cached state of a listed namespace, including our own writes."""
        namespace = self._namespaces[name]
        cached = {secret: table.get(namespace.name, secret) for secret, table in self._copies.items()}
        copies = {secret: copy for secret, copy in cached.items() if copy is not None}
        accounts = self.service_accounts.of_namespace(namespace.name)
        return NamespaceState(namespace, copies, tuple(accounts.values()))

    def _list(self, collection: Collection, shape: Any, convert: Callable[[Any], Any]) -> list[Any]:  # noqa: ANN401
        objects, _ = list_objects(self._client, collection, list_decoder(shape), convert)
        return objects

    def _to_copy(self, obj: SecretObject) -> Copy:
        return to_copy(obj, self._release)


def _always_changed(_old: object, _new: object) -> bool:
    return False


def _ignore_change(_namespace: str) -> None:
    """Ignore a change: the next pass reads everything again."""


log = structlog.get_logger(__name__)

WORKERS = 8
"""Namespaces at a time: more are no faster, because a write costs a process about a millisecond of its one core."""

MAX_REFUSED_PASSES = 3
"""After this many passes in a row in which all writes were refused, further passes are useless."""

MAX_REVERTS = 3
"""After this many reverted removals in one namespace, its references without a copy belong to another webhook."""

PROGRESS_EVERY = 100
PAUSE_BASE = 0.5
PAUSE_CAP = 5.0


class Removal:
    """The objects to remove, and the obstacles so far; ``may_continue()`` is called before each write, plan and pass.

    ``wait(seconds)`` waits, or returns immediately if no time is left.
    """

    def __init__(
        self,
        client: Client,
        release: Release,
        configuration: Configuration,
        may_continue: Callable[[], bool],
        wait: Callable[[float], None],
    ) -> None:
        self._configuration = configuration
        self._may_continue = may_continue
        self._wait = wait
        self._snapshot = ClusterSnapshot(client, release, configuration)
        writes = Writes(client, release, self._snapshot, Contention(), may_continue, self._count_write)
        self._executor = Executor(writes, lambda *_: None)
        self._lock = threading.Lock()
        self._errors: dict[str, ApiError] = {}
        self._reverts: dict[str, int] = {}
        self._unlisted: dict[str, ApiError] = {}
        self._read_error: ApiError | None = None
        self.done: dict[str, int] = {}
        """Number of writes of each kind."""

    def run(self) -> list[Removable]:
        """Remove all that can be removed; return what is left and why."""
        refused_passes = passes = 0
        while self._may_continue():
            before = sum(self.done.values())
            plans = self._pass()
            passes += 1
            errors = [
                *self._errors.values(),
                *self._unlisted.values(),
                *([self._read_error] if self._read_error else ()),
            ]
            if not plans and not errors:
                return []
            wrote = sum(self.done.values()) > before
            refused = bool(errors) and all(error.is_lasting for error in errors)
            # A write that succeeded is progress, so that the count begins again.
            refused_passes = refused_passes + 1 if refused and not wrote else 0
            if refused_passes == MAX_REFUSED_PASSES:
                break
            if passes > 1 or errors or not wrote:  # otherwise only check that this was all
                self._pause(passes, errors)
        # Until a pass has found nothing, it is not known what is left: an empty list would be untrue.
        return list(self._remaining()) or [
            Removable("Cluster", part="its objects are not known", cause="there was no time to look")
        ]

    def preview(self) -> list[Removable]:
        """Return the objects to remove now; nothing is written.

        Raises:
            ApiError: something could not be read.
        """
        # A preview that lacks a part would be confirmed by a person who has not seen all of it.
        for error in self._snapshot.read().values():
            raise error
        return [item for namespace, plan in self._plans().items() for item in _removables(namespace, plan)]

    def _pause(self, passes: int, errors: Sequence[ApiError]) -> None:
        # The pauses grow, so that a controller that restores what is removed is not raced.
        retry_after = max((error.retry_after or 0.0 for error in errors), default=0.0)
        self._wait(max(retry_after, delay(passes, random.random(), base=PAUSE_BASE, cap=PAUSE_CAP)))  # noqa: S311 (jitter)

    def _pass(self) -> dict[str, NamespacePlan]:
        """Try everything once; return the plan of each namespace that had one."""
        self._errors.clear()
        self._read_error = None
        try:
            self._unlisted = self._snapshot.read()
        except ApiError as error:
            log.warning("cluster not read", cause=str(error))
            self._read_error = error
            return {}
        plans = self._plans()
        log.info("pass begun", namespaces=len(plans))
        with ThreadPoolExecutor(WORKERS) as pool:
            # The results are read, because an error that is not one of the API server is raised only here.
            for number, _ in enumerate(pool.map(self._carry_out, plans, plans.values()), start=1):
                if number % PROGRESS_EVERY == 0:
                    log.info("pass continues", namespaces=len(plans), done=number)
        return plans

    def _plans(self) -> dict[str, NamespacePlan]:
        plans = {state.namespace.name: self._plan(state) for state in self._snapshot.states()}
        return {namespace: plan for namespace, plan in plans.items() if not plan.is_empty}

    def _plan(self, state: NamespaceState) -> NamespacePlan:
        # If the Secrets of a name are unknown, the owner of references to that name is unknown too.
        configuration = replace(
            self._configuration,
            pull_secrets=tuple(entry for entry in self._configuration.pull_secrets if entry.name not in self._unlisted),
            retired=tuple(name for name in self._configuration.retired if name not in self._unlisted),
        )
        plan = plan_uninstall(state, configuration)
        # Another release may inject the same names. Its references return as often as they are removed, so they are
        # left to it.
        if self._reverts.get(state.namespace.name, 0) < MAX_REVERTS:
            return plan
        others = configuration.tenant_names
        return replace(
            plan, removals=tuple(filter(None, (_with_copies_only(removal, others) for removal in plan.removals)))
        )

    def _carry_out(self, namespace: str, plan: NamespacePlan) -> None:
        try:
            # A plan begins with reads, and those of many namespaces can delay the end.
            while self._may_continue() and self._has_more(namespace, plan):
                # The snapshot has the responses to our own writes, so the next plan continues after them.
                plan = self._plan(self._snapshot.state_of(namespace))
        except LeadershipLost:
            return  # no time is left: the rest is reported later
        except ApiError as error:
            log.warning("namespace failed", namespace=namespace, cause=str(error))
            with self._lock:
                self._errors[namespace] = error
                self._reverts[namespace] = self._reverts.get(namespace, 0) + isinstance(error, WriteReverted)

    def _has_more(self, namespace: str, plan: NamespacePlan) -> bool:
        """Carry out a plan; return True if a list was so long that a second plan has to continue with it."""
        try:
            self._executor.carry_out(namespace, plan, {})
        except Unfinished:
            return True
        return False

    def _count_write(self, action: str, result: Result) -> None:
        if result is Result.OK:
            # All workers call this.
            with self._lock:
                self.done[action] = self.done.get(action, 0) + 1

    def waiting(self) -> list[Removable]:
        """Return the copies that are deleted but still exist because of another party's finalizer.

        They do not count as left: a tenant can add a finalizer, and must not be able to stop an uninstallation.
        """
        return [
            Removable(SECRETS.kind, copy.name, copy.namespace, cause="it is being deleted, and a finalizer keeps it")
            for state in self._snapshot.states()
            if not state.namespace.terminating
            for copy in state.copies.values()
            if copy.terminating and state.ownership(copy) is Ownership.OURS
        ]

    def _remaining(self) -> Iterator[Removable]:
        if self._read_error is not None:
            yield Removable("Cluster", part="its objects are not known", cause=str(self._read_error))
        for name, error in self._unlisted.items():
            yield Removable(SECRETS.kind, name, part="in all namespaces, and the references to it", cause=str(error))
        for namespace, plan in self._plans().items():
            cause = str(self._errors.get(namespace, "there was no time left"))
            yield from _removables(namespace, plan, cause)


def _removables(namespace: str, plan: NamespacePlan, cause: str = "") -> Iterator[Removable]:
    for removal in plan.removals:
        part = f"its references to {', '.join(removal.names)}"
        yield Removable(SERVICE_ACCOUNTS.kind, removal.service_account.name, namespace, part, cause)
    for action in plan.hand_backs:
        part = f"the entry of {FIELD_MANAGER} in its managedFields"
        yield Removable(SERVICE_ACCOUNTS.kind, action.service_account.name, namespace, part, cause)
    for deletion in plan.deletions:
        yield Removable(SECRETS.kind, deletion.copy.name, namespace, cause=cause)


def _with_copies_only(removal: RemoveReferences, tenants: Sequence[str]) -> RemoveReferences | None:
    """Return the part of a removal for which a copy of ours exists; those of ``tenants`` are not copies."""
    names = tuple(name for name in removal.names if name not in removal.without_copy and name not in tenants)
    return replace(removal, names=names, without_copy=()) if names else None
