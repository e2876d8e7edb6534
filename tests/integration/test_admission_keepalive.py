"""A connection that the API server's pool still holds is usable, up to the limit of that pool and a little beyond.

The pool keeps an idle connection for 90 s, the webhook for 120 s. Here both are scaled down, and 1,000 requests are
placed within 50 ms of the moment at which the pool would give their connection up.
"""

from __future__ import annotations

import heapq
import random
import ssl
import time
from contextlib import ExitStack

from tests.integration.site.port import connected, listening
from webhook.http.limits import Deadlines

API_SERVER_SECONDS = 90
POOL_SHARE = API_SERVER_SECONDS / Deadlines().idle
IDLE_SECONDS = 4.0
NEARNESS_SECONDS = 0.05
CONNECTIONS = 500
ROUNDS = 2
MOST_LATE = 2000
"""See `Pool.use_next`."""

MOST_OPENED = 20
"""See `opened`."""

BODY = b"{}"
REQUEST = (
    b"POST /mutate?timeout=5s HTTP/1.1\r\nHost: webhook\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)


def is_answered(connection: ssl.SSLSocket) -> bool:
    """Send a request and say whether an answer came that leaves the connection open."""
    received = b""
    try:
        connection.sendall(REQUEST)
        while not received.endswith(b"\r\n\r\n" + BODY):
            piece = connection.recv(4096)
            if not piece:
                return False
            received += piece
    except OSError:
        return False
    return received.startswith(b"HTTP/1.1 200 ") and b"connection: close" not in received


def opened(port: int, stack: ExitStack, limit: float) -> tuple[ssl.SSLSocket, float]:
    """Return a connection that was used once, and when that was.

    A machine that stands still may use a new one after its limit. That proves nothing, and another one is opened.
    """
    for _ in range(MOST_OPENED):
        begun = time.monotonic()
        connection = stack.enter_context(connected(port))
        sent = time.monotonic()
        if is_answered(connection):
            return connection, sent
        assert time.monotonic() - begun >= limit, "closed before its limit"
    raise AssertionError(f"each of {MOST_OPENED} connections was used too late")


class Pool:
    """Connections that are each used again about when the API server's pool would give them up."""

    def __init__(self, port: int, stack: ExitStack) -> None:
        self._port = port
        self._stack = stack
        self._moments = random.Random(1)  # noqa: S311 (it places requests)
        self._connections: list[ssl.SSLSocket] = []
        self._sent: list[float] = []
        self._waiting: list[tuple[float, int]] = []

    def open(self) -> None:
        """Add a connection, and use it for the first time."""
        connection, sent = opened(self._port, self._stack, IDLE_SECONDS)
        self._connections.append(connection)
        self._sent.append(sent)
        self._schedule(len(self._connections) - 1)

    def use_next(self) -> bool:
        """Wait for the next moment, and send a request; return False if it was too late to prove anything.

        A machine that is busy with other things may send it after the connection's limit. Then it has fewer connections
        to look after from there on. What is closed before the limit is a failure.
        """
        due, number = heapq.heappop(self._waiting)
        time.sleep(max(0.0, due - time.monotonic()))
        before, self._sent[number] = self._sent[number], time.monotonic()
        well = is_answered(self._connections[number])
        if well:
            self._schedule(number)
        else:
            assert time.monotonic() - before >= IDLE_SECONDS, "closed before its limit"
        if not self._waiting:
            self.open()
        return well

    def _schedule(self, number: int) -> None:
        idle = POOL_SHARE * IDLE_SECONDS + self._moments.uniform(-NEARNESS_SECONDS, NEARNESS_SECONDS)
        heapq.heappush(self._waiting, (time.monotonic() + idle, number))


def test_a_thousand_requests_around_the_end_of_the_pool_find_their_connection_open() -> None:
    answered = late = 0
    with listening(Deadlines(idle=IDLE_SECONDS)) as port, ExitStack() as stack:
        pool = Pool(port, stack)
        for _ in range(CONNECTIONS):
            pool.open()
        while answered < ROUNDS * CONNECTIONS and late < MOST_LATE:
            in_time = pool.use_next()
            answered, late = answered + in_time, late + (not in_time)
    assert answered == ROUNDS * CONNECTIONS, f"{late} requests came too late"


def test_an_idle_connection_is_closed_after_its_limit_and_not_before() -> None:
    limit = 1.0
    with listening(Deadlines(idle=limit)) as port, ExitStack() as stack:
        connection, sent = opened(port, stack, limit)
        assert ends(connection)
        assert time.monotonic() - sent > limit


def ends(connection: ssl.SSLSocket) -> bool:
    """Wait for the end of the connection; whether nothing came before it."""
    try:
        return connection.recv(1) == b""
    except OSError:
        return True
