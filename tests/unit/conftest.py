"""Fixtures for the tests that talk HTTP to an API server which has faults to switch on."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.unit.clock import Clock
from tests.unit.fake_apiserver.server import FakeApiServer
from webhook.kube.client import Client
from webhook.kube.connect import connect

TOKEN = "a-token-that-nobody-may-see"  # noqa: S105


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Whatever a test makes of the process's logging ends with it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def api() -> Iterator[FakeApiServer]:
    """A fake API server of the test's own, empty."""
    server = FakeApiServer()
    yield server
    server.close()


@pytest.fixture
def kubeconfig(api: FakeApiServer, tmp_path: Path) -> Path:
    """A kubeconfig file for `api`, with a bearer token."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "fake", "cluster": {"server": api.url}}],
        "users": [{"name": "someone", "user": {"token": TOKEN}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "someone"}}],
        "current-context": "fake",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def client(kubeconfig: Path) -> Iterator[Client]:
    """A client of `api`; a request may take ten seconds, because it may on a machine that is busy with other things."""
    client = connect(kubeconfig, request_timeout=10.0)
    yield client
    client.close()
