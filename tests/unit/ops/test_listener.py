from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.unit.polling import DEADLINE, until
from webhook.errors import UsageError
from webhook.ops.app import is_known_host, ops_app
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
    def of_ours() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "nobody asks"]

    made = threading.Event()
    bound = bind("127.0.0.1", 0, "--metrics-port")
    with bound, in_background(lambda: Recorded(made), "nobody asks", listening=bound):
        assert of_ours()
    assert not made.is_set()
    assert not of_ours()  # not one that was given up after a grace period


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


KNOWN = [
    "10.0.0.7:8080",
    "10.0.0.7",
    "[fd00::7]:8080",
    "[::1]",
    "127.0.0.1:8080",
    "localhost",
    "localhost:8080",
    "LOCALHOST:1",
    "psw.localhost:8080",
    "psw-sync",
    "psw-sync:8080",
    "psw-sync.pull-secrets.svc",
    "psw-sync.pull-secrets.svc:8080",
    "psw-sync.pull-secrets.svc.cluster.local",
    "psw-sync.pull-secrets.svc.cluster.local.:8080",
    "10-0-0-7.pull-secrets.pod.cluster.local",
]
UNKNOWN = [
    "evil.example.com",
    "evil.example.com:8080",
    "psw-sync.pull-secrets",
    "svc.evil.com",
    "a.svc.cluster.local.evil.com",
    "10.0.0.7.evil.com",
    "127.0.0.1.nip.io",
    "localhost.evil.com",
    "evillocalhost.com",
    "evil.com#.svc",
    "evil.com/.svc",
    "user@localhost",
    "localhost:8080:evil.com",
    "localhost evil.com",
    "[::1].evil.com",
    "evil.com.svc\u00e9",
    "",
    ":8080",
]


@pytest.mark.parametrize("host", KNOWN)
def test_probes_prometheus_and_people_are_known(host: str) -> None:
    assert is_known_host(host)


@pytest.mark.parametrize("host", UNKNOWN)
def test_a_name_of_the_web_is_not(host: str) -> None:
    assert not is_known_host(host)


@contextmanager
def served(*allowed: str) -> Iterator[int]:
    app = ops_app(Health(), ProcessMetrics().registry, lambda: b'{"name": "\xc3\xbc"}', allowed_hosts=allowed)
    listener = Listener(app, bind("127.0.0.1", 0, "--metrics-port"))
    with in_background(lambda: listener, "ops"):
        yield listener.port


def ask(port: int, path: str, *hosts: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest("GET", path, skip_host=True)
    for host in hosts:
        connection.putheader("Host", host)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


def test_a_page_whose_name_leads_here_reads_nothing() -> None:
    with served() as port:
        for path in ("/status", "/metrics", "/", "/nothing"):
            assert ask(port, path, "evil.example.com") == (
                421,
                b"unknown Host in the request: see --allowed-host\n",
            )
        assert ask(port, "/status", f"127.0.0.1:{port}") == (200, b'{"name": "\\u00fc"}')
        assert ask(port, "/metrics", "psw-sync.pull-secrets.svc")[0] == 200


def test_probes_may_send_any_host() -> None:
    with served() as port:
        assert ask(port, "/livez", "probe.example.com")[0] == 200
        assert ask(port, "/readyz", "probe.example.com")[0] == 200


def test_a_name_that_is_allowed_is_known() -> None:
    with served("Status.Example.com") as port:
        assert ask(port, "/status", "status.example.com:443")[0] == 200
        assert ask(port, "/status", "other.example.com")[0] == 421
