"""docs/metrics.md has the metrics that there are, and no other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.documented import DOCS, PAGES, ROOT, first_column, names, rows, section, texts
from tests.unit.ops.statuses import STATUS
from webhook.http.counters import Traffic
from webhook.ops.metrics import AdmissionMetrics, ProcessMetrics
from webhook.ops.sync_metrics import SyncMetrics
from webhook.rules.configuration import Reason
from webhook.serve.handler import Answer
from webhook.sync.write_result import Result

if TYPE_CHECKING:
    from collections.abc import Iterator


def metrics_of(metrics: ProcessMetrics) -> dict[str, tuple[str, frozenset[str]]]:
    """Return type and labels of each metric of a role, by the name that Prometheus knows it by."""
    suffixes = {"counter": "_total", "info": "_info"}
    labels = {known[0]: collector._labelnames for collector, known in _collectors(metrics)}
    return {
        family.name + suffixes.get(family.type, ""): (
            family.type,
            # What is collected anew for each scrape, and the build, say their labels only by their samples.
            frozenset(labels.get(family.name) or (family.samples[0].labels if family.samples else ())) - {"le"},
        )
        for family in metrics.registry.collect()
        if not family.name.startswith("process_")
    }


def _collectors(metrics: ProcessMetrics) -> Iterator[tuple[Any, list[str]]]:
    """Yield the collectors that have labels, with their names; prometheus_client has no public way to them."""
    for collector, known in metrics.registry._collector_to_names.items():
        if hasattr(collector, "_labelnames"):
            yield collector, known


def documented_metrics(heading: str) -> dict[str, tuple[str, frozenset[str]]]:
    return {
        name.strip("`"): (kind, frozenset(names(labels)))
        for name, kind, labels, meaning in rows(section(DOCS / "metrics.md", heading))
        if meaning and not name.startswith("`process_")
    }


def serve_metrics() -> AdmissionMetrics:
    metrics = AdmissionMetrics(Traffic())
    metrics.answered(Answer(b"", "pods", "CREATE", Reason.INJECTED), 0.001)
    return metrics


def sync_metrics() -> SyncMetrics:
    metrics = SyncMetrics()
    metrics.follow_state(lambda: STATUS)
    return metrics


@pytest.mark.parametrize(
    ("role", "metrics"),
    [pytest.param("serve", serve_metrics(), id="serve"), pytest.param("sync", sync_metrics(), id="sync")],
)
def test_the_documented_metrics_are_those_of_the_role(role: str, metrics: ProcessMetrics) -> None:
    assert documented_metrics("Both roles") | documented_metrics(role) == metrics_of(metrics)


def test_the_metrics_of_both_roles_are_those_that_every_process_has() -> None:
    assert documented_metrics("Both roles") == metrics_of(ProcessMetrics())


def test_the_metrics_of_the_process_are_documented_where_there_are_any() -> None:
    documented = {cells[0].strip("`") for cells in rows(section(DOCS / "metrics.md", "Both roles"))}
    families = [family for family in ProcessMetrics().registry.collect() if family.name.startswith("process_")]
    exported = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    assert exported <= documented


def test_the_documented_actions_are_those_that_the_executor_counts() -> None:
    (meaning,) = (cells[3] for cells in rows(section(DOCS / "metrics.md", "sync")) if "sync_writes" in cells[0])
    words = {"copy", "references"}
    counted = {text for text in texts(ROOT / "webhook/sync/writes.py") if re.fullmatch(r"\w+ \w+ed", text)}
    assert {name for name in names(meaning) if name.split()[0] in words} == counted - {"copy applied"}


def test_the_documented_results_of_a_write_are_those_that_there_are() -> None:
    assert first_column("metrics.md", "Results of a write") == list(Result)


def test_every_metric_that_a_page_names_is_there() -> None:
    known = {name for heading in ("Both roles", "serve", "sync") for name in documented_metrics(heading)}
    named = {name for page in PAGES for name in re.findall(r"\bpullsecrets_\w+", page.read_text())}
    assert {re.sub(r"_(?:bucket|sum|count)$", "", name) for name in named} - known == set()
