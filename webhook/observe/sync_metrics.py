"""The metrics of ``sync``; names that client-go and controller-runtime made usual are used where they exist."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from webhook.observe.metrics import ProcessMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client import Metric

_WORK_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0)
_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0)
"""Seconds."""


@dataclass(frozen=True, slots=True)
class SyncState:
    """What the loop knows at one moment, as far as metrics show it."""

    sources: Mapping[str, bool]
    """By source whether it is there and valid."""
    pull_secrets: Mapping[str, bool]
    """By pull secret whether there is a content for its copies."""
    conflicts: Mapping[str, int]
    """By pull secret the number of namespaces where a foreign Secret has its name."""
    watches_down: int


class SyncMetrics(ProcessMetrics):
    """What ``sync`` has on top: its queue, its requests, its writes and its watches."""

    def __init__(self) -> None:
        super().__init__()
        self._requests = Counter(
            "rest_client_requests",
            "Requests to the API server, by method and status code; code 0 stands for no answer.",
            ("method", "code"),
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "rest_client_request_duration_seconds",
            "How long requests to the API server took; for a watch, until it began.",
            ("method",),
            buckets=_REQUEST_BUCKETS,
            registry=self.registry,
        )
        self._work = Histogram(
            "workqueue_work_duration_seconds",
            "How long it took to bring one namespace up to date.",
            buckets=_WORK_BUCKETS,
            registry=self.registry,
        )
        self._writes = Counter(
            "pullsecrets_sync_writes",
            "Copies and ServiceAccounts written, by what was done.",
            ("action",),
            registry=self.registry,
        )
        self._watch_restarts = Counter(
            "pullsecrets_sync_watch_restarts",
            "Watches that broke, by resource and cause.",
            ("resource", "cause"),
            registry=self.registry,
        )
        self._leader = Gauge(
            "leader_election_master_status",
            "1 while this process holds the lease, 0 while it stands by.",
            registry=self.registry,
        )

    def follow_queue(self, depth: Callable[[], float], oldest: Callable[[], float]) -> None:
        """Export the number of waiting names and the wait of the one at the head."""
        for name, text, value in (
            ("workqueue_depth", "Namespaces that wait for a worker.", depth),
            ("workqueue_oldest_wait_seconds", "How long the namespace at the head of the queue has waited.", oldest),
        ):
            Gauge(name, text, registry=self.registry).set_function(value)

    def follow_state(self, look: Callable[[], SyncState]) -> None:
        """Export the state of the loop as it is when somebody asks."""
        self.registry.register(_StateCollector(look))

    def leading(self, leading: bool) -> None:
        self._leader.set(1 if leading else 0)

    def requested(self, method: str, status: int, seconds: float) -> None:
        """Count a request to the API server."""
        self._requests.labels(method, str(status)).inc()
        self._request_seconds.labels(method).observe(seconds)

    def wrote(self, action: str) -> None:
        """Count a write."""
        self._writes.labels(action).inc()

    def watch_restarted(self, resource: str, cause: str) -> None:
        """Count a broken watch."""
        self._watch_restarts.labels(resource, cause).inc()

    @contextmanager
    def reconciling(self) -> Iterator[None]:
        """Time the work on one namespace."""
        with self._work.time():
            yield


class _StateCollector(Collector):
    """Makes the metrics of the state anew for each scrape: what is no longer configured leaves no series behind."""

    def __init__(self, look: Callable[[], SyncState]) -> None:
        self._look = look

    def collect(self) -> Iterable[Metric]:
        state = self._look()
        yield _family(
            "pullsecrets_sync_source_valid",
            "1 while the source is there and valid, 0 otherwise.",
            "source",
            state.sources,
        )
        yield _family(
            "pullsecrets_sync_pull_secret_ready",
            "1 while there is a content for new copies, 0 while a source is missing or invalid.",
            "pull_secret",
            state.pull_secrets,
        )
        yield _family(
            "pullsecrets_sync_copy_conflicts",
            "Namespaces where a Secret that is not ours has the name of the copy.",
            "pull_secret",
            state.conflicts,
        )
        down = GaugeMetricFamily("pullsecrets_sync_watches_down", "Watches that are not open at this moment.")
        down.add_metric([], state.watches_down)
        yield down


def _family(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family
