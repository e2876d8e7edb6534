"""The problem that healing reports, and its pauses; integration tests cover the evictions."""

from __future__ import annotations

import threading
import time

import pytest
from msgspec.structs import replace

from tests.unit.sync.running import Running
from tests.unit.sync.world import CONFIGURATION
from webhook.errors import ApiUnavailable, Fenced
from webhook.kube.client import Client
from webhook.rules.configuration import HealingSettings
from webhook.sync.healing import LOOK_SECONDS, Healing, _may_have_been_made
from webhook.sync.pods import PodWatch


@pytest.fixture
def healing(client: Client, monkeypatch: pytest.MonkeyPatch) -> Healing:
    """The healing of a leader whose Secret for the state is never written."""
    monkeypatch.setattr("webhook.sync.healing.CONFIRM_SECONDS", 0.0)
    healing = Running(client, state_secret="psw-state").loop.healing  # noqa: S106 - a name
    healing.configure(replace(CONFIGURATION, healing=HealingSettings(enabled=True)))
    healing._leading = True
    return healing


def message(healing: Healing) -> str:
    status = healing.status()
    assert status is not None
    return status.message


def test_a_number_that_cannot_be_stored_is_a_problem_while_pods_are_due(healing: Healing) -> None:
    assert not healing._await_stored(b"1")
    assert message(healing) == "nothing is evicted, because the number of evictions cannot be stored"

    healing._due(frozenset(), {}, 0.0)

    assert message(healing) == ""


def test_a_number_that_was_not_stored_because_the_lease_is_lost_is_no_problem(healing: Healing) -> None:
    healing._leading = False

    assert not healing._await_stored(b"1")

    assert message(healing) == ""


def test_an_eviction_that_the_fence_stops_does_not_count() -> None:
    assert _may_have_been_made(ApiUnavailable("no answer"))
    assert not _may_have_been_made(Fenced("not sent"))


def test_a_look_that_waits_for_the_api_server_does_not_delay_the_next_one(
    healing: Healing, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping, pauses = threading.Event(), list[float | None]()

    def wait(pause: float | None) -> None:
        pauses.append(pause)
        if len(pauses) > 1:
            stopping.set()

    monkeypatch.setattr(PodWatch, "is_open", True)
    monkeypatch.setattr(healing, "_is_loaded", True)
    monkeypatch.setattr(healing._wake, "wait", wait)
    monkeypatch.setattr(healing, "look", lambda _: time.sleep(0.1))

    healing.run(stopping, lambda: True)

    assert pauses == [None, LOOK_SECONDS]
