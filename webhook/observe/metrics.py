"""Metrics, on Prometheus' conventions; each process has one registry, made and passed on by its command."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from webhook import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from prometheus_client import Metric

    from webhook.observe.traffic import Traffic

_DURATION_BUCKETS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Seconds. A review takes a fraction of a millisecond; the API server gives up after some seconds."""


class ProcessMetrics:
    """What every role has: its build, its process and the configuration in force."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each, that nobody asked for
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        build = Info("pullsecrets_build", "The version that is running.", registry=self.registry)
        build.info({"version": __version__, "python": platform.python_version()})
        self._generation = Gauge(
            "pullsecrets_config_generation",
            "How many configurations have come into force since the start.",
            registry=self.registry,
        )
        self._reload_successful = Gauge(
            "pullsecrets_config_last_reload_successful",
            "1 while the configuration file is what is in force, 0 when it is not valid and an older one stays.",
            registry=self.registry,
        )

    def configuration_accepted(self) -> None:
        self._generation.inc()
        self._reload_successful.set(1)

    def configuration_refused(self) -> None:
        self._reload_successful.set(0)


class AdmissionMetrics(ProcessMetrics):
    """What ``serve`` has on top: its traffic, its answers, its certificate and its watch."""

    def __init__(self, traffic: Traffic) -> None:
        super().__init__()
        self._requests = Counter(
            "pullsecrets_admission_requests",
            "Admission reviews answered, by what they were about and what was decided.",
            ("resource", "operation", "decision", "reason"),
            registry=self.registry,
        )
        self._refused = Counter(
            "pullsecrets_admission_refused",
            "HTTP requests to the admission endpoint that were no admission review, by status code.",
            ("code",),
            registry=self.registry,
        )
        self._duration = Histogram(
            "pullsecrets_admission_duration_seconds",
            "From the last byte of an admission review to its answer.",
            buckets=_DURATION_BUCKETS,
            registry=self.registry,
        )
        self.registry.register(_TrafficCollector(traffic))
        self._stale = Gauge(
            "pullsecrets_namespaces_stale_seconds",
            "For how long the watch of namespaces has been down; 0 while it is open, or none is needed.",
            registry=self.registry,
        )
        self._series: dict[tuple[str, str, str, str], Counter] = {}
        self._expiry = Gauge(
            "pullsecrets_certificate_expiry_timestamp_seconds",
            "When the serving certificate ends to be valid, in Unix time; 0 before there is one.",
            registry=self.registry,
        )
        self._certificate_successful = Gauge(
            "pullsecrets_certificate_last_reload_successful",
            "1 while the certificate at its source is the one in use, 0 when it is not usable and an older one stays.",
            registry=self.registry,
        )

    def follow_staleness(self, seconds: Callable[[], float]) -> None:
        """Export for how long the watch of namespaces has been down."""
        self._stale.set_function(seconds)

    def certificate_accepted(self, not_after: datetime) -> None:
        self._expiry.set(not_after.timestamp())
        self._certificate_successful.set(1)

    def certificate_refused(self) -> None:
        self._certificate_successful.set(0)

    def answered(self, answer: Answered, seconds: float) -> None:
        """Count an answered review."""
        key = (answer.resource, answer.operation, answer.decision, answer.reason)
        series = self._series.get(key)
        if series is None:  # looking a series up by its labels costs more than counting
            series = self._series[key] = self._requests.labels(*key)
        series.inc()
        self._duration.observe(seconds)

    def refused(self, status: int) -> None:
        """Count a request that was answered with a 4xx."""
        self._refused.labels(str(status)).inc()


class _TrafficCollector(Collector):
    """Reads the numbers of the admission port when somebody asks."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    def collect(self) -> Iterable[Metric]:
        now = self._traffic
        for name, text, value in (
            ("in_flight_requests", "Admission requests that are being read or answered.", now.requests),
            ("in_flight_bytes", "Bytes of their bodies that are held.", now.held_bytes),
            ("connections", "Connections that are open, also those in their TLS handshake.", now.connections),
        ):
            yield GaugeMetricFamily(f"pullsecrets_admission_{name}", text, value=value)
        for name, text, value in (
            ("request_bytes", "Bytes of request bodies that have been received.", now.received_bytes),
            ("connections_refused", "Connections closed at once, being too many.", now.refused_connections),
            ("tls_handshake_failures", "TLS handshakes that failed or took too long.", now.failed_handshakes),
        ):
            yield CounterMetricFamily(f"pullsecrets_admission_{name}", text, value=value)


class Answered(Protocol):
    """What is counted of an answer."""

    @property
    def resource(self) -> str: ...
    @property
    def operation(self) -> str: ...
    @property
    def decision(self) -> str: ...
    @property
    def reason(self) -> str: ...
