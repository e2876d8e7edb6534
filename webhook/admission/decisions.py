"""Log admission decisions: each at debug, and some of those with a patch at info."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import structlog

from webhook.core.ratelimit import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.admission.handler import Answer

LINES_PER_SECOND = 5
LINES_AT_ONCE = 20
"""For patches at info. A line costs a third of a review; suppressed ones are counted, and metrics count all patches."""


class DecisionLog:
    """Logs decisions. Create it after logging is configured, because it reads the log level only once."""

    __slots__ = ("_bucket", "_every_decision", "_log", "_some_patches", "_suppressed")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = structlog.get_logger(__name__)
        self._every_decision = self._log.is_enabled_for(logging.DEBUG)
        self._some_patches = self._log.is_enabled_for(logging.INFO)
        self._bucket = TokenBucket(LINES_PER_SECOND, LINES_AT_ONCE, clock)
        self._suppressed = 0

    def answered(self, answer: Answer) -> None:
        """Log one answer, if its level and the rate limit allow it."""
        if answer.added and self._some_patches:
            if self._bucket.take():
                self._log.info("references added", names=answer.added, suppressed=self._suppressed, **_about(answer))
                self._suppressed = 0
                return
            self._suppressed += not self._every_decision
        if self._every_decision:
            self._log.debug("admission decided", names=answer.added, **_about(answer))


LONGEST_NAME = 253
"""Characters of a name in the log. The API server allows no more, but other clients may send longer names."""


def _unfinished(generate_name: str) -> str:
    """Return ``web-7d5c9c7b9f-*`` for a name that the API server will generate; a real name cannot contain a star."""
    return f"{generate_name}*" if generate_name else ""


def _about(answer: Answer) -> dict[str, str]:
    return {
        "uid": answer.uid,
        "namespace": answer.namespace[:LONGEST_NAME],
        "resource": answer.resource,
        "object": answer.name[:LONGEST_NAME] or _unfinished(answer.generate_name[:LONGEST_NAME]),
        "operation": answer.operation,
        "reason": answer.reason.value,
    }
