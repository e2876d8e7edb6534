"""Idle, slow and large requests all at once, against the real ``pullsecrets serve``."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from tests.integration.site.serving import LOOPBACK, Serving, exchange, post
from webhook.http.limits import raise_file_limit

MIB = 1024 * 1024

HEAD = b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1",'
REVIEW = (
    HEAD
    + json.dumps(
        {
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "team-a",
            "operation": "CREATE",
            "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {}},
        }
    )
    .encode()
    .removeprefix(b"{")
    + b"}"
)


LARGEST = 7 * MIB


def worst_case() -> bytes:
    """Return the review of nearly 7 MiB that takes a decoder as long as can be without being an object."""
    return worst_cases()["a list as the object"]


def worst_cases() -> dict[str, bytes]:
    """Return reviews of nearly 7 MiB that take long to decode, each for another reason."""
    many = REVIEW.removesuffix(b"{}}}}")
    containers = b'{"image":"a"},' * 99_000
    return {
        "a list as the object": _filled(HEAD + b'"object":[', b"[],", b"[]]}}"),
        "too many containers": _filled(many + b'{"containers":[', b'{"a":[[],[],[],[],[],[],[]]},', b"{}]}}}}"),
        "many containers and a large status": _filled(
            many + b'{"containers":[' + containers + b'{}]},"status":[', b"[],", b"0]}}}"
        ),
        "numbers beside one that looks out of range": _filled(many + b'{},"status":[', b"1,", b'"0e0000,"]}}}'),
    }


def _filled(start: bytes, item: bytes, end: bytes) -> bytes:
    return start + item * ((LARGEST - len(start) - len(end)) // len(item)) + end


@dataclass(frozen=True)
class Strength:
    """How many of each: sockets that say nothing, TLS sessions that do not, slow ones, and streams of 7 MiB bodies."""

    plain: int
    tls: int
    slow: int
    streams: int


class Attack:
    """Connections and threads that mean no good, until the end of the context."""

    def __init__(self, server: Serving, strength: Strength) -> None:
        self._server = server
        self._strength = strength
        self._context = ssl.create_default_context()
        self._context.check_hostname, self._context.verify_mode = False, ssl.CERT_NONE
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()
        self.floods = 0

    def __enter__(self) -> Self:
        raise_file_limit()  # here too: each connection has two ends
        self._sockets += [self._tls() for _ in range(self._strength.tls)]
        slow = [self._tls() for _ in range(self._strength.slow)]
        self._sockets += slow
        self._sockets += [self._plain() for _ in range(self._strength.plain)]
        self._start(self._drip, slow)
        for _ in range(self._strength.streams):
            self._start(self._flood, worst_case())
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def _plain(self) -> socket.socket:
        return socket.create_connection((LOOPBACK, self._server.secure_port), timeout=10)

    def _tls(self) -> ssl.SSLSocket:
        return self._context.wrap_socket(self._plain())

    def _start(self, work: Callable[..., None], argument: object) -> None:
        thread = threading.Thread(target=work, args=(argument,))
        self._threads.append(thread)
        thread.start()

    def _drip(self, connections: list[ssl.SSLSocket]) -> None:
        request = post(REVIEW)
        for byte in request:
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.sendall(bytes([byte]))
            if self._over.wait(0.1):
                return

    def _flood(self, body: bytes) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError), self._tls() as connection:
                while not self._over.is_set():
                    exchange(connection, post(body))
                    self.floods += 1


def resident(server: Serving) -> float:
    """Return its memory in bytes."""
    return server.metric("process_resident_memory_bytes")


FEWEST = 20
"""Reviews, so that one which a busy machine holds up does not move the median."""


def review_times(server: Serving, seconds: float, fewest: int = FEWEST) -> list[float]:
    """Send real reviews, one after the other, each of which must be answered; return how long each took.

    They go on for so many seconds, and longer where that gives fewer times than a statement about them needs.
    """
    times: list[float] = []
    end = time.monotonic() + seconds
    with server.connected() as connection:
        while time.monotonic() < end or len(times) < fewest:
            started = time.monotonic()
            response = exchange(connection, post(REVIEW))
            times.append(time.monotonic() - started)
            assert (response.status, b'"JSONPatch"' in response.body) == (200, True)
    return times
