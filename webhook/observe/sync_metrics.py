"""The metrics of ``sync``; names that client-go and controller-runtime made usual are used where they exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from webhook.observe.certificate_metrics import IssuedCertificateMetrics
from webhook.observe.metrics import ProcessMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client import Metric

    from webhook.observe.sync_status import SyncStatus

QUEUE = "namespaces"
"""The name of the one work queue, as the label ``name`` of its metrics."""

_WORK_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0)
_WAIT_BUCKETS = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0)
_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0)
"""Seconds."""


class SyncMetrics(ProcessMetrics):
    """Metrics of ``sync`` alone: counters of what happens, and its state at the time of a scrape."""

    def __init__(self) -> None:
        super().__init__()
        self.certificates = IssuedCertificateMetrics(self.registry)
        self._requests = Counter(
            "rest_client_requests",
            "Requests to the API server, by method and status code; code 0 stands for no answer.",
            ("method", "code"),
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "rest_client_request_duration_seconds",
            "How long requests to the API server took; for a watch, until it began.",
            ("verb",),
            buckets=_REQUEST_BUCKETS,
            registry=self.registry,
        )
        self._paced = Histogram(
            "rest_client_rate_limiter_duration_seconds",
            "How long writes were held back before they were sent, by our own limit or by a 429.",
            buckets=_WAIT_BUCKETS,
            registry=self.registry,
        )
        self._wait = Histogram(
            "workqueue_queue_duration_seconds",
            "How long namespaces waited for a worker.",
            ("name",),
            buckets=_WAIT_BUCKETS,
            registry=self.registry,
        ).labels(QUEUE)
        self._work = Histogram(
            "workqueue_work_duration_seconds",
            "How long it took to bring one namespace up to date.",
            ("name",),
            buckets=_WORK_BUCKETS,
            registry=self.registry,
        ).labels(QUEUE)
        self._writes = Counter(
            "pullsecrets_sync_writes",
            "Writes of copies and ServiceAccounts, by what was to be done and how it went.",
            ("action", "result"),
            registry=self.registry,
        )
        self._judged = Counter(
            "pullsecrets_sync_judged_service_accounts",
            "ServiceAccounts compared with the configuration: one that changed, or all of a namespace that is planned.",
            ("cause",),
            registry=self.registry,
        )
        self._watch_restarts = Counter(
            "pullsecrets_sync_watch_restarts",
            "Watches that broke, by resource and cause.",
            ("resource", "cause"),
            registry=self.registry,
        )

    def follow_state(self, look: Callable[[], SyncStatus]) -> None:
        """Export the state of the loop as it is when somebody asks."""
        self.registry.register(_StateCollector(look))

    def requested(self, method: str, status: int, seconds: float) -> None:
        """Count a request to the API server."""
        self._requests.labels(method, str(status)).inc()
        self._request_seconds.labels(method).observe(seconds)

    def paced(self, seconds: float) -> None:
        """Count how long a write was held back."""
        self._paced.observe(seconds)

    def waited(self, seconds: float) -> None:
        """Count how long a namespace waited for a worker."""
        self._wait.observe(seconds)

    def worked(self, seconds: float) -> None:
        """Count how long a worker was at a namespace."""
        self._work.observe(seconds)

    def wrote(self, action: str, result: str) -> None:
        """Count a write."""
        self._writes.labels(action, result).inc()

    def judged(self, cause: str, number: int) -> None:
        """Count ServiceAccounts that were compared with the configuration."""
        self._judged.labels(cause).inc(number)

    def watch_restarted(self, resource: str, cause: str) -> None:
        """Count a broken watch."""
        self._watch_restarts.labels(resource, cause).inc()


class _StateCollector(Collector):
    """Makes the metrics of the state anew for each scrape: what is no longer configured leaves no series behind."""

    def __init__(self, look: Callable[[], SyncStatus]) -> None:
        self._look = look

    def collect(self) -> Iterable[Metric]:
        status = self._look()
        yield from _of_secrets(status)
        yield from _of_the_queue(status)
        yield from _of_the_process(status)


def _of_secrets(status: SyncStatus) -> Iterator[Metric]:
    valid = GaugeMetricFamily(
        "pullsecrets_sync_source_valid", "1 while the source is there and valid, 0 otherwise.", labels=["source"]
    )
    for source in status.sources:
        if source.valid is not None:
            valid.add_metric([source.name], source.valid)
    refused = GaugeMetricFamily(
        "pullsecrets_sync_source_logins_refused",
        "Registries that refuse the credential of the source, where that is tried.",
        labels=["source"],
    )
    for source in status.sources:
        refused.add_metric([source.name], len(source.refused_by))
    yield refused
    ready = GaugeMetricFamily(
        "pullsecrets_sync_pull_secret_ready",
        "1 while its sources have a content, 0 while a source is missing or invalid.",
        labels=["pull_secret"],
    )
    copies = GaugeMetricFamily(
        "pullsecrets_sync_copies",
        "Copies by state, as the process that leads sees them; 0 on one that stands by.",
        labels=["pull_secret", "state"],
    )
    for secret in status.pull_secrets:
        if not secret.retired:
            ready.add_metric([secret.name], secret.ready)
        for state, number in secret.copies.items():
            copies.add_metric([secret.name, state], number)
    problems = GaugeMetricFamily(
        "pullsecrets_sync_problems",
        "What a person must act on, by reason id: sources, pull secrets, copies and references.",
        labels=["reason"],
    )
    for reason, number in status.problems.items():
        problems.add_metric([reason], number)
    yield from (valid, ready, copies, problems)


def _of_the_queue(status: SyncStatus) -> Iterator[Metric]:
    queue = status.queue
    for name, text, value in (
        ("depth", "Namespaces that wait for a worker.", queue.waiting),
        (
            "unfinished_work_seconds",
            "How long all the work has been going on that has not ended.",
            queue.unfinished_seconds,
        ),
        ("longest_running_processor_seconds", "How long the longest of it has been.", queue.longest_seconds),
    ):
        gauge = GaugeMetricFamily(f"workqueue_{name}", text, labels=["name"])
        gauge.add_metric([QUEUE], value)
        yield gauge
    for name, text, value in (
        ("adds", "How often a namespace was put into the queue.", queue.added),
        ("retries", "How often one was put back because it had failed.", queue.retried),
    ):
        counter = CounterMetricFamily(f"workqueue_{name}", text, labels=["name"])
        counter.add_metric([QUEUE], value)
        yield counter


def _of_the_process(status: SyncStatus) -> Iterator[Metric]:
    leader = GaugeMetricFamily(
        "leader_election_master_status", "1 while this process writes, 0 while it stands by.", labels=["name"]
    )
    leader.add_metric([status.leader.lease], status.leader.leading)
    contended = GaugeMetricFamily(
        "pullsecrets_sync_contended_objects",
        "Objects that somebody keeps changing back, so that they are written only once in a while.",
        labels=["kind"],
    )
    for kind, number in sorted(status.contended_objects.items()):
        contended.add_metric([kind], number)
    yield from (leader, contended)
    yield CounterMetricFamily(
        "pullsecrets_sync_undone_writes",
        "Writes made again because somebody had undone them.",
        value=status.undone_writes,
    )
    oldest = status.oldest_unreconciled
    for name, text, value in (
        ("watches_down", "Watches that are not open at this moment.", status.watches_down),
        (
            "failing_namespaces",
            "Namespaces where a write fails.",
            status.failing_namespaces,
        ),
        (
            "oldest_unreconciled_seconds",
            "For how long the namespace has been waiting that has been waiting longest, failing or not.",
            oldest.seconds if oldest else 0.0,
        ),
        ("last_full_pass_seconds", "Seconds since every namespace had been looked at.", status.last_full_pass_seconds),
        (
            "held_removals",
            "Copies that a change of the configuration would remove; it is held until it is corrected or confirmed.",
            status.held_removals,
        ),
        ("paused_seconds", "For how long writes are still paused, because of a 429.", status.paused_seconds),
    ):
        yield GaugeMetricFamily(f"pullsecrets_sync_{name}", text, value=value)
