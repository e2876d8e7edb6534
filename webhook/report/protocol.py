"""Define what every report of a command offers: lines for people, one document for programs, and a summary."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULT = "RESULT"
"""The column that has the colour of its line. The columns before it identify what the line is about."""


class Severity(Enum):
    """The one scale of all results, with its colour. Each report has its own words for the members that it uses."""

    OK = "green"
    SKIPPED = "bright_black"
    """It does not apply, as the configuration or its owner wants it."""
    NOTE = "cyan"
    """Useful information without a fault."""
    UNKNOWN = "yellow"
    """It depends on something that was not, or could not be, read."""
    FAULT = "bold red"


class Line(NamedTuple):
    """One line of a table: a cell for each column, and the colour of its result."""

    cells: tuple[str, ...]
    colour: str


class Paragraph(NamedTuple):
    """One paragraph of a text: a mark with a colour, then words, all indented.

    A command is folded so that the shell can read it: each line but the last ends in a backslash.
    """

    text: str
    mark: str = ""
    colour: str = ""
    indent: int = 0
    is_command: bool = False


class Report(Protocol):
    """A result that can be printed as a table, as JSON and as YAML."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The headings of the table; one is :data:`RESULT`."""

    def lines(self) -> Sequence[Line]:
        """Return the lines of the table."""

    def document(self) -> dict[str, object]:
        """Return everything for programs, as values that JSON has."""

    def summary(self) -> str:
        """Return the result as one line."""


class ObjectReport(Report, Protocol):
    """A report about objects of a cluster, with a wider table, and the names of those that need attention."""

    @property
    def wide_columns(self) -> tuple[str, ...]:
        """The headings of the wider table: those of the table, and more."""

    def wide_lines(self) -> Sequence[Line]:
        """Return the lines of the wider table."""

    def titles(self) -> Sequence[str]:
        """Return each object that needs attention, once, as ``Pod/web``."""
