"""The results of the sync bench as a table, a column for each number of namespaces."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.bench.large import LargePhase, LargeResult
    from tests.bench.sync import Phase, Result

    Value = Callable[[Result], str]
    LargeValue = Callable[[LargeResult], str]

R = TypeVar("R", "Result", "LargeResult")

PERCENT = 99


def show(results: list[Result]) -> None:
    """Print the results."""
    _print(results, _rows())


def show_large(results: list[LargeResult]) -> None:
    """Print the results of large numbers of namespaces."""
    _print(results, _large_rows())


def _print(results: Sequence[R], rows: Iterable[tuple[str, Callable[[R], str]]]) -> None:
    table = Table("sync", *(f"{result.namespaces:,} namespaces" for result in results), box=None, pad_edge=False)
    for text, value in rows:
        table.add_row(text, *(value(result) for result in results))
    Console(highlight=False, width=200).print(table)


def percentile(values: list[float], percent: int) -> float:
    """Return the smallest of the sorted values that is at least as large as that many percent of them."""
    return values[max(0, -(-len(values) * percent // 100) - 1)]


def _rows() -> Iterable[tuple[str, Value]]:
    yield from _phase("cold start to the last copy and reference", lambda result: result.cold_start)
    yield "  to the first copy; the floor", _first_copies
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


def _first_copies(result: Result) -> str:
    return f"{result.first_copy_seconds} s; {result.floor_first_copy_seconds} s"


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


def _large_rows() -> Iterable[tuple[str, LargeValue]]:
    yield "namespaces put into etcd", lambda result: f"{result.fill_seconds} s"
    yield from _large_phase("cold start to the last copy and reference", lambda result: result.start)
    yield from _large_phase("rotation to the last copy", lambda result: result.rotation)
    yield from _large_phase("second rotation to the last copy", lambda result: result.second_rotation)
    yield "  plan --rotate beside it: bytes, duration", _prediction
    yield from _large_phase("rotation with sync.flowControl, 1 share", lambda result: result.shared_rotation)
    yield "response time of other clients alone, median, p99", lambda result: _spread(result.alone_ms)
    yield "new namespace to its copy, median, p99", lambda result: _spread(result.new_namespace_ms)
    yield "most memory of sync at any time", lambda result: f"{result.peak_mib} MiB"
    yield "warnings and errors in the log of sync", lambda result: _requests(result.log_problems) or "none"
    yield "API server: seconds, CPU seconds, bytes of one", _readings
    yield (
        "memory of the API server, of etcd at the end",
        lambda result: "{} MiB, {} MiB".format(*result.server_mib),
    )
    yield "files of the cluster", lambda result: f"{result.files_mib} MiB"
    yield "load average after each step", lambda result: ", ".join(map(str, result.load))


def _prediction(result: LargeResult) -> str:
    """Return what was predicted, and its ratio to what then happened."""
    predicted, second = result.predicted, result.second_rotation
    size = f"{predicted.etcd_bytes:,}"
    seconds = "not known" if predicted.seconds is None else f"{predicted.seconds} s"
    if second is None:
        return f"{size}, {seconds}"
    size += f" ({predicted.etcd_bytes / second.written.put_bytes:.2f} x)"
    if predicted.seconds is not None:
        seconds += f" ({predicted.seconds / second.phase.seconds:.2f} x)"
    return f"{size}, {seconds}"


def _large_phase(text: str, value: Callable[[LargeResult], LargePhase | None]) -> Iterable[tuple[str, LargeValue]]:
    def row(cell: Callable[[LargePhase, int], str]) -> LargeValue:
        def show(result: LargeResult) -> str:
            phase = value(result)
            return "no time was left" if phase is None else cell(phase, result.namespaces)

        return show

    yield text, row(lambda each, _: f"{each.phase.seconds} s")
    yield "  each namespace", row(lambda each, number: f"{each.phase.seconds / number * 1000:.2f} ms")
    yield "  CPU time of sync, of the API server", row(lambda each, _: _seconds_of_cpu(each.phase))
    yield "  memory (RSS) at the end", row(lambda each, _: f"{each.phase.rss_mib} MiB")
    yield "  requests", row(lambda each, _: _requests(each.phase.requests))
    yield "  puts into etcd", row(lambda each, _: f"{each.written.puts:,}")
    yield "  bytes of their keys and values", row(lambda each, _: f"{each.written.put_bytes:,}")
    yield "  bytes in etcd's log", row(lambda each, _: f"{each.written.log_bytes:,}")
    yield "  response time of other clients, median, p99", row(lambda each, _: _spread(each.others_ms))


def _readings(result: LargeResult) -> str:
    readings = result.readings.items()
    return "\n".join(f"{text}: {one.seconds} s, {one.cpu_seconds} s, {one.size:,}" for text, one in readings)
