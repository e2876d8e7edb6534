"""Print tables: aligned and uncut for programs, coloured and folded to the width of a terminal for people.

Cells contain names and messages from users. Each cell is escaped here, and never read as markup.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from webhook.rules.text import escaped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

GAP = 2
"""Characters between two columns."""

NARROWEST_LAST = 28
"""In characters; on a terminal with less space for the last column, related cells are stacked."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text below a header; the cell at ``coloured`` has the colour of its row.

    On a narrow terminal the first ``identity`` columns are stacked in one, the others in a second.
    """

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    colours: Sequence[str]
    coloured: int
    identity: int

    def write(self, file: TextIO) -> None:
        """Write the table, if it has rows."""
        if not self.rows:
            return
        shown = replace(self, rows=[tuple(map(escaped, row)) for row in self.rows])
        if file.isatty():
            shown.write_to_terminal(file)
        else:
            shown.write_lines(file)

    def write_lines(self, file: TextIO) -> None:
        """Write each row as one line."""
        # Programs such as grep and awk read these lines, so they are neither cut nor folded.
        widths = self._widths()
        for line in (self.header, *self.rows):
            padded = (" " * GAP).join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            file.write(f"{padded.rstrip()}\n")

    def _widths(self) -> list[int]:
        return [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]

    def write_to_terminal(self, file: TextIO) -> None:
        """Write the table for a person, at the width of the terminal."""
        from rich.console import Console  # noqa: PLC0415 - slow to import, and only needed on a terminal
        from rich.table import Table as RichTable  # noqa: PLC0415 - as above
        from rich.text import Text  # noqa: PLC0415 - as above

        console = Console(file=file)
        before_last = sum(width + GAP for width in self._widths()[:-1])
        is_narrow = before_last + NARROWEST_LAST > console.width
        table = RichTable(box=None, pad_edge=False, padding=(0, GAP, int(is_narrow), 0), header_style="bold")
        for header in self._stacked(self.header) if is_narrow else self.header:
            table.add_column(header, overflow="fold")
        for line, colour in zip(self.rows, self.colours, strict=True):
            if is_narrow:
                identity, outcome = map(Text, self._stacked(line))
                start = sum(len(cell) + 1 for cell in line[self.identity : self.coloured])
                outcome.stylize(colour, start, start + len(line[self.coloured]))
                table.add_row(identity, outcome)
            else:
                table.add_row(*(Text(cell, colour if at == self.coloured else "") for at, cell in enumerate(line)))
        console.print(table)

    def _stacked(self, line: Sequence[str]) -> tuple[str, str]:
        """Return the cells of the identity and the cells of the result, each stacked."""
        first, second = line[: self.identity], line[self.identity :]
        return "\n".join(filter(None, first)), "\n".join(cell for cell in second if cell)
