"""The results of the sync bench as a table, a column for each number of namespaces."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.bench.sync import Phase, Result

    Value = Callable[[Result], str]

PERCENT = 99


def show(results: list[Result]) -> None:
    """Print the results."""
    table = Table("sync", *(f"{result.namespaces:,} namespaces" for result in results), box=None, pad_edge=False)
    for text, value in _rows():
        table.add_row(text, *(value(result) for result in results))
    Console(highlight=False, width=200).print(table)


def percentile(values: list[float], percent: int) -> float:
    """Return the smallest of the sorted values that is at least as large as that many percent of them."""
    return values[max(0, -(-len(values) * percent // 100) - 1)]


def _rows() -> Iterable[tuple[str, Value]]:
    yield from _phase("cold start to the last copy and reference", lambda result: result.cold_start)
    yield "  each namespace", lambda result: _each(result, result.cold_start)
    yield "  floor: the same writes by client-go", lambda result: f"{result.floor_cold_start.seconds} s"
    yield "  ratio to the floor", lambda result: _ratio(result.cold_start, result.floor_cold_start)
    yield "  CPU time of the floor, of the API server", lambda result: _seconds_of_cpu(result.floor_cold_start)
    yield from _phase("cold start to the last copy, references are there", lambda result: result.cold_start_referenced)
    yield from _phase("rotation to the last copy", lambda result: result.rotation)
    yield "  each namespace", lambda result: _each(result, result.rotation)
    yield "  floor: the same writes by client-go", lambda result: f"{result.floor_rotation.seconds} s"
    yield "  ratio to the floor", lambda result: _ratio(result.rotation, result.floor_rotation)
    yield "  CPU time of the floor, of the API server", lambda result: _seconds_of_cpu(result.floor_rotation)
    yield "new namespace to its copy, median, p99", lambda result: _spread(result.new_namespace_ms)
    yield "  the API server's answer to a probe beside it", lambda result: _spread(result.probe_ms)
    yield "label to copy, median, p99", lambda result: _spread(result.label_ms)
    yield "during a rotation: new namespace to its copy", lambda result: _spread(result.crowded_namespace_ms)
    yield "during a rotation: new ServiceAccount to its reference", lambda result: _spread(result.crowded_account_ms)
    yield from _phase("events in namespaces and ServiceAccounts", lambda result: result.events)
    yield "  events", lambda result: f"{result.events_sent:,}"
    yield "most memory at any time", lambda result: f"{result.peak_mib} MiB"


def _phase(text: str, phase: Callable[[Result], Phase]) -> Iterable[tuple[str, Value]]:
    yield text, lambda result: f"{phase(result).seconds} s"
    yield "  CPU time of sync, of the API server", lambda result: _seconds_of_cpu(phase(result))
    yield "  memory (RSS) at the end", lambda result: f"{phase(result).rss_mib} MiB"
    yield "  requests", lambda result: _requests(phase(result).requests)


def _seconds_of_cpu(phase: Phase) -> str:
    return f"{phase.cpu_seconds} s, {phase.server_cpu_seconds} s"


def _each(result: Result, phase: Phase) -> str:
    return f"{phase.seconds / result.namespaces * 1000:.2f} ms"


def _ratio(ours: Phase, floor: Phase) -> str:
    return f"{ours.seconds / floor.seconds:.2f} x"


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ms, {percentile(values, PERCENT):.1f} ms"


def _requests(counted: dict[str, int]) -> str:
    return "\n".join(f"{number:,} {key}" for key, number in counted.items())
