"""Standard output, whose other end may be anything: a terminal, ``| head``, a full disk, nothing."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from webhook.core.text import escaped
from webhook.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO


def tell(sentence: str) -> None:
    """Print one line to standard error, with everything escaped that a terminal would obey."""
    typer.echo(escaped(sentence), err=True)


@contextmanager
def standard_output() -> Iterator[TextIO]:
    """Give what to print to. Whoever reads it may leave early, as ``| head`` does: the rest is for nobody then.

    Raises:
        UsageError: what is printed cannot be kept, on a full disk say.
    """
    if sys.stdout is None:  # closed from the start, by ``>&-``
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for as long as the process lasts
    try:
        yield sys.stdout
        sys.stdout.flush()
    except OSError as error:
        # Python would fail once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise UsageError(f"the result cannot be written where standard output goes: {error.strerror}") from None
