"""One connection of the admission port without a socket: what is fed to it, and what it writes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.server import ServerState

from webhook.admission.app import AdmissionApp
from webhook.admission.endpoint import MutateEndpoint
from webhook.admission.handler import Answer
from webhook.admission.protocol import AdmissionProtocol, Deadlines
from webhook.admission.review import BadReview
from webhook.core.model import Reason
from webhook.observe.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook.admission.heads import KnownHeads


class Transport(asyncio.Transport):
    """Remembers what is written until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.closed:
            self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Silent:
    """An observer that does not care."""

    def answered(self, answer: Answer, seconds: float) -> None:
        pass

    def refused(self, status: int) -> None:
        pass


def echo(body: bytes) -> Answer:
    if not body:
        raise BadReview("not a JSON document")
    return Answer(body, "pods", "CREATE", Reason.ALREADY_PRESENT)


class Connection:
    """A connection to an endpoint that echoes."""

    def __init__(self, heads: KnownHeads) -> None:
        self._heads = heads
        self.traffic = Traffic(connections=1)
        self.endpoint = MutateEndpoint(echo, Silent(), self.traffic)

    def feed(self, pieces: Sequence[bytes]) -> tuple[bytes, bool]:
        """Return what is written in answer to these pieces, and whether the connection is to end."""
        return asyncio.run(self._feed(pieces))

    async def _feed(self, pieces: Sequence[bytes]) -> tuple[bytes, bool]:
        config = uvicorn.Config(
            AdmissionApp(self.endpoint),
            ws="none",
            lifespan="off",
            log_config=None,
            server_header=False,
            date_header=False,
        )
        config.load()
        state = ServerState()
        protocol = AdmissionProtocol(config=config, server_state=state, app_state={})
        protocol.mutate, protocol.heads, protocol.traffic = self.endpoint, self._heads, self.traffic
        protocol.deadlines = Deadlines()
        transport = Transport()
        protocol.connection_made(transport)
        for piece in pieces:
            if not (transport.closed or transport.paused):  # as a real one, which then reads no more
                protocol.data_received(piece)
            while state.tasks:
                await asyncio.wait(tuple(state.tasks), timeout=0.2)
                if all(not task.done() for task in state.tasks):
                    break  # it waits for more of its body
        ending = transport.closed or transport.paused
        for task in state.tasks:
            task.cancel()
        protocol.connection_lost(ConnectionResetError())
        return transport.written, ending
