"""Count the events of many threads, and their durations, for a scrape.

The counters and histograms of the client library look up their labels and take a lock for each of their parts. Sync
counts about ten events for each write, which took a twentieth of its CPU time.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client import CollectorRegistry, Metric


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
        self._series = {each: self._empty() for each in initial}
        registry.register(self)

    def observe(self, labels: tuple[str, ...], seconds: float) -> None:
        """Count an event with these values of the labels that took so many seconds."""
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
            family.add_metric(labels, self._cumulated(counts), total)
        yield family

    def _empty(self) -> list[float]:
        """Return the number of events in each bucket, with the last for all that took longer, and the seconds."""
        return [0.0] * (len(self._bounds) + 2)

    def _cumulated(self, counts: Sequence[float]) -> list[tuple[str, float]]:
        total, cumulated = 0.0, []
        for bound, count in zip((*map(floatToGoString, self._bounds), "+Inf"), counts, strict=True):
            total += count
            cumulated.append((bound, total))
        return cumulated
