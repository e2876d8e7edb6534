"""One connection without a socket: what is fed to it, and what it writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from webhook.http import connection
from webhook.http.counters import PortCounters
from webhook.http.limits import ADMISSION, PortLimits
from webhook.http.port import Port
from webhook.rules.configuration import Reason
from webhook.serve.endpoint import AdmissionApp, MutateEndpoint
from webhook.serve.handler import ReviewReply
from webhook.serve.review import BadReview


class Wire:
    """Stands for the stream of a connection; remembers what is written until it is closed."""

    def __init__(self) -> None:
        self.written = b""
        self.full: Callable[[], None] | None = None
        """Called when something is written that nobody reads."""

        self.closed = self.aborted = self.paused = False

    def write(self, data: bytes) -> None:
        if not self.closed:
            self.written += data
            if self.full is not None:
                self.full()

    def close(self, *, reads: bool) -> None:
        self.closed, self.paused = True, self.paused or not reads

    def abort(self) -> None:
        self.closed = self.aborted = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Silent:
    """An observer that does not care."""

    def answered(self, answer: ReviewReply, seconds: float) -> None:
        pass

    def refused(self, status: int) -> None:
        pass


def echo(body: bytes) -> ReviewReply:
    if not body:
        raise BadReview("not a JSON document")
    return ReviewReply(body, "pods", "CREATE", Reason.ALREADY_PRESENT)


class Connection:
    """A connection to an endpoint that echoes."""

    def __init__(self, limits: PortLimits = ADMISSION) -> None:
        self._limits = limits
        self.counters = PortCounters()
        self.endpoint = MutateEndpoint(echo, Silent(), self.counters)

    def feed(self, pieces: Sequence[bytes]) -> tuple[bytes, bool]:
        """Return what is written in answer to these pieces, and whether the connection is to end."""
        return asyncio.run(self._feed(pieces))

    def port(self, capacity: int = 10) -> Port:
        """Return its port, on the running event loop."""
        return Port("admission", self._limits, self.counters, AdmissionApp(self.endpoint), self.endpoint, capacity)

    async def _feed(self, pieces: Sequence[bytes]) -> tuple[bytes, bool]:
        port, wire = self.port(), Wire()
        protocol = connected(port, wire)
        for piece in pieces:
            protocol.data_received(piece)
            while port.tasks:
                await asyncio.wait(tuple(port.tasks))
        ending = wire.closed
        protocol.ended()
        return wire.written, ending


def connected(port: Port, wire: Wire, peer: str = "192.0.2.1") -> connection.Connection:
    """Return a connection that is ready for requests."""
    protocol = connection.Connection(port, (peer, 40000))
    protocol.transport = wire
    protocol.established()
    return protocol


def limits(**bounds: int) -> PortLimits:
    """Return the limits of the admission port with some others."""
    return replace(ADMISSION, **bounds)
