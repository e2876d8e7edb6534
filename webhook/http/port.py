"""Hold the state that all connections of one port share."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from webhook.http.crowd import Crowd
from webhook.http.rejections import Rejections
from webhook.http.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

    from webhook.http.connection import Connection
    from webhook.http.head import Head
    from webhook.http.limits import Limits
    from webhook.http.reply import Refusal, Reply
    from webhook.http.traffic import Traffic


class Service(Protocol):
    """Answers POST requests to one path, ahead of the port's application."""

    path: str

    def check(self, head: Head, length: int) -> None:
        """Raise Refusal for a request whose body does not have to be read."""

    def check_body(self, size: int) -> None:
        """Raise Refusal when ``size`` bytes of a body exceed a limit."""

    def is_heavy(self, body: bytes) -> bool:
        """Return whether the answer takes more than a few milliseconds."""

    def reply(self, body: bytes) -> Reply:
        """Return the answer."""

    def work(self, body: bytes) -> Callable[[], Reply]:
        """Do the heavy part of an answer, in any thread; the event loop calls the returned function."""

    def refuse(self, refusal: Refusal) -> Reply:
        """Return the answer to a rejected request."""


class Port:
    """The limits, the counters and the application of one port, on the event loop that serves it."""

    def __init__(
        self, name: str, limits: Limits, traffic: Traffic, app: ASGIApp, service: Service | None, most: int
    ) -> None:
        self.limits = limits
        self.traffic = traffic
        self.app = app
        self.service = service
        self.path = service.path if service is not None else ""
        self.crowd = Crowd(most)
        self.connections: set[Connection] = set()
        self.turns = Turns(limits.applications)
        self.rejections = Rejections(name, traffic)
        self.loop = asyncio.get_running_loop()
        self.tasks: set[asyncio.Task[None]] = set()
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="large bodies")
        """One thread, so that only one large body at a time takes the memory for decoding."""

    def join(self, connection: Connection) -> None:
        """Add a connection."""
        self.crowd.join(connection)
        self.connections.add(connection)
        self.traffic.connections = len(self.connections)

    def leave(self, connection: Connection) -> None:
        """Remove a connection that has ended."""
        self.crowd.leave(connection)
        self.connections.discard(connection)
        self.traffic.connections = len(self.connections)

    def keep(self, size: int) -> bool:
        """Count bytes that wait; False when all connections together keep too many and evictions do not help."""
        self.traffic.kept_bytes += size
        while self.traffic.kept_bytes > self.limits.kept_bytes:
            if not self.crowd.evict_stranger():
                return False
        return True
