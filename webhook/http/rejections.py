"""Count the faults of clients at a port, and log them at most once a second."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from webhook.rules.timing import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.http.counters import PortCounters

log = structlog.get_logger(__name__)

BAD_REQUEST = "bad-request"
TOO_LARGE = "too-large"
SLOW = "slow"
UNREAD = "unread"
EVICTED = "evicted"
FULL = "full"
HANDSHAKE = "handshake"
CALLER = "caller"

CAUSES = {
    BAD_REQUEST: "the request is not HTTP/1.1",
    TOO_LARGE: "head, headers or path are larger than a limit, or the heads of all connections together",
    SLOW: "a head or a body did not arrive in time",
    UNREAD: "the client did not read its answers in time",
    EVICTED: "the port, or its memory for waiting bytes, was full, and the connection made room for another one",
    FULL: "the port was full, and the new connection was closed",
    HANDSHAKE: "the TLS handshake failed or took too long",
    CALLER: "the client certificate has no allowed name",
}
"""Reasons for rejecting a request or a connection, by the value of the label ``cause``."""


class Rejections:
    """Counts every rejection of one port, and logs some."""

    def __init__(self, port: str, counters: PortCounters, clock: Callable[[], float] = time.monotonic) -> None:
        self._port = port
        self._counters = counters
        self._bucket = TokenBucket(1, 1, clock)
        self._suppressed = 0

    def count(self, cause: str, peer: str, **details: object) -> None:
        """Count a rejection; ``details`` are added to its log line."""
        rejected = self._counters.rejected
        rejected[cause] = rejected.get(cause, 0) + 1
        # A flood must not fill the log of the node. The counter has every case, and the next line the number of those
        # left out.
        if not self._bucket.take():
            self._suppressed += 1
            return
        log.warning("client rejected", port=self._port, cause=cause, peer=peer, suppressed=self._suppressed, **details)
        self._suppressed = 0
