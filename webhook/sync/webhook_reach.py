"""Learn from the answers to our own writes whether our webhook is called for them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY_SECONDS = 30.0
"""After a write that the webhook was not called for: how long references are added directly before the next try."""


class WebhookReach:
    """Whether a write that changes nothing is worth a try, because our webhook adds the references to it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._not_before = 0.0

    @property
    def is_expected(self) -> bool:
        """Whether the webhook is believed to be called."""
        return self._clock() >= self._not_before

    def saw(self, *, added: bool) -> None:
        """Take note of whether the webhook added what it was expected to add."""
        if not added:
            self._not_before = self._clock() + RETRY_SECONDS
