"""Connections within TLS share the buffers that they read into, and none sees the bytes of another."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from certs.authority import issue_authority, issue_leaf
from tests.unit.http.connection import Connection as Endpoint
from webhook.http.connection import Connection
from webhook.http.limits import ADMISSION
from webhook.http.stream import ReadBuffers, TlsStream

DAY = timedelta(days=1)


class Raw:
    """Stands for the transport of the event loop; remembers what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int) -> None:
        pass


class Peer:
    """A client and the stream that serves it, with all bytes between them in our hands."""

    def __init__(self, stream: TlsStream) -> None:
        self.raw = Raw()
        self._stream = stream
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._tls = context.wrap_bio(self._incoming, self._outgoing)
        stream.connection_made(cast("asyncio.Transport", self.raw))

    def shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.deliver(self._outgoing.read())
                self._take()
            else:
                self.deliver(self._outgoing.read())
                return

    def encrypted(self, data: bytes) -> bytes:
        written = 0
        while written < len(data):
            written += self._tls.write(memoryview(data)[written:])
        return self._outgoing.read()

    def deliver(self, data: bytes) -> None:
        """Have the stream read these bytes, as an event loop does."""
        while data:
            buffer = self._stream.get_buffer(-1)
            taken = min(len(buffer), len(data))
            buffer[:taken], data = data[:taken], data[taken:]
            self._stream.buffer_updated(taken)

    def answer(self) -> bytes:
        self._take()
        answer = b""
        while True:
            try:
                answer += self._tls.read(65536)
            except ssl.SSLWantReadError:
                return answer

    def _take(self) -> None:
        self._incoming.write(self.raw.written)
        self.raw.written = b""


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    now = datetime.now(UTC)
    leaf = issue_leaf(issue_authority(now, DAY), ["localhost"], now, DAY)
    (tmp_path / "crt").write_bytes(leaf.certificate_pem)
    (tmp_path / "key").write_bytes(leaf.private_key_pem)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    return made


def pieces(data: bytes, chance: random.Random) -> Iterator[bytes]:
    while data:
        size = chance.choice((1, 5, 1000, 20_000, 200_000))
        yield data[:size]
        data = data[size:]


@pytest.mark.parametrize("seed", range(8))
def test_bodies_that_come_in_pieces_on_several_connections_stay_apart(seed: int, context: ssl.SSLContext) -> None:
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be unforeseeable

    async def exchange() -> None:
        port = Endpoint().port()
        buffers = ReadBuffers(ADMISSION)
        peers = [
            Peer(TlsStream(port, Connection(port, (f"192.0.2.{number}", 1)), context, buffers, None))
            for number in range(3)
        ]
        bodies = [bytes([number]) * chance.choice((1, 16 * 1024, 60_000, 250_000)) for number in range(1, 4)]
        waiting: list[tuple[Peer, Any]] = []
        for peer, body in zip(peers, bodies, strict=True):
            peer.shake_hands()
            head = b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            waiting.append((peer, pieces(peer.encrypted(head % len(body) + body), chance)))
        while waiting:
            peer, rest = chance.choice(waiting)
            piece = next(rest, None)
            if piece is None:
                waiting.remove((peer, rest))
            else:
                peer.deliver(piece)
        for peer, body in zip(peers, bodies, strict=True):
            answer = peer.answer()
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b"\r\n\r\n" + body)
        assert port.counters.held_bytes == 0

    asyncio.run(exchange())
