"""Print reports: as a table, as names, as JSON or as YAML.

Cells contain names and messages from users. Each cell is escaped here, and never read as markup.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from webhook.cli.printing import standard_output, tell
from webhook.cli.target import kubectl_name
from webhook.report.protocol import RESULT, Line
from webhook.rules.text import ascii_json, escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TextIO

    from webhook.report.protocol import ObjectReport, Report

GAP = 2
"""Characters between two columns."""

NARROWEST_LAST = 28
"""In characters; on a terminal with less space for the last column, related cells are stacked."""


class Form(StrEnum):
    """The formats of ``--output`` that every report has."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class ObjectForm(StrEnum):
    """The formats of ``--output`` of a report about objects that people share as a page."""

    TABLE = "table"
    WIDE = "wide"
    """A table with more columns."""
    NAME = "name"
    """The names of the objects that need attention."""
    JSON = "json"
    YAML = "yaml"
    HTML = "html"


def print_objects(report: ObjectReport, form: ObjectForm, page: Callable[[], str]) -> None:
    """Print a report, and its summary to standard error; ``page()`` returns it as HTML."""
    with standard_output() as file:
        if form is ObjectForm.HTML:
            file.write(page())
        elif form is ObjectForm.WIDE:
            render_wide(report, file)
        elif form is ObjectForm.NAME:
            write_names(report.titles(), file)
        else:
            render(report, Form(form), file)
    tell(report.summary())


def render(report: Report, form: Form, file: TextIO) -> None:
    """Write ``report`` to ``file``: aligned and uncut for programs, coloured and folded for a terminal."""
    if form is Form.TABLE:
        _write_table(report.columns, report.lines(), file)
    else:
        write_document(report.document(), form, file)


def render_wide(report: ObjectReport, file: TextIO) -> None:
    """Write all columns of ``report`` to ``file``."""
    _write_table(report.wide_columns, report.wide_lines(), file)


def write_names(titles: Iterable[str], file: TextIO) -> None:
    """Write objects as ``kubectl get -o name`` does: one on each line, for the arguments of another command."""
    file.writelines(f"{escaped(kubectl_name(title))}\n" for title in titles)


def write_document(document: object, form: Form, file: TextIO) -> None:
    """Write a document as JSON or YAML, both in ASCII."""
    if form is Form.YAML:
        from webhook.files.yaml import dump  # noqa: PLC0415 - slow to import

        dump([document], file)
        return
    file.write(f"{ascii_json(json.dumps(document, indent=2))}\n")


def _write_table(columns: tuple[str, ...], rows: Iterable[Line], file: TextIO) -> None:
    lines = [Line(tuple(map(escaped, cells)), colour) for cells, colour in rows]
    if not lines:
        return
    table = _Table(columns, lines)
    if file.isatty():
        table.write_to_terminal(file)
    else:
        table.write_lines(file)


class _Table(msgspec.Struct, frozen=True):
    columns: tuple[str, ...]
    lines: Sequence[Line]

    def write_lines(self, file: TextIO) -> None:
        """Write each line as one line of text."""
        # Programs such as grep and awk read these lines, so they are neither cut nor folded.
        widths = self._widths()
        for cells in (self.columns, *(line.cells for line in self.lines)):
            padded = (" " * GAP).join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            file.write(f"{padded.rstrip()}\n")

    def _widths(self) -> list[int]:
        return [
            max(map(len, column)) for column in zip(self.columns, *(line.cells for line in self.lines), strict=True)
        ]

    def write_to_terminal(self, file: TextIO) -> None:
        """Write the table for a person, at the width of the terminal.

        On a narrow terminal the columns before the result are stacked in one, the others in a second.
        """
        from rich.console import Console  # noqa: PLC0415 - slow to import, and only needed on a terminal
        from rich.table import Table as RichTable  # noqa: PLC0415 - as above
        from rich.text import Text  # noqa: PLC0415 - as above

        console = Console(file=file)
        before_last = sum(width + GAP for width in self._widths()[:-1])
        is_narrow = before_last + NARROWEST_LAST > console.width
        result = self.columns.index(RESULT)
        table = RichTable(box=None, pad_edge=False, padding=(0, GAP, int(is_narrow), 0), header_style="bold")
        for header in _stacked(self.columns, result) if is_narrow else self.columns:
            table.add_column(header, overflow="fold")
        for cells, colour in self.lines:
            if is_narrow:
                identity, outcome = map(Text, _stacked(cells, result))
                outcome.stylize(colour, 0, len(cells[result]))
                table.add_row(identity, outcome)
            else:
                table.add_row(*(Text(cell, colour if at == result else "") for at, cell in enumerate(cells)))
        console.print(table)


def _stacked(cells: Sequence[str], result: int) -> tuple[str, str]:
    """Return the cells before the result, and those from it on, each stacked."""
    first, second = cells[:result], cells[result:]
    return "\n".join(filter(None, first)), "\n".join(filter(None, second))
