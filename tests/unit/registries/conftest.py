from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certs.authority import issue_authority, issue_leaf
from tests.unit.registries.registry import Registry
from webhook.registries.login import Registries

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the files of an authority, and of a certificate with its key."""
    folder = tmp_path_factory.mktemp("registry")
    authority = issue_authority(datetime.now(UTC), DAY)
    leaf = issue_leaf(authority, ["127.0.0.1"], datetime.now(UTC), DAY)
    ca, certificate = folder / "ca.crt", folder / "tls.pem"
    ca.write_bytes(authority.certificate_pem)
    certificate.write_bytes(leaf.certificate_pem + leaf.private_key_pem)
    return ca, certificate


@pytest.fixture
def registry(trusted: tuple[Path, Path]) -> Iterator[Registry]:
    server = Registry(trusted[1])
    yield server
    server.close()


@pytest.fixture
def ours(trusted: tuple[Path, Path]) -> Registries:
    return Registries(trusted[0], seconds=30.0)
