"""Count answered reviews in plain numbers.

The client library's counters and histograms take a lock and walk through their buckets for each observation. That costs
a tenth of a decision. Only one event loop counts here, so plain additions suffice, and the library gets finished
families.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Protocol

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

DURATION_BUCKETS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""In seconds. A review takes a fraction of a millisecond; the API server times out after some seconds."""


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


class Tally(Collector):
    """Counters of reviews by the kind of their answer, and their duration."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, str, str], int] = {}
        self._buckets = [0] * (len(DURATION_BUCKETS) + 1)
        self._seconds = 0.0

    def answered(self, answer: Answered, seconds: float) -> None:
        """Count an answered review."""
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
            buckets=self._cumulated(),
            sum_value=self._seconds,
        )

    def _cumulated(self) -> list[tuple[str, float]]:
        total, found = 0, []
        for bound, count in zip((*map(str, DURATION_BUCKETS), "+Inf"), self._buckets, strict=True):
            total += count
            found.append((bound, float(total)))
        return found
