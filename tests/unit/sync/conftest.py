"""Fixtures for the tests of the loop."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from tests.unit.sync.hands import Hands
from tests.unit.sync.running import Running
from tests.unit.sync.world import RELEASE, put_account, put_namespace, put_source
from webhook.kube.client import Client
from webhook.rules import renewal_schedule


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook.kube.reflector.BACKOFF_BASE", 0.02)
    monkeypatch.setattr("webhook.sync.queue.RETRY_BASE", 0.02)


@pytest.fixture
def no_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No write counts as hanging: on a machine that stands still, one would be interrupted and paid for again."""
    monkeypatch.setattr("webhook.sync.queue.HANG_SECONDS", 3600.0)
    monkeypatch.setattr("webhook.sync.queue.MASS_HANG_SECONDS", 3600.0)


@pytest.fixture
def short_renewals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal_schedule, "SHORTEST_PAUSE", timedelta(seconds=0.5))
    monkeypatch.setattr(renewal_schedule, "RETRY_BASE", 0.05)


@pytest.fixture
def running(api: FakeApiServer, client: Client, short_pauses: None) -> Iterator[Running]:  # noqa: ARG001
    """A loop that leads, a usable source and no namespace to look after."""
    put_namespace(api, RELEASE.namespace, "")
    put_source(api, "first")
    running = Running(client)
    running.start()
    # Else a source that the test removes may be missed first, and then be read from an older list.
    until(lambda: running.loop.sources.source("harbor"))
    yield running
    running.stop()


@pytest.fixture
def running_without_source(api: FakeApiServer, client: Client, short_pauses: None) -> Iterator[Running]:  # noqa: ARG001
    """A loop that leads, and has never seen a usable source."""
    put_namespace(api, RELEASE.namespace, "")
    running = Running(client)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def opted_in(api: FakeApiServer) -> FakeApiServer:
    """An API server with one selected namespace that nothing has been done in yet."""
    put_namespace(api, RELEASE.namespace, "")
    put_source(api, "first")
    put_namespace(api, "a")
    put_account(api, "a", "mine")
    return api


@pytest.fixture
def hands(opted_in: FakeApiServer, client: Client) -> Iterator[Hands]:  # noqa: ARG001 (the objects come before the caches)
    hands = Hands(client)
    yield hands
    hands.stop()


@pytest.fixture
def settled(api: FakeApiServer, hands: Hands) -> Hands:
    """Everything is as it should be."""
    hands.act()
    api.requests.clear()
    hands.wrote.clear()
    return hands
