"""Evict Pods that fail to pull without a due reference, so that their controllers recreate them with it.

The rules are in :mod:`webhook.rules.healing`. Only the leader watches Pods, and only those in the phase Pending. Before
a batch of evictions, the number of them is stored with the state: see :mod:`webhook.rules.healing_state`. Until that is
confirmed, no eviction is made.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import structlog

from webhook.errors import ApiError, Conflict, Fenced, NotFound, Refused, Throttled
from webhook.ops.sync_status import HealingStatus, StoppedOwner, WatchStatus
from webhook.report.coverage import registries_in
from webhook.rules.gates import decide_namespace, selected_pull_secrets
from webhook.rules.healing import (
    SETTLE_SECONDS,
    HealingInput,
    HealingReason,
    OwnerRecord,
    PulledPod,
    Trial,
    healed_part,
    in_turn,
    is_in_place,
    judge_namespace,
)
from webhook.rules.healing_state import EvictionBudget, decode_healing, encode_healing, kept_records
from webhook.rules.state_document import HEALING_KEY
from webhook.rules.timing import TokenBucket
from webhook.sync.pods import PodWatch
from webhook.sync.status_index import Result, result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from webhook.kube.client import Client
    from webhook.rules.configuration import Configuration
    from webhook.rules.healing import DuePod, NamespaceJudgement, ReportedPod
    from webhook.rules.objects import Namespace
    from webhook.sync.caches import Caches
    from webhook.sync.events import EventReporter
    from webhook.sync.source import Content
    from webhook.sync.sources import SourceStore
    from webhook.sync.table import Table
    from webhook.sync.write_gate import WriteGate

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
"""Seconds between two looks at the Pods."""

SHARE = 20
"""A look takes at most one part in so many of a core: with thousands of Pods, looks are less frequent."""

CONFIRM_SECONDS = 10.0
"""Seconds to wait until reserved evictions are stored; then the next look tries again."""

BATCH = 50
"""Evictions that are reserved together."""

REFUSED_SECONDS = 30.0
"""Seconds for which a Pod is not tried again after the API server has refused its eviction."""

REPORTS_PER_SECOND, REPORT_BURST = 1.0, 30.0
"""Events about Pods that healing cannot help. The others follow later."""


MOST_STOPPED = 20
"""Owners at which healing has stopped that ``/status`` names; all are counted."""

MAX_CONTENTS = 1000
"""Contents of pull secrets whose registries are remembered."""


class Healing:
    """Watches Pods and evicts those that are due; every method may be called from any thread.

    ``stored_soon()`` requests that the state is stored. ``is_leading()`` is True once this process has begun to write.
    """

    def __init__(
        self,
        client: Client,
        caches: Caches,
        sources: SourceStore,
        gate: WriteGate,
        reporter: EventReporter,
        evicted: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._caches = caches
        self._sources = sources
        self._gate = gate
        self._reporter = reporter
        self._evicted = evicted
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._wake = threading.Event()
        # Not the lock above: while healing waits here, the thread of the state calls values(), which takes that lock.
        self._stored = threading.Condition()
        self._configuration: Configuration | None = None
        self._leading = False
        self._watch = PodWatch(client, self._arrive, reporter.watch_broke)
        self._is_loaded = False
        self._value: bytes | None = None
        self._confirmed: bytes | None = None
        self._budget = EvictionBudget(monotonic)
        self._records: dict[str, OwnerRecord] = {}
        self._refused: dict[str, float] = {}
        self._seen: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._reported_reasons: dict[str, HealingReason] = {}
        self._arrived: dict[str, dict[str, PulledPod]] = {}
        self._reports = TokenBucket(REPORTS_PER_SECOND, REPORT_BURST, monotonic)
        self._registries: dict[tuple[str, str], frozenset[str]] = {}
        self._counts: Counter[HealingReason] = Counter()
        self._total = 0
        self._stalled_since: float | None = None
        self._problem = ""
        self.stored_soon: Callable[[], None] | None = None
        """Requests that the state is stored; None without a Secret for it. Then nothing is evicted."""

    def configure(self, configuration: Configuration) -> None:
        """Put a new configuration into force."""
        with self._lock:
            self._configuration = healed_part(configuration)
            self._follow()
            if self._is_loaded:
                self._refresh_value()
        self._wake.set()

    def set_leading(self, leading: bool) -> None:
        """Begin to watch and evict, or end it; the stored state has to be read again."""
        with self._lock:
            # Another leader may have evicted since. Its numbers and its trials are in the stored state.
            self._leading, self._is_loaded = leading, False
            self._value = self._confirmed = None
            for index in (
                self._records,
                self._refused,
                self._seen,
                self._reported_reasons,
                self._last,
                self._counts,
                self._arrived,
            ):
                index.clear()
            self._stalled_since, self._problem = None, ""
            self._follow()
        self._wake.set()

    def load(self, value: bytes | None) -> None:
        """Take the stored state over, once for each time that this process begins to lead."""
        with self._lock:
            if self._is_loaded:
                return
            stored = decode_healing(value)
            per_minute = 0 if self._configuration is None else self._configuration.healing.per_minute
            # Without the number, a whole minute has to pass: another process may have evicted as many as allowed.
            self._budget.adopt(per_minute if stored is None else stored.reserved)
            self._records = {} if stored is None else dict(stored.owners)
            self._is_loaded = True
            self._refresh_value()
        self._wake.set()

    def values(self) -> Mapping[str, bytes | None]:
        """Return the value to store; empty until the stored one has been read, so that it is not overwritten."""
        with self._lock:
            return {HEALING_KEY: self._value} if self._is_loaded else {}

    def confirm(self, value: bytes | None) -> None:
        """Note the value that is stored."""
        with self._stored:
            self._confirmed = value
            self._stored.notify_all()

    def watches(self) -> tuple[WatchStatus, ...]:
        """Return the status of the watch of Pods; empty while healing is off."""
        return self._watch.statuses()

    def status(self) -> HealingStatus | None:
        """Return the state of healing; None while it is off."""
        configuration = self._configuration
        if configuration is None or not configuration.healing.enabled:
            return None
        with self._lock:
            since = self._stalled_since
            stopped = sorted(
                (record.namespace, record.owner) for record in self._records.values() if record.trial is Trial.REFUTED
            )
            return HealingStatus(
                per_minute=configuration.healing.per_minute,
                used=self._budget.used if self._is_loaded else 0,
                evicted=self._total,
                pods={str(reason): self._counts[reason] for reason in HealingReason},
                stalled_seconds=0.0 if since is None else max(0.0, self._monotonic() - since),
                message=self._problem,
                stopped_owners=len(stopped),
                stopped=tuple(StoppedOwner(*pair) for pair in stopped[:MOST_STOPPED]),
            )

    def run(self, stopping: threading.Event, is_leading: Callable[[], bool]) -> None:
        """Look at the Pods until ``stopping`` is set, and :meth:`wake` is called once more."""
        pause: float | None = None
        while not stopping.is_set():
            self._wake.wait(pause)
            self._wake.clear()
            started_at = time.thread_time()
            is_active = not stopping.is_set() and self._watch.is_open
            if is_active and self._is_loaded and is_leading():
                self.look(stopping)
            # CPU time, because a look also waits for the store and the API server. Ten such seconds are no reason to
            # pause for minutes.
            pause = max(LOOK_SECONDS, SHARE * (time.thread_time() - started_at)) if is_active else None
        with self._lock:
            self._leading = False
            self._follow()

    def wake(self) -> None:
        """Look soon."""
        self._wake.set()

    def look(self, stopping: threading.Event) -> None:
        """Judge all Pods once, evict those that are due and allowed, and report the others."""
        with self._lock:
            pods, configuration = self._watch.pods, self._configuration
            if pods is None or configuration is None or not self._caches.has_synced:
                return
            now = self._monotonic()
            self._refused = {uid: end for uid, end in self._refused.items() if end > now}
            judged = self._judge_all(configuration, pods)
            settled = self._settle(judged, now)
            self._forget(judged)
            self._report(settled, judged)
            due = self._due(settled, judged, now)
            self._refresh_value()
        # Without the lock: it waits for the store and the API server, and the thread of the state calls values()
        # meanwhile.
        if due:
            self._heal(due, configuration.healing.per_minute, pods, stopping)

    def _follow(self) -> None:
        """Watch Pods while that is needed."""
        configuration = self._configuration
        is_needed = configuration is not None and configuration.healing.enabled and self._leading
        self._watch.follow(configuration if is_needed else None)

    def _judge_all(self, configuration: Configuration, table: Table[PulledPod]) -> dict[str, NamespaceJudgement]:
        # A pull secret whose labels or copies are not cached yet is left out, because its Pods cannot be judged yet.
        readable = self._caches.known_part(self._caches.readable_part(configuration))
        inputs = HealingInput(readable, self._clock(), self._records, self._refused)
        arrived, self._arrived = self._arrived, {}
        judged: dict[str, NamespaceJudgement] = {}
        # A namespace without a pending Pod counts, too: a Pod that has begun to run can show the outcome of a trial.
        for name in {*table.namespaces(), *arrived}:
            namespace = self._caches.namespaces.get(name)
            if namespace is not None and not readable.excludes(name):
                pods = table.of_namespace(name).values()
                new_pods = arrived.get(name, {}).values()
                judged[name] = judge_namespace(namespace, pods, self._in_place(namespace, readable), inputs, new_pods)
        return judged

    def _arrive(self, pod: PulledPod) -> None:
        """Keep a Pod that may show the outcome of a trial, because it may begin to run before the next look."""
        # The thread of the watch calls this. The evicted Pod and its siblings are not newer than the record.
        record = None if pod.owner is None else self._records.get(pod.owner.uid)
        if record is not None and record.trial is Trial.AWAITED and pod.created > record.newest:
            with self._lock:
                self._arrived.setdefault(pod.namespace, {})[pod.name] = pod

    def _in_place(self, namespace: Namespace, configuration: Configuration) -> dict[str, frozenset[str]]:
        """Return the registries of each copy that is as it must be, by pull secret."""
        entries = selected_pull_secrets(configuration, namespace)
        if not entries:
            return {}
        contents, _ = self._sources.usable_contents(namespace.name, partial(self._caches.copy, namespace.name))
        registries = {}
        for entry in entries:
            content, copy = contents.get(entry.name), self._caches.copy(namespace.name, entry.name)
            if content is None or copy is None:
                continue
            if is_in_place(copy, namespace, content.hash, has_tokens=bool(content.tokens)):
                registries[entry.name] = self._registries_of(entry.name, content)
        return registries

    def _registries_of(self, name: str, content: Content) -> frozenset[str]:
        # Each look needs the registries for each namespace, so each content is parsed only once.
        key = (name, content.hash)
        if key not in self._registries:
            if len(self._registries) >= MAX_CONTENTS:
                self._registries.clear()
            tokens = (token.registry for token in content.tokens)
            self._registries[key] = registries_in(content.payload).union(tokens)
        return self._registries[key]

    def _settle(self, judged: Mapping[str, NamespaceJudgement], now: float) -> frozenset[str]:
        """Return the UIDs of the Pods that have been due, or to be reported, for long enough."""
        # A Pod that is not a candidate in one look begins again.
        self._seen = {uid: self._seen.get(uid, now) for judgement in judged.values() for uid in judgement.candidates}
        return frozenset(uid for uid, since in self._seen.items() if now - since >= SETTLE_SECONDS)

    def _forget(self, judged: Mapping[str, NamespaceJudgement]) -> None:
        """Note the outcomes of trials, and forget owners that are not needed any more."""
        for judgement in judged.values():
            for uid, trial in judgement.trials.items():
                self._records[uid] = msgspec.structs.replace(self._records[uid], trial=trial)
        lacking = frozenset(uid for judgement in judged.values() for uid in judgement.lacking)
        selected = {uid: record for uid, record in self._records.items() if self._is_selected(record)}
        self._records = kept_records(selected, lacking, self._clock())

    def _is_selected(self, record: OwnerRecord) -> bool:
        """Return whether the references of a record still apply. After an opt-out, Pods lack them for a good reason."""
        namespace, configuration = self._caches.namespaces.get(record.namespace), self._configuration
        if namespace is None or configuration is None:
            return False
        return bool(set(record.names) & set(decide_namespace(namespace, configuration).added))

    def _report(self, settled: frozenset[str], judged: Mapping[str, NamespaceJudgement]) -> None:
        """Report each Pod that a person has to look after once, and an owner whose trial failed once."""
        self._counts = Counter()
        for judgement in judged.values():
            self._counts.update(judgement.counts)
        settled_pods = [
            reported for judgement in judged.values() for reported in judgement.reported if reported.pod.uid in settled
        ]
        keys = {_report_key(reported): reported for reported in settled_pods}
        # A Pod that was fine in between is reported again.
        self._reported_reasons = {key: reason for key, reason in self._reported_reasons.items() if key in keys}
        for key, report in keys.items():
            # A report without a token is not noted, so that a later look makes it.
            if self._reported_reasons.get(key) is not report.gate.reason and self._reports.take():
                self._reported_reasons[key] = report.gate.reason
                self._reporter.healing_needs_person(report)

    def _due(
        self, settled: frozenset[str], judged: Mapping[str, NamespaceJudgement], now: float
    ) -> dict[str, list[DuePod]]:
        due = {
            name: [due_pod for due_pod in judgement.due if due_pod.pod.uid in settled]
            for name, judgement in judged.items()
        }
        due = {name: pods for name, pods in due.items() if pods}
        if not due:
            # A problem that kept evictions back is about Pods that were due.
            self._stalled_since, self._problem = None, ""
        elif self._stalled_since is None:
            self._stalled_since = now
        return due

    def _heal(
        self,
        due: Mapping[str, Sequence[DuePod]],
        per_minute: int,
        table: Table[PulledPod],
        stopping: threading.Event,
    ) -> None:
        due_pods = in_turn(due, self._last, BATCH)
        with self._lock:
            number = self._budget.reserve(len(due_pods), per_minute)
            batch = due_pods[:number]
            if not batch:
                return
            # The records are stored with the number, so that another leader knows the trials that have begun.
            before = dict(self._records)
            self._remember(batch, table)
            self._refresh_value()
            value = self._value
        evicted, spent = [], len(batch)  # all of them, if this thread ends here
        try:
            if self._await_stored(value):
                evicted = self._evict_all(batch, stopping)
            spent = len(evicted)
        finally:
            with self._lock:
                self._budget.settle(spent)
                self._restore(before, {due.pod.owner.uid for due in evicted if due.pod.owner is not None})
                self._refresh_value()

    def _restore(self, before: Mapping[str, OwnerRecord], evicted: set[str]) -> None:
        """Keep only the new records of owners of which a Pod was evicted, or may have been."""
        self._records = {
            uid: record if uid in evicted else before[uid]
            for uid, record in self._records.items()
            if uid in evicted or uid in before
        }

    def _remember(self, batch: Iterable[DuePod], table: Table[PulledPod]) -> None:
        """Note the owners of Pods that are about to be evicted."""
        now = self._clock()
        for pod, names in batch:
            if pod.owner is None:
                continue
            uid, before = pod.owner.uid, self._records.get(pod.owner.uid)
            if before is not None and before.is_about(names):
                self._records[uid] = msgspec.structs.replace(before, evicted_at=now)
                continue
            # Pods that exist already were not created after the eviction, so they show nothing about the trial.
            siblings = [peer for peer in table.of_namespace(pod.namespace).values() if _has_owner(peer, uid)]
            newest = max(peer.created for peer in (pod, *siblings))
            owner = f"{pod.owner.kind}/{pod.owner.name}"
            self._records[uid] = OwnerRecord(pod.namespace, names, newest, now, owner=owner)

    def _await_stored(self, value: bytes | None) -> bool:
        """Wait until the reservation is stored; False if that takes too long."""
        if self.stored_soon is None:
            self._problem = "nothing is evicted, because there is no Secret for the state: set --state-secret"
            return False
        self.stored_soon()
        deadline = self._monotonic() + CONFIRM_SECONDS
        with self._stored:
            while value is None or self._confirmed != value:
                if not self._leading:
                    return False
                remaining = deadline - self._monotonic()
                if remaining <= 0:
                    self._problem = "nothing is evicted, because the number of evictions cannot be stored"
                    return False
                # In short waits, because the loss of the Lease does not notify this condition.
                self._stored.wait(min(remaining, 1.0))
        self._problem = ""
        return True

    def _evict_all(self, batch: Sequence[DuePod], stopping: threading.Event) -> list[DuePod]:
        """Evict Pods one by one; return those that were evicted, or may have been."""
        evicted: list[DuePod] = []
        for due in batch:
            # A turn for each eviction, because an outage can begin in the middle of a batch.
            with self._gate.turn(stopping) as attempt:
                # The watch closes with the loss of the Lease, and when healing is switched off. Then the batch is not
                # due any more.
                if stopping.is_set() or not self._watch.is_open or not self._gate.may_write():
                    return evicted
                error = self._evict(due)
                # A refusal is an answer, too, and shows that the API server works.
                if error is None or (error.status and not error.is_general):
                    attempt.succeeded()
                elif error.is_general:
                    attempt.failed()
            if _may_have_been_made(error):
                evicted.append(due)
            # The rest would fail in the same way. The next look judges these Pods again.
            if error is not None and (error.is_general or not error.status):
                return evicted
        return evicted

    def _evict(self, due: DuePod) -> ApiError | None:
        """Evict one Pod, and record the result."""
        pod, now = due.pod, self._monotonic()
        try:
            self._client.evict(pod.namespace, pod.name, uid=pod.uid, resource_version=pod.resource_version)
        except Fenced as error:
            return error  # it was not sent, so it has no result
        except ApiError as error:
            self._evicted(result_of(error))
            log.info("pod not evicted", namespace=pod.namespace, pod=pod.name, cause=str(error))
            if isinstance(error, Refused):
                self._refused[pod.uid] = now + max(REFUSED_SECONDS, error.retry_after or 0.0)
                self._reporter.eviction_refused(due, error)
            return error
        self._evicted(Result.OK)
        log.info("pod evicted", namespace=pod.namespace, pod=pod.name, secrets=list(due.names))
        with self._lock:
            self._total += 1
            self._last[pod.namespace] = self._stalled_since = now
        self._reporter.pod_evicted(due)
        return None

    def _refresh_value(self) -> None:
        """Make the value to store, and have it stored if it is another one."""
        configuration = self._configuration
        if not self._is_loaded or configuration is None:
            return
        value = encode_healing(self._budget.used, self._records) if configuration.healing.enabled else None
        if value != self._value:
            self._value = value
            if self.stored_soon is not None:
                self.stored_soon()


def _has_owner(pod: PulledPod, uid: str) -> bool:
    return pod.owner is not None and pod.owner.uid == uid


def _report_key(reported: ReportedPod) -> str:
    """Return the UID of the object that a report is about."""
    owner = reported.pod.owner
    return owner.uid if owner is not None and reported.gate.reason is HealingReason.STOPPED else reported.pod.uid


def _may_have_been_made(error: ApiError | None) -> bool:
    """Return whether an eviction counts: without an answer, it may have been made."""
    return error is None or not isinstance(error, (Conflict, Fenced, NotFound, Refused, Throttled))
