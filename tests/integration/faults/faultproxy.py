"""A proxy in front of an API server, with faults that are switched on while connections are open.

It ends TLS with a certificate of the cluster's own authority, so that it can answer in the API server's stead: a client
that identifies itself by bearer token needs no more than another address. What it does not answer itself it passes on,
byte by byte, over one connection for each one that it has accepted.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.cluster.pki import Pair
from tests.cluster.ports import free_port
from tests.cluster.programs import LOOPBACK
from tests.integration.faults.accepting import accept_all, task_of
from tests.integration.faults.faultlink import Answer, Chooses, Ends, Link, Request, Traffic, Withheld
from tests.integration.faults.loop import LoopThread

_BACKLOG = 1024


class FaultProxy:
    """Accepts connections on a port of loopback while its ``with`` block lasts; its methods are thread-safe.

    Each fault is a context: it begins with the ``with`` block and has ended when that is left.
    """

    def __init__(self, upstream: str, ca: Path, serving: Pair) -> None:
        address = urlsplit(upstream)
        towards_clients = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        towards_clients.load_cert_chain(serving.certificate, serving.key)
        towards_server = ssl.create_default_context(cafile=str(ca))
        self._ends = Ends(towards_clients, towards_server, address.hostname or LOOPBACK, address.port or 443)
        self._port = free_port()
        self._thread = LoopThread("fault proxy")
        self._loop = self._thread.loop
        self._listener: socket.socket | None = None
        self._traffic = Traffic()
        self._links: dict[asyncio.Task[None], Link] = {}
        self._accepted: list[float] = []
        self._swallowing = False
        self._swallowed: list[socket.socket] = []
        self._defects: list[BaseException] = []

    @property
    def url(self) -> str:
        return f"https://{LOOPBACK}:{self._port}"

    def since(self, moment: float) -> list[Request]:
        """Return the requests that have come in since a moment of the monotonic clock."""
        return [request for request in list(self._traffic.requests) if request.at >= moment]

    def load(self, begin: float, end: float) -> float:
        """Return how much a second came in between two moments: requests, or connections if there were more of them."""
        requests = sum(begin <= request.at < end for request in list(self._traffic.requests))
        connections = sum(begin <= at < end for at in list(self._accepted))
        return max(requests, connections) / (end - begin)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Nobody listens, and what was established is reset."""
        self._thread.do(self._stop_listening())
        self.reset()
        try:
            yield
        finally:
            self._thread.do(self._listen())

    @contextmanager
    def silent(self, *, established: bool = True, new: bool = True, resumes: bool = False) -> Iterator[None]:
        """Connections are half-open: what comes is taken and goes nowhere, and nobody is told.

        Established and new connections alike, or only one kind. At the end the established ones go on with
        ``resumes``; else they stay as they are for ever, and only later ones work.
        """
        held = list(self._links.values()) if established else []
        for link in held:
            self._thread.soon(link.hold)
        self._swallowing = new
        try:
            yield
        finally:
            self._swallowing = False
            for link in held if resumes else ():
                self._thread.soon(link.resume)

    def carries(self, chosen: Chooses) -> bool:
        """Return whether there is an established connection whose last request is chosen."""
        return bool(self._carrying(chosen))

    def mute(self, chosen: Chooses) -> None:
        """Established connections whose last request is chosen are half-open from now on; new ones work."""
        for link in self._carrying(chosen):
            self._thread.soon(link.hold)

    def _carrying(self, chosen: Chooses) -> list[Link]:
        links = list(self._links.values())
        return [link for link in links if link.last_request is not None and chosen(link.last_request)]

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        """Everything that the API server says comes so much later."""
        self._traffic.delay = seconds
        try:
            yield
        finally:
            self._traffic.delay = 0.0

    @contextmanager
    def cutting(self, after: int) -> Iterator[None]:
        """Each connection breaks after so many bytes of answers."""
        for link in list(self._links.values()):
            self._thread.soon(link.count_anew)
        self._traffic.cut_after = after
        try:
            yield
        finally:
            self._traffic.cut_after = None

    @contextmanager
    def answering(self, answer: Answer, chosen: Chooses = lambda _: True) -> Iterator[None]:
        """The chosen requests get this answer, and the API server never sees them."""
        self._traffic.answers.append((answer, chosen))
        try:
            yield
        finally:
            self._traffic.answers.remove((answer, chosen))

    def withholding(self, chosen: Chooses) -> AbstractContextManager[Withheld]:
        """The chosen requests reach the API server late: at the end, even if nobody waits for the answer any more."""
        return self._until_the_end(self._traffic.withheld, chosen)

    def answering_late(self, chosen: Chooses) -> AbstractContextManager[Withheld]:
        """The chosen requests reach the API server immediately. Their answers come back at the end."""
        return self._until_the_end(self._traffic.answered_late, chosen)

    @contextmanager
    def _until_the_end(self, entries: list[tuple[Withheld, Chooses]], chosen: Chooses) -> Iterator[Withheld]:
        entry = (Withheld(), chosen)
        entries.append(entry)
        try:
            yield entry[0]
        finally:
            entries.remove(entry)
            self._thread.soon(entry[0].released.set)

    def reset(self) -> None:
        """Break every connection there is; new ones work."""
        self._thread.do(self._end_links())

    async def _listen(self) -> None:
        self._listener = socket.create_server((LOOPBACK, self._port), backlog=_BACKLOG)
        accept_all(self._loop, self._listener, self._accept)

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, accepted: socket.socket) -> None:
        self._accepted.append(time.monotonic())
        if self._swallowing:
            self._swallowed.append(accepted)
        else:
            link = Link(self._traffic, self._ends)
            task = task_of(self._loop, accepted, link.run(accepted))
            self._links[task] = link
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._links[task]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._defects.append(error)

    async def _end_links(self) -> None:
        tasks = tuple(self._links)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._swallowed:
            self._swallowed.pop().close()

    async def _end(self) -> None:
        await self._stop_listening()
        await self._end_links()
        await asyncio.sleep(0)  # the transports are told of their end before this returns

    def __enter__(self) -> Self:
        self._thread.start()
        self._thread.do(self._listen())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._thread.do(self._end())
        self._thread.end()
        # What went wrong in this program itself must not pass for a fault.
        if self._defects and error is None:
            raise self._defects[0]
