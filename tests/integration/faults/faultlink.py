"""One connection through the fault proxy: what is said on it, and what becomes of that."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

_CHUNK = 65536
_LARGEST_HEAD = 65536
_RESET = struct.pack("ii", 1, 0)
"""A linger of 0 seconds: close() sends a reset."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that has come in, by the monotonic clock of this machine."""

    at: float
    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)

    @property
    def writes(self) -> bool:
        return self.method != "GET"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered in the API server's stead."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    def encode(self) -> bytes:
        lines = [
            f"HTTP/1.1 {self.status} Fault",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


Chooses: TypeAlias = Callable[[Request], bool]


@dataclass(slots=True)
class Withheld:
    """Requests that have come in and are not passed on yet; ``lost`` are those whose connection has ended meanwhile.

    The API server ends one on which no request comes for half a minute.
    """

    requests: list[Request] = field(default_factory=list)
    lost: list[Request] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Traffic:
    """What all connections have in common: the faults of the moment, and what has been seen."""

    delay: float = 0.0
    cut_after: int | None = None
    answers: list[tuple[Answer, Chooses]] = field(default_factory=list)
    withheld: list[tuple[Withheld, Chooses]] = field(default_factory=list)
    answered_late: list[tuple[Withheld, Chooses]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def answer_to(self, request: Request) -> Answer | None:
        return next((answer for answer, chosen in self.answers if chosen(request)), None)

    async def keep_back(self, request: Request) -> None:
        """Wait for as long as a request is to be withheld."""
        for withheld, chosen in tuple(self.withheld):
            if chosen(request):
                withheld.requests.append(request)
                try:
                    await withheld.released.wait()
                except asyncio.CancelledError:
                    withheld.lost.append(request)
                    raise

    def keeps_back_the_answer(self, request: Request) -> Withheld | None:
        """Return for how long the answer to a request is to be withheld, if it is."""
        for withheld, chosen in self.answered_late:
            if chosen(request):
                withheld.requests.append(request)
                return withheld
        return None


@dataclass(frozen=True, slots=True)
class Ends:
    """How to speak to either side."""

    towards_clients: ssl.SSLContext
    towards_server: ssl.SSLContext
    host: str
    port: int


class Link:
    """An accepted connection, and the one to the API server that belongs to it; while it is held, nothing passes."""

    def __init__(self, traffic: Traffic, ends: Ends) -> None:
        self._traffic = traffic
        self._ends = ends
        self._passes = asyncio.Event()
        self._passes.set()
        self._answered = 0
        self.last_request: Request | None = None

    def hold(self) -> None:
        self._passes.clear()

    def resume(self) -> None:
        self._passes.set()

    def count_anew(self) -> None:
        """Begin to count the bytes of answers from here."""
        self._answered = 0

    async def run(self, accepted: socket.socket) -> None:
        """Pass on what either side says until one of them ends, or this is cancelled; then reset both."""
        ends = self._ends
        try:
            far_reader, far = await _connect_tls(ends)
        except (OSError, asyncio.CancelledError):
            # As without a proxy in between: nobody is there.
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            accepted.close()
            return
        try:
            near_reader, near = await _accept_tls(accepted, ends.towards_clients)
            try:
                await self._pass_both(
                    asyncio.ensure_future(self._pass_requests(near_reader, near, far)),
                    asyncio.ensure_future(self._pass_answers(far_reader, near)),
                )
            finally:
                near.transport.abort()
        except (OSError, asyncio.IncompleteReadError):
            return  # one of the sides has ended
        finally:
            far.transport.abort()

    async def _pass_both(self, *sides: asyncio.Task[None]) -> None:
        try:
            ended, _ = await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
            # While it is held, nobody is told of the end either.
            await self._passes.wait()
            for side in ended:
                side.result()
        finally:
            for side in sides:
                side.cancel()
            await asyncio.gather(*sides, return_exceptions=True)

    async def _pass_requests(
        self, reader: asyncio.StreamReader, near: asyncio.StreamWriter, far: asyncio.StreamWriter
    ) -> None:
        while True:
            request = _read_head(head := await reader.readuntil(b"\r\n\r\n"))
            body = await reader.readexactly(int(request.headers.get("content-length", "0")))
            await self._passes.wait()
            self._traffic.requests.append(request)
            self.last_request = request
            await self._traffic.keep_back(request)
            answer = self._traffic.answer_to(request)
            writer, said = (far, head + body) if answer is None else (near, answer.encode())
            late = self._traffic.keeps_back_the_answer(request)
            if late is not None:
                self.hold()
            writer.write(said)
            await writer.drain()
            if late is not None:
                await late.released.wait()
                self.resume()

    async def _pass_answers(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        # Two steps, because what is late must not hold up the reading of what comes after it.
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        speaking = asyncio.ensure_future(self._speak(late, near))
        try:
            while chunk := await reader.read(_CHUNK):
                late.put_nowait((time.monotonic() + self._traffic.delay, chunk))
            late.put_nowait((time.monotonic() + self._traffic.delay, b""))
            await speaking
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)

    async def _speak(self, late: asyncio.Queue[tuple[float, bytes]], near: asyncio.StreamWriter) -> None:
        while True:
            due, chunk = await late.get()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._passes.wait()
            if not chunk:
                return
            limit = self._traffic.cut_after
            room = len(chunk) if limit is None else max(0, limit - self._answered)
            self._answered += len(chunk)
            near.write(chunk[:room])
            await near.drain()
            if room < len(chunk):
                # A write to a transport leaves at once, as long as the other side reads.
                near.transport.abort()
                return


class _Side(asyncio.StreamReaderProtocol):
    """One side of a link; it knows its transport as soon as the TLS handshake is over."""

    def __init__(self) -> None:
        self.reader = asyncio.StreamReader(limit=_LARGEST_HEAD)
        self.transport: asyncio.Transport | None = None
        super().__init__(self.reader)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        super().connection_made(transport)

    async def made(self, making: Awaitable[Any]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Wait until it is made; if that is cancelled, nothing of it is left.

        Otherwise asyncio would say goodbye to the peer first, and keep the socket for as long as that takes.
        """
        try:
            await making
        except asyncio.CancelledError:
            if self.transport is not None:
                self.transport.abort()
            raise
        assert self.transport is not None
        return self.reader, asyncio.StreamWriter(self.transport, self, self.reader, asyncio.get_running_loop())


async def _connect_tls(ends: Ends) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    side, loop = _Side(), asyncio.get_running_loop()
    return await side.made(loop.create_connection(lambda: side, ends.host, ends.port, ssl=ends.towards_server))


async def _accept_tls(
    accepted: socket.socket, tls: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    side, loop = _Side(), asyncio.get_running_loop()
    return await side.made(loop.connect_accepted_socket(lambda: side, accepted, ssl=tls))


def _read_head(head: bytes) -> Request:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if "transfer-encoding" in headers:
        raise NotImplementedError(f"{method} {target}: a request with a chunked body")
    return Request(time.monotonic(), method, target, headers)
