"""Work in a thread while a context lasts."""

from __future__ import annotations

import threading
from typing import Self


class Background:
    """Calls :meth:`work` in a thread of its own, which has to return soon after ``ended`` is set."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self.work)

    def work(self) -> None:
        """Work until ``ended`` is set."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._thread.join()
