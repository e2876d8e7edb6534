"""Hostile HTTP against the ports of the real ``serve`` or ``sync``: each attack alone, or a mixture of them.

An attack takes a :class:`Target`, a source of chances and a clock to stop by. It goes on until then, or until
it is cut off, and minds no error: being cut off is what it is for.
"""

from __future__ import annotations

import contextlib
import functools
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self, TypeAlias

from tests.integration.hostile.attack import HEAD as REVIEW_HEAD
from tests.integration.hostile.attack import MIB, REVIEW, worst_case
from tests.integration.site.serving import LOOPBACK, Serving, post

Attack: TypeAlias = "Callable[[Target, random.Random, Callable[[], bool]], None]"

PATIENCE = 5.0
BLOCK = 64 * 1024


@dataclass(frozen=True)
class Target:
    """The ports of one process. Without an admission port, the metrics port gets all attacks."""

    metrics: int
    admission: int | None = None

    @contextlib.contextmanager
    def plain(self, *, metrics: bool = False, patience: float = PATIENCE) -> Iterator[socket.socket]:
        port = self.metrics if metrics or self.admission is None else self.admission
        with socket.create_connection((LOOPBACK, port), timeout=patience) as connection:
            yield connection

    @contextlib.contextmanager
    def session(self, patience: float = PATIENCE) -> Iterator[socket.socket]:
        """Connect to the admission port within TLS; to the metrics port where it is the only one."""
        with self.plain(patience=patience) as raw:
            if self.admission is None:
                yield raw
            else:
                with _context().wrap_socket(raw) as connection:
                    yield connection

    @contextlib.contextmanager
    def either(self, chance: random.Random) -> Iterator[socket.socket]:
        with self.session() if chance.random() < 0.5 else self.plain(metrics=True) as connection:
            yield connection


@functools.cache  # to make one takes longer than a handshake, and 2,500 sessions have to be open within 120 s
def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def target(server: Serving) -> Target:
    return Target(server.metrics_port, server.secure_port)


def _pour(connection: socket.socket, block: bytes, go_on: Callable[[], bool], most: int = 100 * MIB) -> None:
    """Send the same bytes again and again, without reading."""
    sent = 0
    while go_on() and sent < most:
        connection.sendall(block)
        sent += len(block)


def _start(path: str = "/mutate", *headers: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *headers, ""]).encode()


def endless_headers(at: Target, chance: random.Random, go_on: Callable[[], bool]) -> None:
    field = chance.choice([b"a:b\r\n", b"A: " + b"x" * 1000 + b"\r\n", b"Host: x\r\n"])
    with at.either(chance) as connection:
        connection.sendall(_start())
        _pour(connection, field * (BLOCK // len(field)), go_on)


def one_huge_header(at: Target, chance: random.Random, go_on: Callable[[], bool]) -> None:
    with at.either(chance) as connection:
        connection.sendall(_start() + b"X: ")
        _pour(connection, b"x" * BLOCK, go_on, 76 * MIB)


def long_path(at: Target, chance: random.Random, go_on: Callable[[], bool]) -> None:
    with at.either(chance) as connection:
        connection.sendall(b"GET /")
        _pour(connection, b"x" * BLOCK, go_on, 76 * MIB)


FORMS = {
    "known": post(REVIEW),
    "fragment": post(REVIEW, path="/mutate#"),
    "absolute form": post(REVIEW, path="http://x/mutate"),
    "expectation": post(REVIEW, "Expect: 100-continue"),
    "chunks": _start("/mutate", "Transfer-Encoding: chunked") + b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(REVIEW), REVIEW),
    "HTTP/1.0": post(REVIEW, "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "upgrade": post(REVIEW, "Connection: Upgrade", "Upgrade: h2c"),
    "another path": b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n",
}
PAGES = ("/readyz", "/metrics", "/livez", "/status", "/")


def unread_answers(at: Target, chance: random.Random, go_on: Callable[[], bool]) -> None:
    request = chance.choice(list(FORMS.values()))
    with at.session() as connection:
        _pour(connection, request * max(1, BLOCK // len(request)), go_on)


def unread_pages(at: Target, chance: random.Random, go_on: Callable[[], bool]) -> None:
    request = f"GET {chance.choice(PAGES)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with at.plain(metrics=True) as connection:
        _pour(connection, request * (BLOCK // len(request)), go_on)


def many_who_do_not_read(at: Target, chance: random.Random, go_on: Callable[[], bool]) -> None:
    request = chance.choice(list(FORMS.values()))
    with contextlib.ExitStack() as stack:
        while go_on():
            connection = stack.enter_context(at.session())
            connection.settimeout(0.05)
            with contextlib.suppress(OSError):
                for _ in range(10):
                    connection.sendall(request * max(1, BLOCK // len(request)))


def silence(at: Target, chance: random.Random, go_on: Callable[[], bool]) -> None:
    metrics, number = chance.random() < 0.5, chance.choice((50, 300))
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            if not go_on():
                break
            stack.enter_context(at.plain(metrics=metrics))
        while go_on():
            time.sleep(0.05)


def silent_sessions(at: Target, chance: random.Random, go_on: Callable[[], bool]) -> None:
    """Hold TLS sessions, each with the largest part of a record or of a head."""
    record = b"\x17\x03\x03\x40\x00" + b"x" * 16_000
    head = _start() + b"X: " + b"x" * 15_000
    as_record = chance.random() < 0.5
    with contextlib.ExitStack() as stack:
        while go_on():
            connection = stack.enter_context(at.session())
            if as_record:
                socket.socket.sendall(connection, record)
            else:
                connection.sendall(head)


def tiny_chunks(at: Target, chance: random.Random, go_on: Callable[[], bool]) -> None:
    chunk = chance.choice([b"2\r\n{}\r\n", b"1;" + b"x" * 5000 + b"\r\na\r\n", b"0\r\n" + b"a:b\r\n" * 5000])
    with at.session() as connection:
        connection.sendall(_start("/mutate", "Transfer-Encoding: chunked") + b"\r\n")
        _pour(connection, chunk * max(1, BLOCK // len(chunk)), go_on)


def drips(at: Target, chance: random.Random, go_on: Callable[[], bool]) -> None:
    request = chance.choice([post(REVIEW), FORMS["chunks"], b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"])
    with at.either(chance) as connection:
        for position in range(len(request)):
            if not go_on():
                return
            connection.sendall(request[position : position + 1])
            time.sleep(0.005)


def _filled(beginning: bytes, piece: bytes, end: bytes) -> bytes:
    start, finish = REVIEW_HEAD + beginning, end + b"}}"
    return start + piece * ((7 * MIB - len(start) - len(finish)) // len(piece)) + finish


POD = (
    b'"kind":{"group":"","version":"v1","kind":"Pod"},"resource":{"group":"","version":"v1","resource":"pods"},'
    b'"namespace":"x","operation":"CREATE","object":{"metadata":{"name":"x"},"spec":{'
)
BODIES = (
    worst_case,
    lambda: _filled(POD + b'"containers":[{}', b",{}", b"]}}"),
    lambda: _filled(POD + b'"imagePullSecrets":[{}', b",{}", b"]}}"),
    lambda: _filled(POD + b'"x":1},"metadata":{"labels":{"":""', b',"":""', b"}}}"),
    lambda: _filled(b'"x":[1', b",1e100", b"]"),
    lambda: _filled(b'"x":[1e999,"', b'\\"', b'"]'),
    lambda: _filled(b'"x":[1e999,{}', b",{}", b"]"),
    lambda: _filled(b'"uid":"', b"x", b'"'),
    lambda: _filled(b'"x":"\xf0\x9f\x98\x80', b"x", b'"'),
)


def worst_bodies(at: Target, chance: random.Random, go_on: Callable[[], bool]) -> None:
    body = post(chance.choice(BODIES)())
    with at.session() as connection:
        while go_on():
            connection.sendall(body)
            if not connection.recv(BLOCK):
                return


def other_heads(at: Target, chance: random.Random, go_on: Callable[[], bool]) -> None:
    with at.session() as connection:
        while go_on():
            connection.sendall(post(REVIEW, f"X-Number: {chance.random()}"))
            connection.recv(BLOCK)


def noise(at: Target, chance: random.Random, go_on: Callable[[], bool]) -> None:
    while go_on():
        with at.plain(metrics=chance.random() < 0.5) as connection:
            connection.sendall(chance.randbytes(chance.choice((1, 100, BLOCK))))


ATTACKS: Mapping[str, Attack] = {
    each.__name__.replace("_", " "): each
    for each in (
        *(endless_headers, one_huge_header, long_path, unread_answers, unread_pages, many_who_do_not_read, silence),
        *(silent_sessions, tiny_chunks, drips, worst_bodies, other_heads, noise),
    )
}


class Mixture:
    """Threads that attack, each with one attack after the other, until the end of the context."""

    def __init__(self, at: Target, attacks: Mapping[str, Attack], threads: int, seed: int, turn: float = 2.0) -> None:
        self._at = at
        self._attacks = list(attacks.items())
        self._turn = turn
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(seed + number,)) for number in range(threads)]
        self.rounds = dict.fromkeys(attacks, 0)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be unforeseeable
        while not self._over.is_set():
            name, attack = chance.choice(self._attacks)
            end = time.monotonic() + self._turn
            with contextlib.suppress(OSError):
                attack(self._at, chance, lambda end=end: time.monotonic() < end and not self._over.is_set())  # type: ignore[misc]
            self.rounds[name] += 1
