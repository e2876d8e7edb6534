from __future__ import annotations

import http.client
import socket
import threading

import pytest

from tests.unit.polling import DEADLINE, until
from webhook.errors import UsageError
from webhook.ops.app import ops_app
from webhook.ops.background import bind, in_background
from webhook.ops.health import Health
from webhook.ops.listener import Listener
from webhook.ops.metrics import ProcessMetrics


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def test_the_plain_port_serves_health_and_metrics_from_a_thread_of_its_own() -> None:
    health, metrics = Health(), ProcessMetrics()
    check = health.check("caches")
    listener = Listener(ops_app(health, metrics.registry), bind("127.0.0.1", 0, "--metrics-port"))
    port = listener.port
    with in_background(lambda: listener, "ops"):
        assert get(port, "/livez") == (200, "ok\n")
        assert get(port, "/readyz") == (503, "[-]caches failed: starting\nreadyz check failed\n")
        check.passes()
        assert get(port, "/readyz") == (200, "ok\n")
        assert get(port, "/readyz?verbose") == (200, "[+]caches ok\nreadyz check passed\n")
        status, text = get(port, "/metrics")
        assert (status, "pullsecrets_build_info{" in text) == (200, True)
        assert get(port, "/docs")[0] == 404
    with pytest.raises(ConnectionRefusedError):
        get(port, "/livez")


class Recorded:
    """A server that says when it was made."""

    def __init__(self, made: threading.Event) -> None:
        self.should_exit = False
        made.set()

    def serve_here(self) -> None:
        until(lambda: self.should_exit)


def test_what_serves_a_port_is_not_made_before_somebody_connects() -> None:
    made = threading.Event()
    bound = bind("127.0.0.1", 0, "--metrics-port")
    with bound, in_background(lambda: Recorded(made), "ops", listening=bound):
        assert not made.wait(0.05)
        with socket.create_connection(bound.getsockname()):
            assert made.wait(DEADLINE)


def test_a_port_that_nobody_asked_ends_without_being_made() -> None:
    made, before = threading.Event(), set(threading.enumerate())
    bound = bind("127.0.0.1", 0, "--metrics-port")
    with bound, in_background(lambda: Recorded(made), "ops", listening=bound):
        assert set(threading.enumerate()) - before
    assert not made.is_set()
    assert not set(threading.enumerate()) - before  # not one that was given up after a grace period


def test_a_stop_while_the_server_is_being_made_ends_it_too() -> None:
    making, go_on, served = threading.Event(), threading.Event(), threading.Event()

    class Slow(Recorded):
        def serve_here(self) -> None:
            served.set()

    def make() -> Slow:
        making.set()
        assert go_on.wait(DEADLINE)
        return Slow(threading.Event())

    with in_background(make, "ops"):
        assert making.wait(DEADLINE)
        threading.Timer(0.05, go_on.set).start()
    assert not served.is_set()


def test_a_status_is_served_where_there_is_one() -> None:
    registry = ProcessMetrics().registry
    looks = iter([b'{"look": 1}', b'{"look": 2}'])
    with_status = Listener(ops_app(Health(), registry, lambda: next(looks)), bind("127.0.0.1", 0, "--metrics-port"))
    with in_background(lambda: with_status, "ops"):
        assert get(with_status.port, "/status") == (200, '{"look": 1}')
        assert get(with_status.port, "/status") == (200, '{"look": 2}')
        assert get(with_status.port, "/livez")[0] == 200
    without = Listener(ops_app(Health(), registry), bind("127.0.0.1", 0, "--metrics-port"))
    with in_background(lambda: without, "ops"):
        assert get(without.port, "/status")[0] == 404


def test_a_port_in_use_is_a_sentence_that_names_the_flag() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"^cannot listen on 127\.0\.0\.1 port {port} \(.*\): .*--metrics-port$"):
            bind("127.0.0.1", port, "--metrics-port")
