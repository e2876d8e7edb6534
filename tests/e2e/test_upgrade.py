"""A release is upgraded, rolled back and restarted while Pods are created at a steady rate; not one of them suffers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.proxy import Proxy
from tests.e2e.release import Release, pull_secret
from tests.e2e.site import Site
from tests.integration.site.creates import SteadyCreates, calls, failed_open

LEAST_CREATES = 300
"""Fewer would prove little. Where a change is over sooner, creates go on after it, which also sees what the last of the
old Pods leaves behind."""


def upgrade(release: Release) -> None:
    release.upgrade(
        log={"level": "debug"},
        webhook={"replicas": 3, "timeoutSeconds": 7},
        pullSecrets=[pull_secret(), pull_secret("further-credentials")],
    )


def rollback(release: Release) -> None:
    release.rollback()


def restart(release: Release) -> None:
    release.restart()


@pytest.fixture(scope="module")
def release(install: Callable[..., Release]) -> Release:
    return install("rolling")


@pytest.fixture(scope="module")
def tenant(release: Release) -> str:
    return release.create_tenant("steady")


@pytest.mark.parametrize("change", [upgrade, rollback, restart])
def test_no_create_fails_and_none_fails_open(
    site: Site, release: Release, tenant: str, change: Callable[[Release], None]
) -> None:
    with Proxy(site) as server:
        open_before, calls_before = failed_open(server), calls(server)
        with SteadyCreates(server, tenant, per_second=40, stored=True) as creates:
            change(release)
            creates.go_on_until(LEAST_CREATES)
        assert creates.failures == []
        assert failed_open(server) == open_before
        assert creates.patched >= LEAST_CREATES
        assert calls(server) - calls_before >= creates.patched
