"""``python -m tests.bench.beside``: the response times of small reviews beside streams of the largest bodies.

One client sends a review of 7 kB every five milliseconds, as an API server would on a busy day. Four other processes
each send one body of nearly 7 MiB after the other, every process another kind of body that takes long to decode. Rounds
with the streams alternate with rounds without them, so that a busy machine shows in both.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import ssl
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tests.bench.process import peak_mib
from tests.bench.reviews import pod_review
from tests.bench.saved import save
from tests.integration.hostile.attack import worst_cases
from tests.integration.site.serving import LOOPBACK, exchange, post, serving, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.sharedctypes import Synchronized

    from tests.integration.site.serving import Serving

STREAMS = 4
ROUNDS = 3
SECONDS = 8.0
INTERVAL_SECONDS = 0.005
REVIEW_BYTES = 7_000
_PROCESSES = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Round:
    """The response times of one round in milliseconds, and the large bodies that were answered meanwhile."""

    streams: int
    reviews: int
    p50_ms: float
    p99_ms: float
    longest_ms: float
    large_bodies_per_second: float
    peak_mib: float
    """Of the process of ``serve``, since its start."""


def main() -> None:
    """Measure, print a table, and write ``results/beside.json``."""
    rounds = measure()
    save("beside", [asdict(each) for each in rounds])
    table = Table(
        "streams of large bodies", "reviews", "p50 ms", "p99 ms", "longest ms", "large/s", "peak MiB", box=None
    )
    for each in rounds:
        table.add_row(*(f"{value}" for value in asdict(each).values()))
    for streams in (0, STREAMS):
        chosen = [each for each in rounds if each.streams == streams]
        medians = (statistics.median(times) for times in zip(*((r.p50_ms, r.p99_ms) for r in chosen), strict=True))
        table.add_row(f"{streams}, median", "", *(f"{value}" for value in medians))
    Console(highlight=False, width=120).print(table)


def measure() -> list[Round]:
    """Return the rounds, without and with the streams in turn."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        return [_round(server, streams) for _ in range(ROUNDS) for streams in (0, STREAMS)]


def _round(server: Serving, streams: int) -> Round:
    with _sending(server.secure_port, streams) as answered:
        before, started = sum(each.value for each in answered), time.monotonic()
        times = _times(server)
        seconds = time.monotonic() - started
        bodies = sum(each.value for each in answered) - before
    quantiles = statistics.quantiles(times, n=100)
    return Round(
        streams=streams,
        reviews=len(times),
        p50_ms=round(quantiles[49], 2),
        p99_ms=round(quantiles[98], 2),
        longest_ms=round(max(times), 2),
        large_bodies_per_second=round(bodies / seconds, 1),
        peak_mib=round(peak_mib(server.process.pid), 1),
    )


def _times(server: Serving) -> list[float]:
    """Send reviews at a steady pace over one connection; return milliseconds from the time when each was due."""
    request = post(pod_review(REVIEW_BYTES))
    times = []
    with server.connected() as connection:
        begin = time.perf_counter()
        for number in range(int(SECONDS / INTERVAL_SECONDS)):
            due = begin + number * INTERVAL_SECONDS
            time.sleep(max(0.0, due - time.perf_counter()))
            sent = time.perf_counter()
            response = exchange(connection, request)
            times.append((time.perf_counter() - sent) * 1000)
            assert (response.status, b'"JSONPatch"' in response.body) == (200, True)
    return times


@contextlib.contextmanager
def _sending(port: int, streams: int) -> Iterator[list[Synchronized[int]]]:
    answered = [_PROCESSES.Value("q", 0) for _ in range(streams)]
    processes = [_PROCESSES.Process(target=stream, args=(port, *each)) for each in enumerate(answered)]
    for process in processes:
        process.start()
    try:
        until(lambda: not answered or any(each.value for each in answered), "an answer to a stream")
        yield answered
    finally:
        for process in processes:
            process.kill()
            process.join()


def stream(port: int, number: int, answered: Synchronized[int]) -> None:
    """Send one of the worst bodies again and again, until the process is ended; count its answers."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    bodies = list(worst_cases().values())
    request = post(bodies[number % len(bodies)])
    while True:
        # The port refuses what would exceed its bound for all bodies together, and closes such a connection.
        with (
            contextlib.suppress(OSError),
            socket.create_connection((LOOPBACK, port)) as raw,
            context.wrap_socket(raw) as connection,
        ):
            while exchange(connection, request).status == HTTPStatus.OK:
                answered.value += 1


if __name__ == "__main__":
    main()
