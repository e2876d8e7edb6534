"""Define the metrics of the webhook and of both roles, by the conventions of Prometheus.

Each process has one registry, which its command creates. The counters and histograms of the client library look up
their labels and take a lock for each of their parts. For an answered review that costs a tenth of a decision. One event
loop counts, so plain additions are enough. Sync counts about ten events for each write from many threads, which took a
twentieth of its CPU time. :class:`Counts` and :class:`Durations` take one lock.
"""

from __future__ import annotations

import platform
import threading
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from webhook import __version__
from webhook.http.counters import PortCounters
from webhook.http.rejections import CAUSES
from webhook.ops.certificate_metrics import ServedCertificateMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prometheus_client import Metric

DURATION_BUCKETS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""In seconds. A review takes a fraction of a millisecond; the API server times out after some seconds."""


class Counts(Collector):
    """A counter with labels; any thread may count."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name, self._text, self._labelnames = name, text, labels
        self._lock = threading.Lock()
        self._numbers: dict[tuple[str, ...], int] = {}
        registry.register(self)

    def add(self, labels: tuple[str, ...], number: int = 1) -> None:
        """Count a number of events with these values of the labels."""
        with self._lock:
            self._numbers[labels] = self._numbers.get(labels, 0) + number

    def describe(self) -> Iterable[Metric]:
        """Return the family, so that the registry refuses a second one with its name."""
        return self.collect()

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._name, self._text, labels=self._labelnames)
        with self._lock:
            # Copied under the lock. The formatting takes longer and must not make writers wait.
            numbers = tuple(self._numbers.items())
        for labels, number in numbers:
            family.add_metric(labels, number)
        yield family


class Durations(Collector):
    """A histogram of seconds with labels; any thread may observe. Those of ``initial`` are exported from the start."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        buckets: Sequence[float],
        registry: CollectorRegistry,
        initial: Iterable[tuple[str, ...]] = (),
    ) -> None:
        self._name, self._text, self._labelnames, self._bounds = name, text, labels, buckets
        self._lock = threading.Lock()
        self._series = {label_values: self._empty() for label_values in initial}
        registry.register(self)

    def observe(self, labels: tuple[str, ...], seconds: float) -> None:
        """Count an event with these values of the labels that took so many seconds."""
        # bisect_left, because a bucket includes its bound ("le").
        position = bisect_left(self._bounds, seconds)
        with self._lock:
            series = self._series.get(labels)
            if series is None:
                series = self._series[labels] = self._empty()
            series[position] += 1
            series[-1] += seconds

    def describe(self) -> Iterable[Metric]:
        """Return the family, so that the registry refuses a second one with its name."""
        return self.collect()

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._text, labels=self._labelnames)
        with self._lock:
            snapshot = {labels: tuple(series) for labels, series in self._series.items()}
        for labels, (*counts, total) in snapshot.items():
            family.add_metric(labels, _cumulated(self._bounds, counts), total)
        yield family

    def _empty(self) -> list[float]:
        """Return the number of events in each bucket, with the last for all that took longer, and the seconds."""
        return [0.0] * (len(self._bounds) + 2)


def _cumulated(bounds: Sequence[float], counts: Sequence[float]) -> list[tuple[str, float]]:
    """Return the number of events up to each bound, as a histogram exports it."""
    return list(zip((*map(floatToGoString, bounds), "+Inf"), accumulate(map(float, counts)), strict=True))


class Answered(Protocol):
    """The labels by which an answer is counted."""

    @property
    def resource(self) -> str: ...
    @property
    def operation(self) -> str: ...
    @property
    def decision(self) -> str: ...
    @property
    def reason(self) -> str: ...


class ReviewCounters(Collector):
    """Counters of reviews by the kind of their answer, and their duration."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, str, str], int] = {}
        self._buckets = [0] * (len(DURATION_BUCKETS) + 1)
        self._seconds = 0.0

    def answered(self, answer: Answered, seconds: float) -> None:
        """Count an answered review."""
        # No lock is needed: one event loop counts, and also answers the scrapes of this process.
        key = (answer.resource, answer.operation, answer.decision, answer.reason)
        self._requests[key] = self._requests.get(key, 0) + 1
        self._buckets[bisect_left(DURATION_BUCKETS, seconds)] += 1
        self._seconds += seconds

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "pullsecrets_admission_requests",
            "Answered admission reviews, by resource, operation, decision and reason.",
            labels=("resource", "operation", "decision", "reason"),
        )
        for key, count in tuple(self._requests.items()):
            requests.add_metric(key, count)
        yield requests
        yield HistogramMetricFamily(
            "pullsecrets_admission_duration_seconds",
            "Time from the last byte of an admission review to its answer.",
            buckets=_cumulated(DURATION_BUCKETS, self._buckets),
            sum_value=self._seconds,
        )


class ProcessMetrics:
    """Metrics of every role: its build, its process and the configuration in force."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # avoids one more series for each
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        build = Info("pullsecrets_build", "The version that is running.", registry=self.registry)
        build.info({"version": __version__, "python": platform.python_version()})
        self._generation = Gauge(
            "pullsecrets_config_generation",
            "Configurations that have come into force since the start.",
            registry=self.registry,
        )
        self._reload_successful = Gauge(
            "pullsecrets_config_last_reload_successful",
            "1 if the configuration file is in force, 0 if it is invalid and an older one is kept.",
            registry=self.registry,
        )
        self.port_counters = PortCounters()
        """The traffic of the metrics port itself."""

        self._rejected = _RejectedCollector(self.port_counters)
        self.registry.register(self._rejected)

    def configuration_accepted(self) -> None:
        self._generation.inc()
        self._reload_successful.set(1)

    def configuration_refused(self) -> None:
        self._reload_successful.set(0)


class AdmissionMetrics(ProcessMetrics):
    """Metrics of ``serve`` only: its traffic, its answers, its certificate and its watch."""

    def __init__(self, counters: PortCounters) -> None:
        super().__init__()
        self._reviews = ReviewCounters()
        self.registry.register(self._reviews)
        # The method itself, which is one call less for each review than a method of this class.
        self.answered = self._reviews.answered
        self._refused = Counter(
            "pullsecrets_admission_refused",
            "HTTP requests to the admission endpoint that were not admission reviews, by status code.",
            ("code",),
            registry=self.registry,
        )
        self.registry.register(_PortCollector(counters))
        # One collector for both ports: two would export the same family twice, which the text format forbids.
        self._rejected.ports["admission"] = counters
        self._stale = Gauge(
            "pullsecrets_namespaces_stale_seconds",
            "Seconds since the watch of namespaces was lost; 0 while it is open or not needed.",
            registry=self.registry,
        )
        self.certificate = ServedCertificateMetrics(self.registry)

    def follow_staleness(self, seconds: Callable[[], float]) -> None:
        """Export the downtime of the watch of namespaces."""
        # It is called at each scrape. A later watch replaces the function of the earlier one.
        self._stale.set_function(seconds)

    def refused(self, status: int) -> None:
        """Count a request that was answered with a 4xx."""
        self._refused.labels(str(status)).inc()


class _RejectedCollector(Collector):
    """Reads the rejections of each port during a scrape."""

    def __init__(self, counters: PortCounters) -> None:
        self.ports = {"metrics": counters}

    def collect(self) -> Iterable[Metric]:
        rejected = CounterMetricFamily(
            "pullsecrets_http_rejected",
            "Requests and connections rejected because of the client, by port and cause.",
            labels=("port", "cause"),
        )
        for port, counters in self.ports.items():
            # Every cause from the start: rate() of Prometheus misses the first event of a series that is new.
            for cause in CAUSES:
                rejected.add_metric((port, cause), counters.rejected.get(cause, 0))
        yield rejected


class _PortCollector(Collector):
    """Reads the numbers of the admission port during a scrape."""

    def __init__(self, counters: PortCounters) -> None:
        self._counters = counters

    def collect(self) -> Iterable[Metric]:
        now = self._counters
        for name, text, value in (
            ("in_flight_requests", "Admission requests that are being read or answered.", now.requests),
            ("in_flight_bytes", "Bytes of their bodies in memory.", now.held_bytes),
            ("connections", "Open connections, including those in their TLS handshake.", now.connections),
        ):
            yield GaugeMetricFamily(f"pullsecrets_admission_{name}", text, value=value)
        for name, text, value in (
            ("request_bytes", "Bytes of received request bodies.", now.received_bytes),
            (
                "connections_refused",
                "New connections closed because the port was full.",
                now.refused_connections,
            ),
            ("tls_handshake_failures", "TLS handshakes that failed or took too long.", now.failed_handshakes),
            ("callers_refused", "Connections of clients without an allowed name.", now.refused_callers),
        ):
            yield CounterMetricFamily(f"pullsecrets_admission_{name}", text, value=value)
