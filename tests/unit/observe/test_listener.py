from __future__ import annotations

import http.client
import socket

import pytest

from webhook.errors import UsageError
from webhook.observe.background import bind, in_background
from webhook.observe.health import Health
from webhook.observe.listener import Listener
from webhook.observe.metrics import ProcessMetrics
from webhook.observe.ops import ops_app


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


def test_a_port_in_use_is_a_sentence_that_names_the_flag() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"^cannot listen on 127\.0\.0\.1 port {port} \(.*\): .*--metrics-port$"):
            bind("127.0.0.1", port, "--metrics-port")
