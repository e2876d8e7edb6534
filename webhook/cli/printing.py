"""Print to standard output, whether it is a terminal, ``| head``, a full disk or closed."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from webhook.errors import UsageError
from webhook.rules.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO


def tell(sentence: str) -> None:
    """Print one line to standard error, with terminal control characters escaped."""
    typer.echo(escaped(sentence), err=True)


@contextmanager
def standard_output() -> Iterator[TextIO]:
    """Yield standard output. Output after its reader has left, as ``| head`` does, is dropped.

    Raises:
        UsageError: the output cannot be written, for example on a full disk.
    """
    if sys.stdout is None:  # closed from the start, by ``>&-``
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for as long as the process lasts
    try:
        yield sys.stdout
        sys.stdout.flush()
    except OSError as error:
        # Otherwise Python would fail again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise UsageError(f"the result cannot be written to standard output: {error.strerror}") from None
