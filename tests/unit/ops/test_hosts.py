from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from webhook.ops.app import is_known_host, ops_app
from webhook.ops.background import bind, in_background
from webhook.ops.health import Health
from webhook.ops.listener import Listener
from webhook.ops.metrics import ProcessMetrics

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
