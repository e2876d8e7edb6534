"""Define the metrics of ``sync``, with the usual names of client-go and controller-runtime where they exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from webhook.ops.certificate_metrics import IssuedCertificateMetrics
from webhook.ops.metrics import Counts, Durations, ProcessMetrics
from webhook.rules.rollout import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client import Metric

    from webhook.ops.sync_status import SyncStatus

QUEUE = "namespaces"
"""The name of the only work queue, in the label ``name`` of its metrics."""

_OF_THE_QUEUE = (QUEUE,)

_WORK_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0)
_WAIT_BUCKETS = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0)
_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0)
"""In seconds."""


class SyncMetrics(ProcessMetrics):
    """Metrics of ``sync`` only: counters of events, and its state at the time of a scrape."""

    def __init__(self) -> None:
        super().__init__()
        self.certificates = IssuedCertificateMetrics(self.registry)
        self._requests = Counts(
            "rest_client_requests",
            "Requests to the API server, by method and status code; code 0 means that no answer came.",
            ("method", "code"),
            self.registry,
        )
        self._request_seconds = Durations(
            "rest_client_request_duration_seconds",
            "Duration of requests to the API server; for a watch, until it began.",
            ("verb",),
            _REQUEST_BUCKETS,
            self.registry,
        )
        self._paced = Durations(
            "rest_client_rate_limiter_duration_seconds",
            "Delay of writes before they were sent, because of the rate limit or a 429.",
            (),
            _WAIT_BUCKETS,
            self.registry,
            initial=[()],
        )
        self._wait = Durations(
            "workqueue_queue_duration_seconds",
            "Time that namespaces waited for a worker.",
            ("name",),
            _WAIT_BUCKETS,
            self.registry,
            initial=[_OF_THE_QUEUE],
        )
        self._work = Durations(
            "workqueue_work_duration_seconds",
            "Time to reconcile one namespace.",
            ("name",),
            _WORK_BUCKETS,
            self.registry,
            initial=[_OF_THE_QUEUE],
        )
        self._writes = Counts(
            "pullsecrets_sync_writes",
            "Writes of copies and ServiceAccounts, by action and result.",
            ("action", "result"),
            self.registry,
        )
        self._renewals = Counter(
            "pullsecrets_sync_renewals",
            "Attempts to renew the credential of a source, by result: renewed, or the reason id of the failure.",
            ("source", "result"),
            registry=self.registry,
        )
        self._evictions = Counter(
            "pullsecrets_sync_healing_evictions",
            "Evictions of Pods that could not pull without a reference, by result.",
            ("result",),
            registry=self.registry,
        )
        self._judged = Counts(
            "pullsecrets_sync_judged_service_accounts",
            "ServiceAccounts compared with the configuration: one that changed, or all of a namespace that is planned.",
            ("cause",),
            self.registry,
        )
        self._watch_restarts = Counter(
            "pullsecrets_sync_watch_restarts",
            "Watches that broke, by resource and cause.",
            ("resource", "cause"),
            registry=self.registry,
        )

    def follow_state(self, read_status: Callable[[], SyncStatus]) -> None:
        """Export the state of the controller at the time of a scrape."""
        self.registry.register(_StateCollector(read_status))

    def requested(self, method: str, status: int, seconds: float) -> None:
        """Count a request to the API server."""
        self._requests.add((method, str(status)))
        self._request_seconds.observe((method,), seconds)

    def paced(self, seconds: float) -> None:
        """Count the delay of a write."""
        self._paced.observe((), seconds)

    def waited(self, seconds: float) -> None:
        """Count the time that a namespace waited for a worker."""
        self._wait.observe(_OF_THE_QUEUE, seconds)

    def worked(self, seconds: float) -> None:
        """Count the time that a worker spent on a namespace."""
        self._work.observe(_OF_THE_QUEUE, seconds)

    def wrote(self, action: str, result: str) -> None:
        """Count a write."""
        self._writes.add((action, result))

    def renewed(self, source: str, result: str) -> None:
        """Count an attempt to renew the credential of a source."""
        self._renewals.labels(source, result).inc()

    def evicted(self, result: str) -> None:
        """Count an eviction by healing."""
        self._evictions.labels(result).inc()

    def judged(self, cause: str, number: int) -> None:
        """Count ServiceAccounts that were compared with the configuration."""
        self._judged.add((cause,), number)

    def watch_restarted(self, resource: str, cause: str) -> None:
        """Count a broken watch."""
        self._watch_restarts.labels(resource, cause).inc()


class _StateCollector(Collector):
    """Builds the metrics of the state for each scrape, so that removed configuration leaves no series behind."""

    def __init__(self, read_status: Callable[[], SyncStatus]) -> None:
        self._look = read_status

    def collect(self) -> Iterable[Metric]:
        status = self._look()
        yield from _of_secrets(status)
        yield from _of_the_queue(status)
        yield from _of_the_process(status)
        yield from _of_healing(status)


def _of_secrets(status: SyncStatus) -> Iterator[Metric]:
    valid = GaugeMetricFamily(
        "pullsecrets_sync_source_valid", "1 if the source exists and is valid, 0 otherwise.", labels=["source"]
    )
    for source in status.sources:
        # It is None before the first read, and a 0 would mean that the source is invalid.
        if source.valid is not None:
            valid.add_metric([source.name], source.valid)
    refused = GaugeMetricFamily(
        "pullsecrets_sync_source_logins_refused",
        "Registries that refuse the credential of the source, if credentials are tested.",
        labels=["source"],
    )
    for source in status.sources:
        refused.add_metric([source.name], len(source.refused_by))
    failures = GaugeMetricFamily(
        "pullsecrets_sync_renewal_failures",
        "Attempts to renew the credential of a source that failed since the last success; 0 on a standby.",
        labels=["source"],
    )
    for source in status.sources:
        if source.renews:
            failures.add_metric([source.name], source.renewal_failures)
    yield from (refused, failures)
    yield from _of_expiry(status)
    ready = GaugeMetricFamily(
        "pullsecrets_sync_pull_secret_ready",
        "1 if its sources are valid and fit into one Secret together, else 0.",
        labels=["pull_secret"],
    )
    copies = GaugeMetricFamily(
        "pullsecrets_sync_copies",
        "Copies by state, reported by the leader; 0 on a standby.",
        labels=["pull_secret", "state"],
    )
    # A Secret of the tenants is never read, so its state is unknown, and it has no copies.
    for secret in [entry for entry in status.pull_secrets if not entry.tenant_owned]:
        if not secret.retired:
            ready.add_metric([secret.name], secret.ready)
        for state, number in secret.copies.items():
            copies.add_metric([secret.name, state], number)
    yield _of_rollouts(status)
    yield from _of_tokens(status)
    problems = GaugeMetricFamily(
        "pullsecrets_sync_problems",
        "Problems that need action, by reason id: sources, pull secrets, copies and references.",
        labels=["reason"],
    )
    for reason, number in status.problems.items():
        problems.add_metric([reason], number)
    yield from (valid, ready, copies, problems)


def _of_rollouts(status: SyncStatus) -> Metric:
    stages = GaugeMetricFamily(
        "pullsecrets_sync_rollout_stage",
        "1 for the stage that the rotation of a pull secret with a rollout is in, 0 for the others.",
        labels=["pull_secret", "stage"],
    )
    for secret in status.pull_secrets:
        if secret.rollout is not None:
            for stage in Stage:
                stages.add_metric([secret.name, stage], secret.rollout.stage is stage)
    return stages


def _of_tokens(status: SyncStatus) -> Iterator[Metric]:
    earliest = GaugeMetricFamily(
        "pullsecrets_sync_namespace_token_expiry_timestamp_seconds",
        "Time at which the first token in the copies of a pull secret with tokens of each namespace expires.",
        labels=["pull_secret"],
    )
    overdue = GaugeMetricFamily(
        "pullsecrets_sync_namespace_tokens_overdue",
        "Copies whose token of the namespace has less than a quarter of its lifetime left.",
        labels=["pull_secret"],
    )
    for secret in status.pull_secrets:
        if secret.tokens is None:
            continue
        overdue.add_metric([secret.name], secret.tokens.overdue)
        if secret.tokens.earliest_expiry is not None:
            earliest.add_metric([secret.name], secret.tokens.earliest_expiry.timestamp())
    yield from (earliest, overdue)


def _of_expiry(status: SyncStatus) -> Iterator[Metric]:
    labels = ["source", "registry"]
    expiry = GaugeMetricFamily(
        "pullsecrets_sync_credential_expiry_timestamp_seconds",
        "Expiry time of a credential of the source, in Unix seconds, if it is known.",
        labels=labels,
    )
    lifetime = GaugeMetricFamily(
        "pullsecrets_sync_credential_lifetime_seconds",
        "Time from the issue of a credential to its expiry, if both are known.",
        labels=labels,
    )
    for source in status.sources:
        for credential in source.expiries:
            expiry.add_metric([source.name, credential.registry], credential.expires_at.timestamp())
            if (seconds := credential.lifetime_seconds) is not None:
                lifetime.add_metric([source.name, credential.registry], seconds)
    yield from (expiry, lifetime)


def _of_the_queue(status: SyncStatus) -> Iterator[Metric]:
    queue = status.queue
    for name, text, value in (
        ("depth", "Namespaces that wait for a worker.", queue.waiting),
        (
            "unfinished_work_seconds",
            "Total time spent so far on unfinished work.",
            queue.unfinished_seconds,
        ),
        ("longest_running_processor_seconds", "Time spent on the longest unfinished work.", queue.longest_seconds),
    ):
        gauge = GaugeMetricFamily(f"workqueue_{name}", text, labels=["name"])
        gauge.add_metric([QUEUE], value)
        yield gauge
    for name, text, value in (
        ("adds", "Namespaces added to the queue.", queue.added),
        ("retries", "Namespaces queued again after a failure.", queue.retried),
    ):
        counter = CounterMetricFamily(f"workqueue_{name}", text, labels=["name"])
        counter.add_metric([QUEUE], value)
        yield counter


def _of_the_process(status: SyncStatus) -> Iterator[Metric]:
    leader = GaugeMetricFamily(
        "leader_election_master_status", "1 while this process is the leader, 0 on a standby.", labels=["name"]
    )
    leader.add_metric([status.leader.lease], status.leader.leading)
    contended = GaugeMetricFamily(
        "pullsecrets_sync_contended_objects",
        "Objects that another writer keeps changing back; they are written only occasionally.",
        labels=["kind"],
    )
    for kind, number in sorted(status.contended_objects.items()):
        contended.add_metric([kind], number)
    yield from (leader, contended)
    yield CounterMetricFamily(
        "pullsecrets_sync_undone_writes",
        "Writes that were repeated because another writer had undone them.",
        value=status.undone_writes,
    )
    oldest = status.oldest_unreconciled
    for name, text, value in (
        ("watches_down", "Watches that are not open now.", status.watches_down),
        (
            "failing_namespaces",
            "Namespaces where a write fails.",
            status.failing_namespaces,
        ),
        (
            "oldest_unreconciled_seconds",
            "Age of the oldest namespace that still needs reconciling, including failing ones.",
            oldest.seconds if oldest else 0.0,
        ),
        ("last_full_pass_seconds", "Seconds since every namespace was last checked.", status.last_full_pass_seconds),
        (
            "held_removals",
            "Copies that a configuration change would remove; the change is held until corrected or confirmed.",
            status.held_removals,
        ),
        ("paused_seconds", "Seconds until writes resume after a 429.", status.paused_seconds),
    ):
        yield GaugeMetricFamily(f"pullsecrets_sync_{name}", text, value=value)


def _of_healing(status: SyncStatus) -> Iterator[Metric]:
    pods = GaugeMetricFamily(
        "pullsecrets_sync_healing_pods",
        "Pending Pods in selected namespaces by reason id of healing, if that is on; healing-due are to be evicted.",
        labels=["reason"],
    )
    stalled = GaugeMetricFamily(
        "pullsecrets_sync_healing_stalled_seconds",
        "Time for which Pods are due for an eviction and none was evicted; 0 if none is due.",
    )
    if status.evictions is not None:
        for reason, number in status.evictions.pods.items():
            pods.add_metric([reason], number)
        stalled.add_metric([], status.evictions.stalled_seconds)
    yield from (pods, stalled)
