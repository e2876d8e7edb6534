"""Print explanations: the verdict first, then the gates that are shown."""

from __future__ import annotations

import shutil
from enum import StrEnum
from typing import TYPE_CHECKING

from webhook.cli.paragraphs import folded
from webhook.cli.render import Form, render
from webhook.rules.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from webhook.report.explain.step import Explanation, Step

NARROW = 100
"""Columns below which the gates are a list instead of a table."""


class ExplainFormat(StrEnum):
    """The formats of ``--output`` of ``explain``."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"
    """The names of the objects of a kind that need attention."""


def write_explanation(explanation: Explanation, file: TextIO, *, wide: bool = False) -> None:
    """Write the verdict, and then the gates that are shown; ``wide`` is a table however narrow the terminal is."""
    columns = _columns(file)
    write_verdict(explanation, file)
    if 0 < columns < NARROW and not wide:
        for step in explanation.shown:
            for line, colour in _item(step, columns):
                _print(line, colour, file)
    elif explanation.shown:
        file.write("\n")
        render(explanation, Form.TABLE, file)


def write_verdict(explanation: Explanation, file: TextIO) -> None:
    """Write the verdict, its reason and the next command: folded on a terminal, otherwise as one line."""
    for line, colour in _headline(explanation, _columns(file)):
        _print(line, colour, file)


def _columns(file: TextIO) -> int:
    """Return the width to fold at; 0 for programs, which read one line for each fact."""
    return shutil.get_terminal_size().columns if file.isatty() else 0


def _headline(explanation: Explanation, columns: int) -> Iterator[tuple[str, str]]:
    colour = explanation.verdict.severity.value
    if not columns:
        yield escaped(explanation.summary()), colour
        return
    yield from _folded(explanation.headline(), columns, "", colour)
    if explanation.verdict.command:
        yield f"Next: {escaped(explanation.verdict.command)}", ""


def _folded(text: str, columns: int, indent: str, colour: str) -> Iterator[tuple[str, str]]:
    """Yield the lines of a text, of which the first has a colour."""
    lines = folded(escaped(text), columns, rest=indent, breaks_words=True)
    return ((line, "" if at else colour) for at, line in enumerate(lines))


def _item(step: Step, columns: int) -> Iterator[tuple[str, str]]:
    """Yield a step for a narrow terminal. The command is one line, so that it can be copied."""
    about = f" of {step.pull_secret}" if step.pull_secret else ""
    reason = f" {step.reason}" if step.reason else ""
    text = f"{step.result}{reason}: {step.gate}{about}: {step.text}"
    yield from _folded(text, columns, "  ", step.severity.value)
    if step.command:
        yield f"  Next: {escaped(step.command)}", ""


def _print(line: str, colour: str, file: TextIO) -> None:
    """Write one line, on a terminal in a colour; the terminal folds it, so that a copied command has no line breaks."""
    if not file.isatty():
        file.write(f"{line}\n")
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only needed on a terminal
    from rich.text import Text  # noqa: PLC0415 - as above

    word, space, rest = line.partition(" ")
    Console(file=file).print(Text.assemble((word, colour), space, rest), soft_wrap=True)
