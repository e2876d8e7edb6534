"""The observations of the main scenario, compared with the expected values."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 200


@dataclass(frozen=True, slots=True)
class Observation:
    """One line of the table: the object, its observed value and its expected value."""

    what: str
    saw: str
    expected: str

    @property
    def holds(self) -> bool:
        return self.saw == self.expected


@dataclass(slots=True)
class Observations:
    """Collects observations and prints them as a table."""

    rows: list[Observation] = field(default_factory=list)

    def compare(self, what: str, saw: str, expected: str) -> None:
        """Record an observed and an expected value."""
        self.rows.append(Observation(what, saw, expected))

    def references(self, what: str, saw: Sequence[str], expected: Sequence[str]) -> None:
        """Record the imagePullSecrets of an object."""
        self.compare(what, _shown(saw), _shown(expected))

    @property
    def all_hold(self) -> bool:
        """True if every observation is as expected."""
        return all(row.holds for row in self.rows)

    def show(self) -> None:
        """Print the table."""
        table = Table("", "object on the API server", "result", box=None, pad_edge=False)
        for row in self.rows:
            saw = row.saw if row.holds else f"{row.saw}  (expected: {row.expected})"
            table.add_row("ok" if row.holds else "WRONG", row.what, saw)
        # A pipe has no width: never fold there, so that the output can be searched and compared.
        width = None if sys.stdout.isatty() else PIPE_WIDTH
        Console(highlight=False, width=width).print(table)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"
