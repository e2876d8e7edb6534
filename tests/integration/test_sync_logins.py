"""A running ``sync`` that tries credentials at a registry over TLS, on a real API server."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from certs.authority import issue_authority, issue_leaf
from tests.cluster import processes
from tests.integration.site.playground import COPY, SOURCE, Playground, dockerconfigjson, eventually
from tests.unit.registries.registry import PASSWORD, Registry


def test_a_typing_error_in_a_rotation_reaches_no_copy(playground: Callable[..., Playground], tmp_path: Path) -> None:
    authority = issue_authority(datetime.now(UTC), timedelta(days=1))
    leaf = issue_leaf(authority, ["127.0.0.1"], datetime.now(UTC), timedelta(days=1))
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
    (tmp_path / "tls.pem").write_bytes(leaf.certificate_pem + leaf.private_key_pem)
    registry = Registry(tmp_path / "tls.pem")
    ours = playground()

    def rotate(password: str) -> None:
        body = {"type": "kubernetes.io/dockerconfigjson", "data": dockerconfigjson(password, registry.key)}
        ours.apply(ours.installation.namespace, "Secret", SOURCE, body)

    def content() -> str:
        secret = ours.get(team, "secrets", COPY)
        return "" if secret is None else str(secret["data"][".dockerconfigjson"])

    try:
        rotate(PASSWORD)
        arguments = [*ours.installation.sync_command(), "--login-interval=1h", "--tls-secret="]
        environment = {"SSL_CERT_FILE": str(tmp_path / "ca.crt")}
        sync = processes.start(ours.cluster.keeper, f"{ours.installation.release}-sync", arguments, environment)
        sync.wait_ready()
        team = ours.namespace(selected=True)
        good = eventually(content)
        rotate("typo")
        told = eventually(
            lambda: [
                message for reason, message in ours.events(ours.installation.namespace) if reason == "SourceInvalid"
            ]
        )
        (message,) = told
        assert f"{registry.key} refuses its new credential, and still accepts the previous one" in message
        assert "typo" not in message
        assert content() == good
        eventually(
            lambda: json.loads(sync.get("/status")[1])["problems"].get("source-credential-refused"),
            lambda number: number == 1,
        )
        rotate(PASSWORD)
        eventually(lambda: json.loads(sync.get("/status")[1])["sources"][0]["valid"])
        assert content() == good
        assert sync.stop() == 0
    finally:
        registry.close()
