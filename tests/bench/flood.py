"""``python -m tests.bench.flood``: what real reviews notice of an attack, and what is left of it in memory.

2,000 idle sockets, half of them in TLS sessions, 200 requests that come byte by byte, and a stream of bodies of 7 MiB
that take a decoder as long as can be, all at once, on the cores that the webhook runs on too.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.saved import save
from tests.integration.hostile.attack import MIB, Attack, Strength, resident, review_times
from tests.integration.site.serving import serving, until

STRENGTH = Strength(plain=1000, tls=1000, slow=200, streams=1)
SECONDS = 8.0
AFTERWARDS_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Result:
    """Milliseconds, MiB and numbers."""

    reviews: int
    p50_ms: float
    p99_ms: float
    longest_ms: float
    large_bodies_per_second: float
    rss_before_mib: float
    rss_during_mib: float
    rss_after_mib: float


def main() -> None:
    """Measure, print a table, and write ``results/flood.json``."""
    result = measure()
    save("flood", asdict(result))
    table = Table("a flood", "", box=None, pad_edge=False)
    for name, value in asdict(result).items():
        table.add_row(name, str(value))
    Console(highlight=False).print(table)


def measure() -> Result:
    """Return what was seen of one attack."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        before = resident(server)
        with Attack(server, STRENGTH) as attack:
            until(lambda: attack.floods > 0, "the flood")
            floods, started = attack.floods, time.monotonic()
            times = [seconds * 1000 for seconds in review_times(server, SECONDS)]
            per_second = (attack.floods - floods) / (time.monotonic() - started)
            during = resident(server)
        until(lambda: server.metric("pullsecrets_admission_connections") == 0, "the end of the connections")
        time.sleep(AFTERWARDS_SECONDS)
        after = resident(server)
    quantiles = statistics.quantiles(times, n=100)
    return Result(
        reviews=len(times),
        p50_ms=round(quantiles[49], 2),
        p99_ms=round(quantiles[98], 2),
        longest_ms=round(max(times), 2),
        large_bodies_per_second=round(per_second, 1),
        rss_before_mib=round(before / MIB, 1),
        rss_during_mib=round(during / MIB, 1),
        rss_after_mib=round(after / MIB, 1),
    )


if __name__ == "__main__":
    main()
