"""Idle, slow and large requests all at once, against the real ``pullsecrets serve``: real reviews must not notice."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import statistics
import threading
import time
from typing import TYPE_CHECKING, Self

from tests.integration.serving import LOOPBACK, Serving, exchange, post, serving, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECONDS = 5.0
IDLE_PLAIN, IDLE_TLS, SLOW, FLOODERS = 350, 150, 50, 4

MIB = 1024 * 1024
MOST_MEMORY = 256 * MIB
"""What the chart allows a webhook container."""

LONGEST_WAIT = 1.0
"""Seconds, for all but one in a hundred; far above what is measured, because the flood runs on the same cores."""

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


def worst_case() -> bytes:
    """A review of nearly 7 MiB that takes a decoder as long as can be."""
    start, end = HEAD + b'"object":[', b"[]]}}"
    return start + b"[]," * ((7 * MIB - len(start) - len(end)) // 3) + end


class Attack:
    """Connections and threads that mean no good, until the end of the context."""

    def __init__(self, server: Serving) -> None:
        self._server = server
        self._context = ssl.create_default_context()
        self._context.check_hostname, self._context.verify_mode = False, ssl.CERT_NONE
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()
        self.floods = 0

    def __enter__(self) -> Self:
        self._sockets += [self._plain() for _ in range(IDLE_PLAIN)]
        self._sockets += [self._tls() for _ in range(IDLE_TLS)]
        slow = [self._tls() for _ in range(SLOW)]
        self._sockets += slow
        self._start(self._drip, slow)
        for _ in range(FLOODERS):
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
    return server.metric("process_resident_memory_bytes")


def review_times(server: Serving) -> list[float]:
    """Send real reviews, one after the other, each of which must be answered; return how long each took."""
    times = []
    end = time.monotonic() + SECONDS
    with server.connected() as connection:
        while time.monotonic() < end:
            started = time.monotonic()
            response = exchange(connection, post(REVIEW))
            times.append(time.monotonic() - started)
            assert (response.status, b'"JSONPatch"' in response.body) == (200, True)
    return times


def test_a_flood_leaves_real_reviews_and_the_health_port_in_service(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        with Attack(server) as attack:
            until(lambda: attack.floods > 0, "the flood")
            times = review_times(server)
            assert server.plain("/readyz").status == 200
            assert server.metric("pullsecrets_admission_connections") > IDLE_PLAIN + IDLE_TLS
            assert resident(server) < MOST_MEMORY
        assert statistics.quantiles(times, n=100)[98] < LONGEST_WAIT
        for metric in ("connections", "in_flight_requests", "in_flight_bytes"):
            name = f"pullsecrets_admission_{metric}"
            until(lambda name=name: server.metric(name) == 0, name)  # type: ignore[misc]
        assert server.metric("pullsecrets_admission_connections_refused_total") == 0
        assert b'"JSONPatch"' in server.post(REVIEW).body
        assert resident(server) < MOST_MEMORY
