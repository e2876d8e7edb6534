"""The fault proxy itself, between an ordinary HTTPS client and a small HTTPS server."""

from __future__ import annotations

import http.client
import http.server
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster import pki
from tests.cluster.ports import free_port
from tests.cluster.programs import LOOPBACK
from tests.cluster.supervise import wait_until
from tests.integration.faults.faultlink import Answer
from tests.integration.faults.faultproxy import FaultProxy

SHORT = 0.3
"""Seconds that are enough to see that nothing comes."""


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers a GET with the path, a POST with the body, and a GET of /ticks with a line every 20 ms for ever."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path == "/ticks":
            self._tick()
        else:
            self._answer(self.path.encode())

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _tick(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"tick\n")
                time.sleep(0.02)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A connection that is reset is what these tests are about."""


class Ways:
    """The way through the proxy to the server."""

    def __init__(self, proxy: FaultProxy, trust: ssl.SSLContext) -> None:
        self.proxy = proxy
        self._trust = trust

    def connect(self, timeout: float = 60.0) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            LOOPBACK, int(self.proxy.url.rpartition(":")[2]), timeout=timeout, context=self._trust
        )

    def get(self, path: str = "/", timeout: float = 60.0) -> tuple[int, bytes]:
        connection = self.connect(timeout)
        try:
            return ask(connection, path)
        finally:
            connection.close()


def ask(connection: http.client.HTTPSConnection, path: str = "/", body: bytes | None = None) -> tuple[int, bytes]:
    connection.request("GET" if body is None else "POST", path, body)
    response = connection.getresponse()
    return response.status, response.read()


def lose_patience(connection: http.client.HTTPSConnection) -> None:
    """From now on wait only a short time for an answer on this connection."""
    assert connection.sock is not None
    connection.sock.settimeout(SHORT)


def hear(connection: http.client.HTTPSConnection) -> bytes:
    """Wait a short time for one byte."""
    assert connection.sock is not None
    before = connection.sock.gettimeout()
    connection.sock.settimeout(SHORT)
    try:
        return connection.sock.recv(1)
    finally:
        connection.sock.settimeout(before)


@contextmanager
def serving(port: int, pair: pki.Pair) -> Iterator[None]:
    server = Quiet((LOOPBACK, port), Echo)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def ways(tmp_path: Path) -> Iterator[Ways]:
    authority = pki.Authority(tmp_path, "ca")
    pair = authority.issue("server", "server")
    port = free_port()
    with serving(port, pair), FaultProxy(f"https://{LOOPBACK}:{port}", authority.certificate, pair) as proxy:
        yield Ways(proxy, ssl.create_default_context(cafile=str(authority.certificate)))


def test_requests_pass_both_ways_over_one_connection_and_are_counted(ways: Ways) -> None:
    begun = time.monotonic()
    connection = ways.connect()
    assert ask(connection, "/a?b=c") == (200, b"/a?b=c")
    large = bytes(300_000)
    assert ask(connection, "/", large) == (200, large)
    connection.close()
    assert [(one.method, one.target) for one in ways.proxy.since(begun)] == [("GET", "/a?b=c"), ("POST", "/")]
    seconds = time.monotonic() - begun
    assert ways.proxy.load(begun, begun + seconds) == pytest.approx(2.0 / seconds)


def test_a_refused_connection_is_refused_and_an_established_one_broken(ways: Ways) -> None:
    connection = ways.connect()
    ask(connection)
    with ways.proxy.refusing():
        with pytest.raises((ConnectionError, ssl.SSLError)):
            ask(connection)
        with pytest.raises(ConnectionRefusedError):
            ways.get()
    connection.close()
    assert ways.get() == (200, b"/")


def test_on_half_open_connections_nothing_comes_and_nothing_ends(ways: Ways) -> None:
    connection = ways.connect()
    ask(connection)
    lose_patience(connection)
    with ways.proxy.silent():
        with pytest.raises(TimeoutError):
            ask(connection)
        with pytest.raises(TimeoutError):
            ways.get(timeout=SHORT)
    # That connection stays as it is; a new one works.
    with pytest.raises(TimeoutError):
        hear(connection)
    connection.close()
    assert ways.get() == (200, b"/")


def test_a_silent_connection_can_go_on_where_it_stopped(ways: Ways) -> None:
    connection = ways.connect()
    ask(connection)
    with ways.proxy.silent(resumes=True):
        connection.request("GET", "/late")
        with pytest.raises(TimeoutError):
            hear(connection)
    assert connection.getresponse().read() == b"/late"
    connection.close()


def test_established_connections_can_die_while_new_ones_work(ways: Ways) -> None:
    connection = ways.connect()
    ask(connection)
    lose_patience(connection)
    with ways.proxy.silent(new=False):
        with pytest.raises(TimeoutError):
            ask(connection)
        assert ways.get() == (200, b"/")
    connection.close()


def test_a_stream_is_silent_from_the_moment_it_is_held(ways: Ways) -> None:
    connection = ways.connect()
    connection.request("GET", "/ticks")
    stream = connection.sock  # the connection lets go of it when it sees an answer without an end
    assert stream is not None
    response = connection.getresponse()
    assert response.readline() == b"tick\n"
    stream.settimeout(SHORT)
    with ways.proxy.silent(), pytest.raises(TimeoutError):
        response.read()
    connection.close()


def test_slow_answers_come_late_and_whole(ways: Ways) -> None:
    begun = time.monotonic()
    with ways.proxy.slow(SHORT):
        assert ways.get("/slow") == (200, b"/slow")
    assert time.monotonic() - begun >= SHORT


def test_a_connection_is_cut_after_so_many_bytes(ways: Ways) -> None:
    connection = ways.connect()
    connection.request("POST", "/", bytes(300_000))
    connection.getresponse().read()
    with ways.proxy.cutting(after=1000):
        connection.request("POST", "/", bytes(300_000))
        with pytest.raises((http.client.IncompleteRead, ConnectionError, ssl.SSLError)) as broken:
            connection.getresponse().read()
    connection.close()
    if isinstance(broken.value, http.client.IncompleteRead):
        assert len(broken.value.partial) <= 1000
    assert ways.get() == (200, b"/")


def test_chosen_requests_get_the_answer_of_the_proxy_and_the_others_pass(ways: Ways) -> None:
    answer = Answer(429, b"<html>later</html>", "text/html", (("Retry-After", "1"),))
    connection = ways.connect()
    with ways.proxy.answering(answer, lambda request: request.method == "POST"):
        connection.request("POST", "/", b"body")
        response = connection.getresponse()
        assert (response.status, response.read()) == (429, b"<html>later</html>")
        assert (response.headers["Content-Type"], response.headers["Retry-After"]) == ("text/html", "1")
        assert ask(connection, "/through") == (200, b"/through")
    assert ask(connection, "/", b"body") == (200, b"body")
    connection.close()


def test_a_withheld_request_reaches_the_server_late_and_the_others_in_time(ways: Ways) -> None:
    late = ways.connect()
    with ways.proxy.withholding(lambda request: request.method == "POST") as withheld:
        late.request("POST", "/", b"late")
        assert wait_until(lambda: bool(withheld.requests), 60)
        assert ways.get("/in-time") == (200, b"/in-time")
        with pytest.raises(TimeoutError):
            hear(late)
    assert late.getresponse().read() == b"late"
    late.close()


def test_where_no_server_is_the_connection_is_reset(tmp_path: Path) -> None:
    authority = pki.Authority(tmp_path, "ca")
    upstream = f"https://{LOOPBACK}:{free_port()}"
    with FaultProxy(upstream, authority.certificate, authority.issue("server", "server")) as proxy:
        way = Ways(proxy, ssl.create_default_context(cafile=str(authority.certificate)))
        with pytest.raises((ConnectionError, ssl.SSLError)):
            way.get()


def test_reset_breaks_what_is_open_also_what_was_swallowed(ways: Ways) -> None:
    with (
        ways.proxy.silent(established=False),
        socket.create_connection((LOOPBACK, int(ways.proxy.url.rpartition(":")[2])), timeout=10.0) as swallowed,
    ):
        with pytest.raises(TimeoutError):
            ways.get(timeout=SHORT)
        ways.proxy.reset()
        assert swallowed.recv(1) == b""
