from __future__ import annotations

import time
from dataclasses import replace
from itertools import groupby

import pytest

from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from tests.unit.sync.running import Running, is_clean, is_right, opt_in, put_foreign, reasons
from tests.unit.sync.world import (
    CONFIGURATION,
    LABEL,
    copy_in,
    password_in,
    put_account,
    put_namespace,
    put_source,
    references_in,
)
from webhook.kube.client import Client

pytestmark = pytest.mark.usefixtures("short_pauses")


@pytest.mark.usefixtures("running_without_source")
def test_a_service_account_that_enforces_its_references_needs_no_copy(api: FakeApiServer) -> None:
    until(lambda: "SourceMissing" in reasons(api))
    put_account(api, "a", "mine", account="strict", enforces=True)
    opt_in(api)

    until(lambda: references_in(api, "a", "strict") == ["mine", "pull"])

    assert copy_in(api, "a") is None
    assert references_in(api, "a") == ["mine"]
    put_source(api, "second")
    until(lambda: is_right(api, "a", "second"))


@pytest.mark.usefixtures("running")
def test_an_annotation_that_comes_later_counts(api: FakeApiServer) -> None:
    put_foreign(api)
    opt_in(api)
    until(lambda: "CopyConflict" in reasons(api))
    assert references_in(api, "a") == ["mine"]

    put_account(api, "a", "mine", enforces=True)

    until(lambda: references_in(api, "a") == ["mine", "pull"])
    assert password_in(copy_in(api, "a")) == "theirs"


def test_where_pods_may_be_refused_is_where_the_work_begins(api: FakeApiServer, client: Client) -> None:
    put_source(api, "first")
    for number in range(100):
        opt_in(api, f"a-{number:03}")
    put_account(api, "z", account="strict", enforces=True)
    put_namespace(api, "z")
    running = Running(client)
    running.start(leading=False)
    until(lambda: not running.loop.caches.unsynced())
    running.leads = True
    running.loop.set_leading(leading=True)
    until(lambda: is_right(api, "a-099"))
    running.stop()

    written = [one.target.namespace for one in api.seen("apply", "patch") if one.target.plural != "events"]
    assert written.index("z") < 5
    verbs = [one.verb for one in api.seen("apply", "patch") if one.target.namespace == "z"]
    # The references first. A patch that our webhook does not see is followed by one that adds them.
    assert [verb for verb, _ in groupby(verbs)] == ["patch", "apply"]


@pytest.mark.usefixtures("running")
def test_one_that_is_disabled_is_reported(api: FakeApiServer) -> None:
    labelled = {"labels": {LABEL: "disabled"}, "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
    api.put("/api/v1/namespaces/a/serviceaccounts/strict", {"metadata": labelled})
    opt_in(api)

    until(lambda: is_right(api) and "ReferenceRequired" in reasons(api))

    assert references_in(api, "a", "strict") == []


def test_its_references_outlive_their_retirement_for_a_while(
    api: FakeApiServer, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.sync.planner.GRACE_SECONDS", 0.5)
    put_account(api, "a", account="strict", enforces=True)
    opt_in(api)
    until(lambda: is_right(api) and references_in(api, "a", "strict") == ["pull"])

    retired = time.monotonic()
    running.loop.reconfigure(replace(CONFIGURATION, pull_secrets=(), retired=("pull",)))
    until(lambda: references_in(api, "a") == ["mine"])
    assert references_in(api, "a", "strict") == ["pull"]
    assert copy_in(api, "a") is not None

    until(lambda: is_clean(api) and references_in(api, "a", "strict") == [])
    assert time.monotonic() - retired >= 0.5
