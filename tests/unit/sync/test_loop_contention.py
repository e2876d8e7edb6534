from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.fake_apiserver.storage import Object
from tests.unit.polling import until
from tests.unit.sync.running import Running, is_right, opt_in, reasons
from tests.unit.sync.world import (
    copy_in,
    edit_copy,
    password_in,
    put_account,
    references_in,
)
from webhook.sync import contention
from webhook.sync.contention import COPIES, REFERENCES, BackoffPolicy


def take_away(api: FakeApiServer, stop: threading.Event) -> None:
    """Be the other controller: take our reference out as soon as it is there."""
    while not stop.is_set():
        if "pull" in references_in(api, "a"):
            put_account(api, "a", "mine")
        time.sleep(0.001)


@pytest.fixture
def hostile(api: FakeApiServer) -> Iterator[None]:
    """Another controller, for as long as the test lasts."""
    stop = threading.Event()
    thread = threading.Thread(target=take_away, args=(api, stop))
    thread.start()
    yield
    stop.set()
    thread.join(5.0)


def additions(api: FakeApiServer, account: str = "default") -> list[float]:
    """Return when a reference was added directly. The tries that leave it to our webhook do not count."""
    seen = [one for one in api.seen("patch", plural="serviceaccounts") if one.target.name == account]
    return [one.at for one in seen if any("imagePullSecrets" in each["path"] for each in json.loads(one.body))]


@pytest.mark.usefixtures("hostile")
def test_who_keeps_taking_a_reference_away_is_given_way_to(api: FakeApiServer, running: Running) -> None:
    opt_in(api)
    until(lambda: "ReferenceRemovedRepeatedly" in reasons(api))

    assert len(additions(api)) == 1 + REFERENCES.reverts
    assert running.loop.contention.reverts == REFERENCES.reverts
    assert [(each.namespace, each.name) for each in running.loop.contention.contended()] == [("a", "default")]

    # Whatever else happens in the namespace happens at once, and does not make the loop try again.
    put_account(api, "a", account="other")
    until(lambda: references_in(api, "a", "other") == ["pull"])
    edit_copy(api, "a")
    until(lambda: password_in(copy_in(api, "a")) == "first")
    assert len(additions(api)) == 1 + REFERENCES.reverts
    assert running.loop.queue.state().failing == 0


@pytest.mark.usefixtures("hostile", "running")
def test_it_is_put_back_once_in_a_while_all_the_same(api: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(contention._POLICIES, "ServiceAccount", BackoffPolicy(3, 0.4))
    opt_in(api)
    until(lambda: len(additions(api)) >= 7)

    at = additions(api)
    assert all(later - earlier >= 0.4 for earlier, later in pairwise(at[3:]))


@pytest.mark.usefixtures("running")
def test_what_a_webhook_takes_away_in_the_same_request_is_undone_too(
    api: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_ours(*arguments: Any) -> Object:  # noqa: ANN401 (the storage's own)
        stored: Object = store(*arguments)
        kept = [entry for entry in stored.get("imagePullSecrets", ()) if entry["name"] != "pull"]
        return {**stored, "imagePullSecrets": kept}

    store = api.storage.json_patch
    monkeypatch.setattr(api.storage, "json_patch", without_ours)
    opt_in(api)
    until(lambda: "ReferenceRemovedRepeatedly" in reasons(api))

    assert len(additions(api)) == 1 + REFERENCES.reverts


@pytest.mark.usefixtures("running")
def test_a_copy_that_is_edited_again_and_again_is_put_right_a_moment_later(
    api: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(contention._POLICIES, "Secret", BackoffPolicy(COPIES.reverts, 0.4))
    opt_in(api)
    until(lambda: is_right(api))
    for _ in range(COPIES.reverts + 3):
        edit_copy(api, "a")
        until(lambda: is_right(api))

    at = [one.at for one in api.seen("apply", plural="secrets")]
    assert at[COPIES.reverts] - at[0] < 0.4 * COPIES.reverts
    assert all(later - earlier >= 0.4 for earlier, later in pairwise(at[COPIES.reverts :]))
    until(lambda: "CopyChangedRepeatedly" in reasons(api))
