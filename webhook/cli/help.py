"""Format ``--help`` in two columns; on a narrow terminal, put each flag above its meaning.

This module also implements ``pullsecrets help``.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from webhook.cli.printing import standard_output
from webhook.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

NARROW = 70
"""Columns below which the second column would be cut within words."""

NARROWEST = 40
"""Columns that the longest names of environment variables need."""


class Command(TyperCommand):
    """A command whose help fits the terminal."""

    def get_help(self, ctx: Any) -> str:  # noqa: ANN401 - typer's context is not public
        """Return the text."""
        return super().get_help(_fitted(ctx))


class Group(TyperGroup):
    """The top-level command, whose help fits the terminal."""

    def get_help(self, ctx: Any) -> str:  # noqa: ANN401 - as above
        """Return the text."""
        return super().get_help(_fitted(ctx))


def _fitted(context: Any) -> Any:  # noqa: ANN401 - as above
    columns = shutil.get_terminal_size().columns
    if columns < NARROW:
        context.terminal_width = max(columns, NARROWEST)
        context.formatter_class = _stacked(context.formatter_class)
    return context


def _stacked(formatter: Any) -> Any:  # noqa: ANN401 - as above
    class Stacked(formatter):  # type: ignore[misc]
        """Writes terms above their meaning."""

        def write_dl(self, rows: Sequence[tuple[str, str]], **_columns: int) -> None:
            for term, meaning in rows:
                self.write_text(term)
                with self.indentation(), self.indentation():
                    self.write_text(meaning)

    return Stacked


def help_of(
    context: typer.Context,
    command: Annotated[str, typer.Argument(metavar="COMMAND", help="The command; the default is all of them.")] = "",
) -> None:
    """Print the help of a command.

    \b
    pullsecrets help
    pullsecrets help explain
    """  # noqa: D301 - \b is for the help text
    top: Any = context.parent
    chosen_command = top.command.get_command(top, command) if command else top.command
    if chosen_command is None:
        raise UsageError(f"there is no command {command}; list them: pullsecrets help")
    text = chosen_command.get_help(
        top if chosen_command is top.command else context.__class__(chosen_command, parent=top, info_name=command)
    )
    with standard_output() as file:
        file.write(f"{text}\n")
