"""``python -m tests.bench.start``: the CPU time of commands that a person waits for, from process start to end.

A wall time would measure the machine. ``python -c pass`` is what Python itself takes.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.saved import save
from tests.cluster.processes import COMMAND

ROOT = Path(__file__).parents[2]
ROUNDS = 15
FILES = ["-f", "examples/team-a.yaml", "--config", "examples/configuration.yaml"]
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "pullsecrets --help": [str(COMMAND), "--help"],
    "pullsecrets plan --help": [str(COMMAND), "plan", "--help"],
    "pullsecrets plan -f": [str(COMMAND), "plan", *FILES],
    "pullsecrets check, no cluster": [str(COMMAND), "check", "--kubeconfig", "/nonexistent"],
    "imports of serve": [sys.executable, "-c", "import webhook.ops.logs, webhook.serve.process"],
    "imports of sync": [sys.executable, "-c", "import webhook.ops.logs, webhook.sync.process"],
}


@dataclass(frozen=True, slots=True)
class Row:
    """One command: user and system time in milliseconds."""

    command: str
    median_ms: float
    least_ms: float


def main() -> None:
    """Measure, print a table, and write ``results/start.json``."""
    rows = measure()
    save("start", [asdict(row) for row in rows])
    table = Table("command", "CPU ms, median", "least", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row.command, f"{row.median_ms:.0f}", f"{row.least_ms:.0f}")
    Console(highlight=False).print(table)


def measure() -> list[Row]:
    """Return a row for each command; the commands take turns."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            times[name].append(_milliseconds(command))
    return [Row(name, statistics.median(each), min(each)) for name, each in times.items()]


def _milliseconds(command: list[str]) -> float:
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0  # it has been waited for here
    return (usage.ru_utime + usage.ru_stime) * 1000


if __name__ == "__main__":
    main()
