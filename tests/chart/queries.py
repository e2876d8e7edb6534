"""Which metrics and labels a query asks for, and which there are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tools.tables import metrics_of, roles

WORDS = {"sum", "min", "max", "count", "by", "on", "and", "or", "unless", "offset"}
WORDS |= {"rate", "increase", "histogram_quantile", "absent", "time", "vector", "clamp_min"}
"""Of PromQL, what these queries use."""

TARGET_LABELS = {"namespace", "pod", "job", "instance", "cluster"}
"""What Prometheus adds to all that it reads from a Pod or from an API server, or sends elsewhere."""

_STRING = re.compile(r'"[^"]*"')
_GROUPING = re.compile(r"\b(?:by|on) \(([^)]*)\)")
_SELECTED = re.compile(r"\b([a-z_]+)\{([^}]*)\}")
_NAME = re.compile(r"(?<![\w$])[a-z_][a-z_0-9]*\b")
_DURATION = re.compile(r"\[[^\]]*\]|\b\d+[smhd]\b")


@dataclass(frozen=True, slots=True)
class Metric:
    """The type of a metric, and the labels that it has."""

    type: str
    labels: frozenset[str]


API_SERVER: Mapping[str, Metric] = {
    "apiserver_admission_webhook_fail_open_count": Metric("counter", frozenset({"name", "type"})),
    "apiserver_admission_webhook_rejection_count": Metric(
        "counter", frozenset({"name", "type", "operation", "error_type", "rejection_code"})
    ),
    "apiserver_admission_webhook_admission_duration_seconds": Metric(
        "histogram", frozenset({"name", "type", "operation", "rejected"})
    ),
    "up": Metric("gauge", frozenset()),
    "process_cpu_seconds_total": Metric("counter", frozenset()),
    "process_resident_memory_bytes": Metric("gauge", frozenset()),
    "process_start_time_seconds": Metric("gauge", frozenset()),
    "process_open_fds": Metric("gauge", frozenset()),
    "process_max_fds": Metric("gauge", frozenset()),
}
"""Metrics of the API server, of Prometheus itself, and of processes on Linux that the queries read."""


def of_both_roles() -> dict[str, Metric]:
    """Return the metrics that the program has."""
    found = {name: metric for role in roles().values() for name, metric in metrics_of(role).items()}
    return {name: Metric(kind, frozenset(labels)) for name, (kind, labels, _) in found.items()}


def asked(query: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each metric that a query names, with the labels that its matchers name."""
    bare = _DURATION.sub("", _GROUPING.sub(" ", _STRING.sub('""', query)))
    for name, matchers in _SELECTED.findall(bare):
        yield name, set(re.findall(r"(\w+)(?==|!)", matchers))
    for name in _NAME.findall(_SELECTED.sub("", bare)):
        if name not in WORDS:
            yield name, set()


def grouped(query: str) -> set[str]:
    """Return the labels that a query groups or joins by."""
    return {label for labels in _GROUPING.findall(query) for label in re.findall(r"\w+", labels)}


def over_time(query: str) -> set[str]:
    """Return the metrics of which a query asks how they rise."""
    return set(re.findall(r"\b(?:rate|increase)\((\w+)", query))


def resolve(name: str, known: Mapping[str, Metric]) -> tuple[Metric, bool] | None:
    """Return the metric that a series belongs to, and whether the series is a counter; None when there is none."""
    if name in known:
        return known[name], known[name].type == "counter"
    base, _, suffix = name.rpartition("_")
    if suffix in {"bucket", "sum", "count"} and base in known and known[base].type == "histogram":
        return known[base], True
    return None
