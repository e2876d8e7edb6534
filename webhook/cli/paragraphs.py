"""Print paragraphs: folded between words and coloured on a terminal, one line each in a pipe."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from webhook.rules.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

    from webhook.report.protocol import Paragraph


def write_paragraphs(paragraphs: Iterable[Paragraph], file: TextIO) -> None:
    """Write ``paragraphs``. A word that is longer than the terminal is wide is not folded, so that it can be copied."""
    if not file.isatty():
        file.writelines(f"{' ' * paragraph.indent}{_text(paragraph)}".rstrip() + "\n" for paragraph in paragraphs)
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only needed on a terminal
    from rich.text import Text  # noqa: PLC0415 - as above

    console = Console(file=file)
    for paragraph in paragraphs:
        hanging = paragraph.indent + (len(paragraph.mark) + 1 if paragraph.mark else 0)
        end = " \\" if paragraph.is_command else ""
        lines = folded(_text(paragraph), console.width - len(end), " " * paragraph.indent, " " * hanging)
        text = Text(f"{end}\n".join(lines))
        text.stylize(
            paragraph.colour, paragraph.indent, paragraph.indent + len(paragraph.mark) if paragraph.mark else len(text)
        )
        console.print(text, soft_wrap=True)


def folded(text: str, columns: int, first: str = "", rest: str = "", *, breaks_words: bool = False) -> list[str]:
    """Return the lines of a text, folded between words; ``first`` and ``rest`` begin the lines."""
    return textwrap.wrap(
        text,
        columns,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=breaks_words,
        break_on_hyphens=False,
    )


def _text(paragraph: Paragraph) -> str:
    return " ".join(filter(None, (paragraph.mark, escaped(paragraph.text))))
