"""A circuit breaker: while writes fail for no reason of their own, one worker tries for all.

A proxy that answers every write with a page of its own, or an API server that has no seat for us, fails the next
namespace as it failed this one. Whether there are three namespaces or ten thousand, and however many workers, there is
then one attempt at a time, after a pause; with the first that succeeds all go on.
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from webhook.core.backoff import delay

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE_SECONDS = 0.25
CAP_SECONDS = 2.0
"""Between two attempts. The cap is low because it is for how long nobody notices that the trouble is over."""


class Attempt:
    """One worker that has been let pass; ``tries`` is whether it is the only one for now."""

    def __init__(self, breaker: Breaker, *, tries: bool) -> None:
        self._breaker = breaker
        self.tries = tries

    def failed(self) -> None:
        """Take a failure that has nothing to do with what was asked."""
        self._breaker.failed(self)

    def succeeded(self) -> None:
        """Take an answer that only an API server in good health gives: to a write, or why it refuses it."""
        self._breaker.succeeded()


class Breaker:
    """Lets workers pass; every method may be called from any thread."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._failures = 0
        self._due = 0.0
        self._trying: Attempt | None = None
        self._closing = False

    @contextmanager
    def attempt(self) -> Iterator[Attempt]:
        """Wait until this worker may go on; whatever it does not say about how it went, the next one is to find out."""
        attempt = self._wait()
        try:
            yield attempt
        finally:
            with self._condition:
                if self._trying is attempt:
                    self._trying = None
                    self._condition.notify_all()

    def _wait(self) -> Attempt:
        with self._condition:
            while self._failures and not self._closing:
                remaining = self._due - time.monotonic()
                if self._trying is None and remaining <= 0:
                    self._trying = Attempt(self, tries=True)
                    return self._trying
                self._condition.wait(None if self._trying is not None else remaining)
        return Attempt(self, tries=False)

    def failed(self, attempt: Attempt) -> None:
        """Take a failure; those that were on their way when the first one came say nothing new."""
        with self._condition:
            if self._failures and self._trying is not attempt:
                return
            self._failures += 1
            pause = delay(self._failures, random.random(), base=BASE_SECONDS, cap=CAP_SECONDS)  # noqa: S311 (jitter)
            self._due = time.monotonic() + pause
            self._condition.notify_all()

    def succeeded(self) -> None:
        """Let everybody go on."""
        with self._condition:
            if self._failures:
                self._failures = 0
                self._condition.notify_all()

    def close(self) -> None:
        """Let everybody pass: the process ends."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
