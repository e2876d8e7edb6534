"""Format ``--help`` in two columns; on a narrow terminal, put each flag above its meaning."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup

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
