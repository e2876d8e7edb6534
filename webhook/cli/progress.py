"""Show a progress bar on standard error for work of more than a second; only on a terminal."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import contextmanager
from shutil import get_terminal_size
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

PATIENCE_SECONDS = 1.0
"""Work up to this duration does not need a bar."""

REFRESH_SECONDS = 0.1
WIDEST_BAR = 40


class Progress:
    """Counts the objects read and the objects expected; safe from any thread."""

    def __init__(self, file: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        self._started = clock()
        self._drawn_at = 0.0
        self._done = 0
        self._remaining: dict[int, int] = {}

    def seen(self, number: int, remaining: int) -> None:
        """Count a page of ``number`` objects; ``remaining`` objects of this thread's list are still to come."""
        with self._lock:
            self._done += number
            self._remaining[threading.get_ident()] = remaining
            now = self._clock()
            if now - self._started >= PATIENCE_SECONDS and now - self._drawn_at >= REFRESH_SECONDS:
                self._drawn_at = now
                self._file.write(f"\r{self._line()}\x1b[K")
                self._file.flush()

    def close(self) -> None:
        """Erase the bar, if there is one."""
        if self._drawn_at:
            self._file.write("\r\x1b[K")
            self._file.flush()

    def _line(self) -> str:
        total = self._done + sum(self._remaining.values())
        text = f"{self._done:,} of {total:,} objects read"
        width = min(WIDEST_BAR, get_terminal_size().columns - len(text) - 4)
        if width < 1:
            return text
        filled = width * self._done // max(total, 1)
        return f"[{'#' * filled}{'.' * (width - filled)}] {text}"


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """Show a bar while the context lasts, on a terminal. Yield the function to call for each page."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda *_: None
        return
    bar = Progress(sys.stderr)
    try:
        yield bar.seen
    finally:
        bar.close()
