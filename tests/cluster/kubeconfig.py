"""Kubeconfig files: an address, an authority, and one identity."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from tests.cluster.pki import Pair

NAME = "pull-secret-webhook-tests"
"""The name of the one cluster, user and context in each file."""


def with_client_certificate(path: Path, url: str, ca: Path, pair: Pair) -> Path:
    """Write a kubeconfig that identifies by client certificate."""
    user = {"client-certificate-data": _encoded(pair.certificate), "client-key-data": _encoded(pair.key)}
    return _write(path, url, ca, user)


def with_token(path: Path, url: str, ca: Path, token: str) -> Path:
    """Write a kubeconfig that identifies by bearer token."""
    return _write(path, url, ca, {"token": token})


def token_of(path: Path) -> str:
    """Return the bearer token in a kubeconfig that `with_token` wrote."""
    token: str = json.loads(path.read_text())["users"][0]["user"]["token"]
    return token


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _write(path: Path, url: str, ca: Path, user: dict[str, str]) -> Path:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NAME, "cluster": {"server": url, "certificate-authority-data": _encoded(ca)}}],
        "users": [{"name": NAME, "user": user}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME}}],
        "current-context": NAME,
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=2))
    return path
