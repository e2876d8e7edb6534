"""What one replica takes of a node. ``python -m tests.bench.footprint`` measures it; here is what keeps it small."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.bench.reviews import pod_review
from tests.integration.site.serving import Serving, exchange, post, serving, until

REVIEW = b"""{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "1"}}"""

NOT_NEEDED = {
    *("kubernetes", "urllib3", "requests", "oauthlib"),  # no API server to talk to
    *("rich.console", "rich.text", "pygments"),  # for people at a terminal
    *("pydantic.v1", "websockets", "jinja2", "httpx"),  # for what the health port has not
    *("webhook.kube.client", "webhook.sync", "webhook.files.manifests", "webhook.report.preview"),
}
"""Modules, with all below them, that ``serve`` does without when it has certificate files and no ``namespaceSelector``.
Each was loaded once, or would be by a slip. Together they are 20 MiB, and as long to load as all the rest."""

BODY = pod_review(7_000)
HEAD = post(BODY).removesuffix(BODY)

MIB = 1024 * 1024
CONNECTIONS = 1_500
MOST_GROWTH = 5 * MIB
"""After as many connections; without care it is 11 MiB, and goes on."""


def test_nothing_is_loaded_that_is_not_needed(tmp_path: Path) -> None:
    with serving(tmp_path, environment={"PYTHONPROFILEIMPORTTIME": "1"}) as server:
        assert server.post(REVIEW).status == 200
        assert server.plain("/readyz?verbose").status == server.plain("/metrics").status == 200
    loaded = {
        line.rpartition("|")[2].strip()
        for line in (tmp_path / "log").read_text().splitlines()
        if line.startswith("import time:")
    }
    assert {"fastapi", "webhook.serve.process"} <= loaded
    assert [name for name in sorted(loaded) if any(f"{name}.".startswith(f"{each}.") for each in NOT_NEEDED)] == []


def test_connections_that_came_and_went_leave_no_memory_behind(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        _come_and_go(server, 32)
        before = server.metric("process_resident_memory_bytes")
        _come_and_go(server, CONNECTIONS)
        until(
            lambda: server.metric("process_resident_memory_bytes") < before + MOST_GROWTH,
            f"memory within {MOST_GROWTH // MIB} MiB of what it was",
        )
        until(lambda: server.metric("pullsecrets_admission_connections") == 0, "the end of the last connections")


def _come_and_go(server: Serving, number: int) -> None:
    for _ in range(number // 16):
        opened = [server.connected() for _ in range(16)]
        for connection in [each.__enter__() for each in opened]:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(HEAD)
            assert exchange(connection, BODY).status == 200
        for each in opened:
            each.__exit__(None, None, None)
