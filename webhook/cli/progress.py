"""Show a progress bar on standard error for work of more than a second; only on a terminal."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

    from rich.progress import Progress

PATIENCE_SECONDS = 1.0
"""Work up to this duration does not need a bar, and does not import rich."""


class ObjectsRead:
    """Counts the objects read and the objects expected; safe from any thread."""

    def __init__(self, file: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        self._started = clock()
        self._done = 0
        self._remaining: dict[int, int] = {}
        self._bar: Progress | None = None

    def seen(self, number: int, remaining: int) -> None:
        """Count a page of ``number`` objects; ``remaining`` objects of this thread's list are still to come."""
        with self._lock:
            self._done += number
            self._remaining[threading.get_ident()] = remaining
            if self._bar is None and self._clock() - self._started >= PATIENCE_SECONDS:
                self._bar = _started(self._file)
            if self._bar is not None:
                total = self._done + sum(self._remaining.values())
                self._bar.update(self._bar.task_ids[0], completed=self._done, total=total)

    def close(self) -> None:
        """Erase the bar, if there is one."""
        if self._bar is not None:
            self._bar.stop()


def _started(file: TextIO) -> Progress:
    from rich.console import Console  # noqa: PLC0415 - most commands end sooner
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415

    numbers = TextColumn("{task.completed:,} of {task.total:,} objects read")
    bar = Progress(numbers, BarColumn(), console=Console(file=file), transient=True)
    bar.add_task("")
    bar.start()
    return bar


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """Show a bar while the context lasts, on a terminal. Yield the function to call for each page."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda *_: None
        return
    counted = ObjectsRead(sys.stderr)
    try:
        yield counted.seen
    finally:
        counted.close()
