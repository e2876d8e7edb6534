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


def test_a_thousand_requests_around_the_end_of_the_pool_find_their_connection_open() -> None:
    moments = random.Random(1)  # noqa: S311 (it places requests)
    answered = 0
    with listening(Deadlines(idle=IDLE_SECONDS)) as port, ExitStack() as stack:
        waiting: list[tuple[float, int]] = []
        connections = [stack.enter_context(connected(port)) for _ in range(CONNECTIONS)]

        def use(number: int) -> bool:
            well = is_answered(connections[number])
            idle = POOL_SHARE * IDLE_SECONDS + moments.uniform(-NEARNESS_SECONDS, NEARNESS_SECONDS)
            heapq.heappush(waiting, (time.monotonic() + idle, number))
            return well

        assert all(use(number) for number in range(CONNECTIONS))
        for _ in range(ROUNDS * CONNECTIONS):
            due, number = heapq.heappop(waiting)
            time.sleep(max(0.0, due - time.monotonic()))
            answered += use(number)
    assert answered == ROUNDS * CONNECTIONS


def test_an_idle_connection_is_closed_after_its_limit_and_not_before() -> None:
    limit = 1.0
    with listening(Deadlines(idle=limit)) as port, connected(port) as connection:
        sent = time.monotonic()
        assert is_answered(connection)
        assert ends(connection)
        assert time.monotonic() - sent > limit


def ends(connection: ssl.SSLSocket) -> bool:
    """Wait for the end of the connection; whether nothing came before it."""
    try:
        return connection.recv(1) == b""
    except OSError:
        return True
