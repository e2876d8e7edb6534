"""What a long step tells the person who waits for it, on standard error."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Self

_EVERY_SECONDS = 20.0
_EVERY_SECONDS_ON_A_TERMINAL = 0.2


def tell(message: str) -> None:
    """Write one line."""
    sys.stderr.write(f"local cluster: {message}\n")
    sys.stderr.flush()


class Progress:
    """A count that is shown as it grows: one line that changes on a terminal, a line now and then elsewhere."""

    def __init__(self, what: str, total: int | None) -> None:
        self._what = what
        self._of = "" if total is None else f" of at most {total}"
        self._count = 0
        self._started = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._done = threading.Event()
        # By the clock, not by the count: the last step of a build is silent for a minute.
        self._shower = threading.Thread(target=self._show_regularly, daemon=True)

    def step(self) -> None:
        """Count one more."""
        self._count += 1

    def _show_regularly(self) -> None:
        every = _EVERY_SECONDS_ON_A_TERMINAL if self._terminal else _EVERY_SECONDS
        while not self._done.wait(every):
            self._show()

    def _show(self) -> None:
        minutes, seconds = divmod(round(time.monotonic() - self._started), 60)
        text = f"local cluster: {minutes}:{seconds:02d}  {self._count}{self._of} {self._what}"
        sys.stderr.write(f"\r\x1b[K{text}" if self._terminal else f"{text}\n")
        sys.stderr.flush()

    def __enter__(self) -> Self:
        self._shower.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._done.set()
        self._shower.join()
        self._show()
        if self._terminal:
            sys.stderr.write("\n")
