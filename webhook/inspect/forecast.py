"""Read a cluster once, and predict the actions of the controller and the webhook in it, or a rotation.

A namespace that is not selected and has no copy of ours is only counted. So ten thousand namespaces fit into the memory
of a small tool. Labels and configurations can be assumed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec.structs import replace

from webhook.errors import Forbidden, UsageError
from webhook.inspect.healing import pulled_pod, read_records
from webhook.inspect.namespaces import list_namespaces, opt_in_labels, read_namespace
from webhook.inspect.obstacles import parse_time
from webhook.inspect.reader import FEW, lacking
from webhook.inspect.rotation import entry_to_rotate
from webhook.inspect.secrets import iterate_copies, read_copy, read_sources, read_state
from webhook.inspect.workloads import RUNNING
from webhook.kube.objects import ScopedDecoder, decode_secret, to_copy
from webhook.kube.pods import decode_pod
from webhook.kube.resources import PODS, SECRETS, SERVICE_ACCOUNTS, Collection
from webhook.kube.storage import decode_stored
from webhook.kube.wire import PartialObjectMetadata, decoder
from webhook.report.healing import HealingForecast, LackingPod
from webhook.report.preview.cluster import ORIGIN, Forecaster
from webhook.report.preview.preview import Preview
from webhook.report.preview.row import Effect, PreviewReason, Row
from webhook.report.preview.secrets import source_outcome
from webhook.report.rotation_forecast import RotationForecast, measured_pace
from webhook.rules.actions import FindingReason
from webhook.rules.brake import Removals, confirm_command, digest, lost_by_change
from webhook.rules.gates import selected_pull_secrets
from webhook.rules.mistyped import mistyped_opt_in
from webhook.rules.namespace_tokens import token_accounts
from webhook.rules.objects import Copy, NamespaceState, ServiceAccount
from webhook.rules.ownership import Ownership, ownership_of
from webhook.rules.scope import scope_of
from webhook.rules.state_document import STATE_SUFFIX
from webhook.rules.subject import AdmittedObject
from webhook.rules.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from webhook.inspect.reader import Reader
    from webhook.inspect.release import InstalledRelease
    from webhook.kube.resources import Resource
    from webhook.report.preview.secrets import Expected, Sources
    from webhook.rules.brake import PastRemoval
    from webhook.rules.configuration import Configuration, OptIn, PullSecret
    from webhook.rules.objects import Namespace


class WhatIf(msgspec.Struct, frozen=True):
    """The namespaces that would opt in, and those that would opt out."""

    opted_in: frozenset[str] = frozenset()
    opted_out: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """All of these namespaces."""
        return self.opted_in | self.opted_out

    def apply(self, namespaces: Iterable[Namespace], opt_in: OptIn) -> list[Namespace]:
        """Return the namespaces with the assumed labels; UsageError if one of them does not exist."""
        labelled = [self._labelled(namespace, opt_in) for namespace in namespaces]
        absent = sorted(self.names - {namespace.name for namespace in labelled})
        if absent:
            raise UsageError(
                f"namespace {absent[0]} does not exist, or is not among those that are looked at; list them: "
                "kubectl get namespaces"
            )
        return labelled

    def _labelled(self, namespace: Namespace, opt_in: OptIn) -> Namespace:
        if namespace.name not in self.names:
            return namespace
        labels = {key: value for key, value in namespace.labels.items() if key != opt_in.label}
        # Without the label, a namespace is out of the scope Labelled, and in the scope All.
        if (namespace.name in self.opted_in) is not opt_in.is_everywhere:
            labels[opt_in.label] = opt_in.deciding_value
        return replace(namespace, labels=labels)


def unretired_names(running: Configuration | None, chosen: Configuration) -> list[str]:
    """Return the names without sources in the chosen configuration that are not retired: their copies would stay."""
    return [] if running is None else sorted(set(running.secret_names) - set(chosen.secret_names))


_T = TypeVar("_T")

LISTS_AT_ONCE = 4


_decode_metadata: Callable[[bytes | msgspec.Raw], PartialObjectMetadata] = decoder(PartialObjectMetadata)
_decode_pod: Callable[[bytes | msgspec.Raw], AdmittedObject] = decoder(AdmittedObject)


class NamespaceQuery(msgspec.Struct, frozen=True):
    """The namespaces to read: one, or all that a label selector selects; and the assumed opt-ins and opt-outs."""

    namespace: str = ""
    selector: str = ""
    what_if: WhatIf = msgspec.field(default_factory=WhatIf)

    def lists_all_of(self, namespace: str) -> bool:
        """Return True if the user named this very namespace, so that unchanged objects have a row too."""
        return namespace == self.namespace or namespace in self.what_if.names


def forecast(
    reader: Reader, installed: InstalledRelease, scope: NamespaceQuery, now: datetime, *, issues: bool = False
) -> Preview:
    """Return the changes in the namespaces of ``scope`` at this time; UsageError if they must not be read.

    With ``issues``, sync is assumed to issue the credentials that are due, and the changes include what follows.
    """
    namespaces = scope.what_if.apply(_namespaces(reader, installed, scope), installed.configuration.opt_in)
    with ThreadPoolExecutor(LISTS_AT_ONCE, "list") as pool:
        return _Forecast(reader, installed, scope, namespaces, pool, now, issues=issues).preview()


def _namespaces(reader: Reader, installed: InstalledRelease, scope: NamespaceQuery) -> list[Namespace]:
    if scope.namespace:
        return [read_namespace(reader, scope.namespace)]
    return list_namespaces(reader, installed.configuration, scope.selector, installed.running)


class _Forecast:
    def __init__(
        self,
        reader: Reader,
        installed: InstalledRelease,
        scope: NamespaceQuery,
        namespaces: list[Namespace],
        pool: ThreadPoolExecutor,
        now: datetime,
        *,
        issues: bool,
    ) -> None:
        self._issues = issues
        self._reader = reader
        self._installed = installed
        self._scope = scope
        self._namespaces = {namespace.name: namespace for namespace in namespaces}
        self._pool = pool
        self._now = now
        self._unseen: set[str] = set()
        self._accounts_unseen: list[str] = []
        self._unlisted = 0
        self._unlisted_pods = 0  # counted in a thread of its own

    def preview(self) -> Preview:
        reading = self._pool.submit(read_sources, self._reader, self._installed, self._now)
        copies = self._copies()
        sources = reading.result()
        configuration = self._installed.configuration
        expected_of = sources.expected_soon if self._issues else sources.expected
        expected = {entry.name: expected_of(entry) for entry in configuration.copied}
        forecaster = Forecaster(configuration, expected, self._unseen)
        selected = {
            name
            for name, namespace in self._namespaces.items()
            if self._scope.lists_all_of(name) or selected_pull_secrets(configuration, namespace)
        }
        looking = self._pool.submit(self._pods, forecaster, selected)
        accounts = self._accounts(selected | copies.keys())
        pods = self._healed(looking.result(), expected, sources)
        rows = [*self._source_rows(sources)]
        kept = Counter[str]()
        for name in sorted(self._namespaces):
            namespace_accounts = accounts.get(name, ())
            state = NamespaceState(
                self._namespaces[name],
                copies.get(name, {}),
                namespace_accounts,
                self._token_accounts(namespace_accounts),
            )
            for row in forecaster.of_namespace(state):
                if self._has_row(row):
                    rows.append(row)
                else:
                    self._unlisted += not row.is_copy
                    kept[row.title] += row.reason == PreviewReason.COPY_KEPT
            rows += pods.get(name, ())
        rows += self._kept_rows(kept, expected)
        return Preview(
            tuple(rows),
            unlisted=self._unlisted + self._unlisted_pods,
            copies=self._own_copy_names(copies),
            namespaces=len(self._namespaces),
            suspects=self._suspects(),
            unseen_copies=tuple(sorted(self._unseen)),
            unseen_accounts=tuple(self._accounts_unseen),
        )

    def _own_copy_names(self, copies: Mapping[str, Mapping[str, Copy]]) -> tuple[tuple[Namespace, frozenset[str]], ...]:
        """Return the namespaces that have copies of ours, and their names; empty if only a part was read."""
        if self._scope.namespace or self._scope.selector:
            return ()
        states = (NamespaceState(self._namespaces[name], copies_by_name) for name, copies_by_name in copies.items())
        return tuple(
            (
                state.namespace,
                frozenset(copy.name for copy in state.copies.values() if state.ownership(copy) is Ownership.OURS),
            )
            for state in states
        )

    def _kept_rows(self, kept: Mapping[str, int], expected: Mapping[str, Expected]) -> Iterator[Row]:
        """Yield one row for all copies of a pull secret that are kept: a row for each would hide the cause."""
        for name, content in expected.items():
            if number := kept.get(f"Secret/{name}", 0):
                them = counted(number, "copy is", "copies are")
                unchanged = "as it is" if number == 1 else "as they are"
                how = unchanged if content.last_good is None else "with the last good content"
                message = f"{them} kept {how}, because {content.problem}"
                where = self._installed.release.namespace
                yield Row(where, f"PullSecret/{name}", Effect.NONE, PreviewReason.COPY_KEPT, message)

    def _has_row(self, row: Row) -> bool:
        # A ServiceAccount that lacks a reference because there is no copy stays as it is, but this is not in order.
        waits = row.reason == FindingReason.SOURCE_UNAVAILABLE
        return waits or row.effect is not Effect.NONE or self._scope.lists_all_of(row.namespace)

    def _suspects(self) -> tuple[str, ...]:
        """Return the namespaces with a label that is probably meant to be the opt-in label."""
        configuration = self._installed.configuration
        others: frozenset[str] | None = None
        suspects = []
        for name, namespace in self._namespaces.items():
            if configuration.excludes(name) or mistyped_opt_in(namespace.labels, configuration.opt_in) is None:
                continue
            if others is None:
                others = opt_in_labels(self._reader)
            if mistyped_opt_in(namespace.labels, configuration.opt_in, others) is not None:
                suspects.append(name)
        return tuple(suspects)

    def _copies(self) -> dict[str, dict[str, Copy]]:
        copies_by_namespace: dict[str, dict[str, Copy]] = defaultdict(dict)
        for copies in self._pool.map(self._copies_named, self._installed.configuration.secret_names):
            for copy in copies:
                if copy.namespace in self._namespaces:
                    copies_by_namespace[copy.namespace][copy.name] = copy
        return copies_by_namespace

    def _copies_named(self, name: str) -> list[Copy]:
        release = self._installed.release
        if self._scope.namespace:
            read = read_copy(self._reader, release, name, self._scope.namespace)
            if not read.is_known:
                self._unseen.add(name)
            return [read.copy] if read.copy is not None else []
        try:
            return list(iterate_copies(self._reader, release, name, None))
        except Forbidden:
            self._reader.report_missing("list", f"{SECRETS.plural} named {name} across namespaces")
            self._unseen.add(name)
            return []

    def _accounts(self, namespaces: set[str]) -> dict[str, list[ServiceAccount]]:
        accounts_by_namespace: dict[str, list[ServiceAccount]] = defaultdict(list)
        shapes = ScopedDecoder(scope_of(self._installed.configuration))
        for item in self._each(SERVICE_ACCOUNTS, shapes.service_account, namespaces, {}):
            if item.metadata.namespace in namespaces:
                account = shapes.to_service_account(item)
                accounts_by_namespace[account.namespace].append(account)
            else:
                self._unlisted += item.metadata.namespace in self._namespaces
        return accounts_by_namespace

    def _token_accounts(self, accounts: Sequence[ServiceAccount]) -> Mapping[str, str] | None:
        names = self._installed.configuration.token_accounts
        return token_accounts(accounts, names) if names and not self._accounts_unseen else None

    def _healed(
        self, pods: dict[str, list[Row | LackingPod]], expected: Mapping[str, Expected], sources: Sources
    ) -> dict[str, list[Row]]:
        """Return the rows of Pods. The stored state of healing is read only if it can change one of them."""
        configuration, now = self._installed.configuration, self._now.timestamp()
        lacking_pods = {name: [row for row in rows if isinstance(row, LackingPod)] for name, rows in pods.items()}
        is_needed = any(
            row.pod.failing and row.pod.owner for lacking_rows in lacking_pods.values() for row in lacking_rows
        )
        records = (read_records(self._reader, self._installed) if is_needed else None) or {}
        healing = HealingForecast.make(configuration, expected, sources, now, records)
        rows_by_namespace: dict[str, list[Row]] = {}
        for name, rows in pods.items():
            healed = iter(list(healing.rows(self._namespaces[name], lacking_pods[name])))
            rows_by_namespace[name] = [next(healed) if isinstance(row, LackingPod) else row for row in rows]
        return rows_by_namespace

    def _pods(self, forecaster: Forecaster, namespaces: set[str]) -> dict[str, list[Row | LackingPod]]:
        configuration = self._installed.configuration
        rows_by_namespace: dict[str, list[Row | LackingPod]] = defaultdict(list)
        for content in self._each(PODS, msgspec.Raw, namespaces, RUNNING):
            name = _decode_metadata(content).metadata.namespace
            subject = _decode_pod(content).as_pod(name) if name in namespaces else None
            row = None if subject is None else forecaster.of_pod(subject, self._namespaces[name])
            if row is not None and row.effect is Effect.RECREATE:
                row = replace(row, owner=decode_pod(content).metadata.workload)
                if configuration.healing.enabled:
                    rows_by_namespace[name].append(LackingPod(pulled_pod(content, configuration), row))
                    continue
            if row is not None and self._has_row(row):
                rows_by_namespace[name].append(row)
            else:
                self._unlisted_pods += name in self._namespaces
        return rows_by_namespace

    def _each(
        self, resource: Resource, shape: type[_T], namespaces: set[str], query: Mapping[str, str]
    ) -> Iterator[_T]:
        """Yield the objects of these namespaces, perhaps with others; none if they must not be listed."""
        places: list[str | None] = [*sorted(namespaces)] if len(namespaces) <= FEW else [None]
        for namespace in places:
            try:
                yield from self._reader.items(Collection(resource, namespace), shape, query)
            except Forbidden:
                if resource is SERVICE_ACCOUNTS:
                    self._accounts_unseen.append(namespace or "")
                self._reader.report_missing(
                    "list", f"{resource.plural}{'' if namespace else ' across namespaces'}", namespace
                )

    def _source_rows(self, sources: Sources) -> Iterator[Row]:
        where = self._installed.release.namespace
        for name, source in sources.read.items():
            effect, reason, message = source_outcome(name, source, self._now)
            if self._issues and (cause := sources.issuing.get(name)) is not None:
                effect, reason = Effect.NONE, PreviewReason.CREDENTIAL_DUE
                message = f"sync issues a new credential, because {cause}"
            if reason != PreviewReason.SOURCE_VALID or self._scope.lists_all_of(where):
                yield Row(where, f"Secret/{name}", effect, reason, message, origin=ORIGIN)


def held_warning(reader: Reader, installed: InstalledRelease, preview: Preview) -> str:
    """Return a sentence about removals that are, or would be, held; empty where none are."""
    if not preview.copies or all(row.effect is not Effect.DELETE for row in preview.rows):
        return ""
    state, configuration = read_state(reader, installed), installed.configuration
    name, past = digest(configuration), state.accepted.past if state.accepted is not None else ()
    if state.held is not None and state.held.digest == name:
        return _warning(installed, Removals(state.held.copies, state.held.total), name, "is")
    accepted = state.accepted.configuration if state.accepted is not None else installed.running
    lost = sum(len(lost_by_change(accepted, configuration, namespace) & names) for namespace, names in preview.copies)
    return _would_be_held(installed, Removals(lost, sum(len(names) for _, names in preview.copies)), past, name)


def _would_be_held(installed: InstalledRelease, removals: Removals, past: tuple[PastRemoval, ...], name: str) -> str:
    return _warning(installed, removals, name, "would be") if removals.exceeds(past) else ""


def _warning(installed: InstalledRelease, removals: Removals, name: str, verb: str) -> str:
    command = confirm_command(installed.release.namespace, f"{installed.fullname}{STATE_SUFFIX}", name)
    total = counted(removals.total, "copy", "copies")
    return (
        f"this configuration would remove {removals.copies:,} of {total}, so the removal {verb} held and nothing is "
        f"removed; if it is meant, confirm it: {command}"
    )


class _ChangedCopies(msgspec.Struct):
    """The sums over the copies that a rotation changes."""

    copies: int = 0
    canary: int = 0
    stored_bytes: int = 0
    times: list[datetime] = msgspec.field(default_factory=list)
    """When those outside the canary were last changed."""


def forecast_rotation(reader: Reader, installed: InstalledRelease, name: str) -> RotationForecast:
    """Return the prediction for a pull secret; UsageError if there is no such one, or if a right is missing."""
    entry = entry_to_rotate(installed, name)
    configuration = installed.configuration
    namespaces = {
        namespace.name: namespace
        for namespace in list_namespaces(reader, configuration, running=installed.running)
        if not namespace.terminating and entry in selected_pull_secrets(configuration, namespace)
    }
    changed = _ChangedCopies()
    try:
        for data in reader.items(Collection(SECRETS, None, name), msgspec.Raw):
            _add_copy(changed, data, installed, entry, namespaces)
    except Forbidden:
        objects = f"{SECRETS.plural} named {name} across namespaces"
        next_command = f"kubectl auth can-i list secrets/{name} -A"
        raise UsageError(f"{lacking('list', objects)}: ask for it. Next: {next_command}") from None
    return RotationForecast(
        name, changed.copies, changed.canary, changed.stored_bytes, entry.rollout, measured_pace(changed.times)
    )


def _add_copy(
    changed: _ChangedCopies,
    data: msgspec.Raw,
    installed: InstalledRelease,
    entry: PullSecret,
    namespaces: Mapping[str, Namespace],
) -> None:
    """Add a Secret with the name to the sums, if it is a copy that sync would change."""
    copy = to_copy(decode_secret(data), installed.release)
    namespace = namespaces.get(copy.namespace)
    if namespace is None or copy.terminating or ownership_of(copy.mark, namespace.uid) is Ownership.FOREIGN:
        return
    stored = decode_stored(data)
    changed.copies += 1
    changed.stored_bytes += stored.after_update().stored_bytes()
    if entry.rollout is not None and entry.rollout.is_canary(copy.namespace):
        changed.canary += 1
    elif (time := parse_time(stored.changed_at)) is not None:
        changed.times.append(time)
