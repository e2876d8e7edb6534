"""An event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs an event loop from :meth:`start` to :meth:`end`; every method is called from other threads."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop, and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def soon(self, function: Callable[..., object], *arguments: Any) -> None:  # noqa: ANN401 (the function's own)
        """Have the loop call a function, without waiting for it."""
        self.loop.call_soon_threadsafe(function, *arguments)

    def end(self) -> None:
        """Stop and close the loop, and wait for the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
