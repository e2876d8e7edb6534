from __future__ import annotations

import json
import time
from itertools import count, groupby
from threading import Event, Thread

import pytest
from msgspec.structs import replace

from tests.unit.fake_apiserver.faults import Answer, Hang, Lines
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from tests.unit.sync.running import WRITES, Running, is_clean, is_right, opt_in, put_foreign, reasons, writes
from tests.unit.sync.world import (
    CONFIGURATION,
    LABEL,
    OURS,
    RELEASE,
    copy_in,
    edit_copy,
    password_in,
    put_account,
    put_namespace,
    put_source,
    references_in,
    secret_path,
)
from webhook.kube.client import Client
from webhook.rules.configuration import PullSecret
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE
from webhook.sync.caches import FEW_ACCOUNTS

pytestmark = pytest.mark.usefixtures("short_pauses")


def test_a_loop_asks_for_nothing_before_it_is_started(api: FakeApiServer, client: Client) -> None:
    loop = Running(client).loop
    assert not loop.caches._reflectors
    assert not api.requests


@pytest.mark.usefixtures("running")
def test_a_label_brings_the_copy_and_the_references(api: FakeApiServer) -> None:
    opt_in(api)

    until(lambda: is_right(api))

    assert copy_in(api, RELEASE.namespace) is None


@pytest.mark.usefixtures("no_hangs")
def test_what_was_there_before_the_start_is_taken_care_of_with_no_write_too_many(
    api: FakeApiServer, client: Client
) -> None:
    put_source(api, "first")
    for number in range(20):
        opt_in(api, f"a-{number}")
    running = Running(client)
    running.start()

    until(lambda: all(is_right(api, f"a-{number}") for number in range(20)))
    running.settle()

    # Each worker may find out for itself that no webhook adds the references.
    tries = [one for one in api.seen("patch") if [each["op"] for each in json.loads(one.body)] == ["test"]]
    assert len(tries) in (1, 2)
    assert writes(api) == 40 + len(tries)
    running.stop()


def test_starting_again_changes_nothing(api: FakeApiServer, client: Client, running: Running) -> None:
    opt_in(api)
    until(lambda: is_right(api))
    running.stop()
    revision = api.storage.revision

    again = Running(client)
    again.start()
    again.settle()
    again.stop()

    assert api.storage.revision == revision


@pytest.mark.usefixtures("running")
def test_a_new_credential_is_brought_to_every_copy_in_place(api: FakeApiServer) -> None:
    for name in ("a", "b"):
        opt_in(api, name)
        until(lambda name=name: is_right(api, name))  # type: ignore[misc]
    uids = [(copy_in(api, name) or {})["metadata"]["uid"] for name in ("a", "b")]

    put_source(api, "second")

    until(lambda: is_right(api, "a", "second") and is_right(api, "b", "second"))
    assert [(copy_in(api, name) or {})["metadata"]["uid"] for name in ("a", "b")] == uids


@pytest.mark.usefixtures("running")
def test_opting_out_takes_away_only_what_is_ours(api: FakeApiServer) -> None:
    opt_in(api)
    until(lambda: is_right(api))

    put_namespace(api, "a", "no")

    until(lambda: is_clean(api))


def test_opting_out_and_in_again_ends_selected(api: FakeApiServer, running: Running) -> None:
    opt_in(api)
    for _ in range(10):
        put_namespace(api, "a", "no")
        put_namespace(api, "a")

    running.settle()
    until(lambda: is_right(api))


@pytest.mark.usefixtures("running")
def test_a_foreign_secret_is_left_alone_and_reported_and_the_others_go_on(api: FakeApiServer) -> None:
    put_foreign(api)
    opt_in(api)
    opt_in(api, "b")

    until(lambda: is_right(api, "b") and "CopyConflict" in reasons(api))

    assert password_in(copy_in(api, "a")) == "theirs"
    assert references_in(api, "a") == ["mine"]


@pytest.mark.usefixtures("running")
def test_when_a_foreign_secret_is_gone_the_copy_takes_its_place(api: FakeApiServer) -> None:
    put_foreign(api)
    opt_in(api)
    until(lambda: "CopyConflict" in reasons(api))

    api.remove(secret_path("a"))

    until(lambda: is_right(api))


@pytest.mark.usefixtures("running")
def test_a_copy_that_is_deleted_or_edited_is_back(api: FakeApiServer) -> None:
    opt_in(api)
    until(lambda: is_right(api))

    edit_copy(api, "a")
    until(lambda: is_right(api))
    api.remove(secret_path("a"))
    until(lambda: is_right(api))


@pytest.mark.usefixtures("running")
def test_a_reference_that_is_taken_away_is_back_and_nothing_else_is_lost(api: FakeApiServer) -> None:
    opt_in(api)
    until(lambda: is_right(api))

    put_account(api, "a", "another")

    until(lambda: references_in(api, "a") == ["another", "pull"])


@pytest.mark.usefixtures("running")
def test_a_source_that_goes_leaves_the_copies_and_one_that_returns_updates_them(api: FakeApiServer) -> None:
    opt_in(api)
    until(lambda: is_right(api))

    api.remove(secret_path(RELEASE.namespace, "harbor"))
    until(lambda: "SourceMissing" in reasons(api))
    assert is_right(api)
    put_source(api, "second")

    until(lambda: is_right(api, "a", "second"))


@pytest.mark.usefixtures("running")
def test_a_namespace_that_refuses_writes_backs_off_alone_and_heals(api: FakeApiServer) -> None:
    refusal = api.inject(Answer(403), "apply", plural="secrets", times=None)
    opt_in(api)
    until(lambda: "CopyDenied" in reasons(api))
    refusal.lift()
    opt_in(api, "b")

    until(lambda: is_right(api, "b") and is_right(api))


@pytest.mark.usefixtures("running")
def test_a_configured_name_that_is_retired_is_taken_away(api: FakeApiServer, running: Running) -> None:
    opt_in(api)
    until(lambda: is_right(api))

    running.loop.reconfigure(replace(CONFIGURATION, pull_secrets=(), retired=("pull",)))

    until(lambda: is_clean(api))


def test_a_new_pull_secret_is_brought_everywhere(api: FakeApiServer, running: Running) -> None:
    opt_in(api)
    put_source(api, "other", "ghcr")
    until(lambda: is_right(api))

    second = PullSecret("second", ("ghcr",))
    running.loop.reconfigure(replace(CONFIGURATION, pull_secrets=(*CONFIGURATION.pull_secrets, second)))

    until(lambda: references_in(api, "a") == ["mine", "pull", "second"])
    assert password_in(copy_in(api, "a", "second")) == "other"


def test_a_change_of_the_configuration_keeps_the_watches_of_what_stays(api: FakeApiServer, running: Running) -> None:
    running.settle()
    second = PullSecret("second", ("harbor",))
    running.loop.reconfigure(replace(CONFIGURATION, pull_secrets=(*CONFIGURATION.pull_secrets, second)))
    opt_in(api)
    until(lambda: references_in(api, "a") == ["mine", "pull", "second"])

    edit_copy(api, "a")

    until(lambda: password_in(copy_in(api, "a")) == "first")


def test_a_name_that_may_not_be_read_delays_only_itself(api: FakeApiServer, running: Running) -> None:
    refusal = api.inject(Answer(403), "list", "watch", name="second", times=None)
    second = PullSecret("second", ("harbor",))
    running.loop.reconfigure(replace(CONFIGURATION, pull_secrets=(second, *CONFIGURATION.pull_secrets)))
    opt_in(api)

    until(lambda: is_right(api) and refusal.met)
    assert copy_in(api, "a", "second") is None
    refusal.lift()

    until(lambda: references_in(api, "a") == ["mine", "pull", "second"])


def test_who_stands_by_writes_nothing_and_begins_at_once(api: FakeApiServer, client: Client) -> None:
    put_source(api, "first")
    opt_in(api)
    running = Running(client)
    running.start(leading=False)
    until(lambda: not running.loop.caches.unsynced())
    assert writes(api) == 0
    before = len(api.requests)

    running.leads = True
    running.loop.set_leading(leading=True)

    until(lambda: is_right(api))
    since = api.requests[before:]
    assert [request.target.plural for request in since if request.verb == "list"] == ["namespaces"]
    assert sorted(request.target.plural for request in since if request.verb == "watch") == [
        "namespaces",
        "secrets",
        "secrets",
        "serviceaccounts",
    ]
    running.stop()


def test_a_standby_that_ends_does_not_report_that_it_leads(client: Client) -> None:
    running = Running(client)
    running.start(leading=False)

    running.stop()

    assert running.loop.leading_for is None
    assert not running.loop.is_leading


def test_a_lease_that_is_lost_during_the_takeover_ends_all_that_the_takeover_began(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Running(client)
    renewer = running.loop.renewer
    loss = Thread(target=running.loop.set_leading, kwargs={"leading": False})
    calls: list[bool] = []

    def set_leading(leading: bool) -> None:
        if leading:
            loss.start()
            loss.join(0.2)  # until it is through, or waits for the takeover
        calls.append(leading)
        original(leading)

    original = renewer.set_leading
    monkeypatch.setattr(renewer, "set_leading", set_leading)
    running.start()

    until(lambda: calls[-1:] == [False])
    loss.join()
    assert not running.loop.is_leading
    assert calls == [True, False]
    running.stop()


def test_who_takes_over_with_a_silent_watch_of_namespaces_does_not_put_back_what_has_left(
    api: FakeApiServer, client: Client
) -> None:
    put_source(api, "first")
    opt_in(api)
    opt_in(api, "b")
    api.inject(Lines((b"garbage",)), "watch", plural="namespaces")  # then what is there is listed
    silence = api.inject(Lines(silent=True), "watch", plural="namespaces", times=None)
    running = Running(client)
    running.start(leading=False)
    until(lambda: silence.met and not running.loop.caches.unsynced())
    put_namespace(api, "a", "")

    running.leads = True
    running.loop.set_leading(leading=True)

    until(lambda: is_right(api, "b"))
    assert is_clean(api)
    assert [request for request in api.seen(*WRITES) if request.target.namespace == "a"] == []
    running.stop()


def test_a_leader_that_has_lost_its_lease_writes_nothing_and_loses_no_work(
    api: FakeApiServer, running: Running
) -> None:
    running.settle()
    running.leads = False
    opt_in(api)
    until(lambda: len(running.loop.queue._failures))
    assert writes(api) == 0
    assert not running.loop.queue._own_failures

    running.leads = True

    until(lambda: is_right(api))


def test_a_write_that_the_fence_stops_is_no_failure_of_its_namespace(api: FakeApiServer, running: Running) -> None:
    """The Lease is lost between the check of the worker and the write, for which it is asked a third time."""
    running.settle()
    asked, is_back = count(1), Event()
    running.gate.set_election(lambda: is_back.is_set() or next(asked) % 3 != 0)
    opt_in(api)
    until(lambda: len(running.loop.queue._failures))
    assert writes(api) == 0
    assert not running.loop.queue._own_failures
    assert running.loop.status_index.failing() == {}

    is_back.set()

    until(lambda: is_right(api))


def test_after_an_outage_all_is_as_it_should_be(api: FakeApiServer, running: Running) -> None:
    opt_in(api)
    until(lambda: is_right(api))
    api.go_away()
    until(lambda: not any(watch.connected for watch in running.loop.caches.watches()))
    put_source(api, "second")
    put_account(api, "a", "mine")
    api.come_back()

    until(lambda: is_right(api, "a", "second"))


def test_while_every_write_fails_many_namespaces_ask_no_more_than_one(
    api: FakeApiServer, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.sync.failures.BASE_SECONDS", 0.5)
    names = [f"tenant-{number}" for number in range(50)]
    outage = api.inject(Answer(503, b"<html>"), "apply", plural="secrets", times=None)
    for name in names:
        opt_in(api, name)
    until(lambda: outage.met >= 2)
    before, began = outage.met, time.monotonic()
    time.sleep(1.0)

    # One after the other, each after at least a quarter of a second.
    assert (outage.met - before) / (time.monotonic() - began) <= 4.0
    outage.lift()
    until(lambda: all(is_right(api, name) for name in names))
    running.settle()


def test_a_write_that_hangs_in_one_namespace_does_not_hold_up_another(api: FakeApiServer, running: Running) -> None:
    running.settle()
    hanging = api.inject(Hang(), "apply", plural="secrets")
    opt_in(api)
    until(lambda: hanging.met)
    opt_in(api, "b")

    until(lambda: is_right(api, "b"))
    assert not is_right(api)
    hanging.lift()
    until(lambda: is_right(api))


@pytest.mark.usefixtures("running")
def test_another_release_of_the_project_is_somebody_else(api: FakeApiServer) -> None:
    labels = {**OURS, "pullsecrets.webhook/release": "another"}
    api.put(secret_path("a"), {"metadata": {"labels": labels}, "type": COPY_TYPE, "data": {COPY_KEY: "e30="}})
    opt_in(api)

    until(lambda: "CopyConflict" in reasons(api))

    assert (copy_in(api, "a") or {})["metadata"]["labels"] == labels


def test_every_namespace_is_looked_at_now_and_then_without_a_cause(
    api: FakeApiServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.sync.controller.RESYNC_SECONDS", 0.1)
    put_namespace(api, RELEASE.namespace, "")
    put_source(api, "first")
    running = Running(client)
    running.start()
    opt_in(api)
    until(lambda: is_right(api))
    running.settle()
    revision, looks = api.storage.revision, running.loop.queue.state().added

    # Both namespaces, ten times: and where all is well, nothing is asked or written.
    until(lambda: running.loop.queue.state().added >= looks + 20)
    assert api.storage.revision == revision
    running.stop()


def test_a_write_of_our_own_costs_its_namespace_no_second_turn(api: FakeApiServer, running: Running) -> None:
    names = [f"n{number}" for number in range(20)]
    for name in names:
        opt_in(api, name)
    until(lambda: all(is_right(api, name) for name in names))
    running.settle()
    known = len(running.loop.caches.namespaces.names())
    turns = running.loop.queue.state().added

    put_source(api, "second")

    until(lambda: all(is_right(api, name, "second") for name in names))
    running.settle()
    assert running.loop.queue.state().added == turns + known


def test_a_service_account_that_needs_nothing_costs_no_plan_of_its_namespace(
    api: FakeApiServer, running: Running
) -> None:
    opt_in(api)
    until(lambda: is_right(api))
    running.settle()
    before = running.loop.queue.state().added

    put_account(api, "a", "mine", "pull", account="in-order")
    accounts = running.loop.caches.service_accounts
    until(lambda: "in-order" in accounts.of_namespace("a"))
    assert running.loop.queue.state().added == before

    put_account(api, "a", "mine", account="lacking")
    until(lambda: references_in(api, "a", "lacking") == ["mine", "pull"])


def test_the_end_of_a_service_account_that_needed_nothing_costs_no_plan_of_its_namespace(
    api: FakeApiServer, running: Running
) -> None:
    opt_in(api)
    put_account(api, "a", "mine", "pull", account="in-order")
    until(lambda: is_right(api))
    running.settle()
    before = running.loop.queue.state().added

    api.remove("/api/v1/namespaces/a/serviceaccounts/in-order")
    until(lambda: "in-order" not in running.loop.caches.service_accounts.of_namespace("a"))
    assert running.loop.queue.state().added == before


def test_many_changes_in_a_namespace_with_many_service_accounts_cost_few_plans(
    api: FakeApiServer, running: Running
) -> None:
    opt_in(api)
    for number in range(3 * FEW_ACCOUNTS):
        put_account(api, "a", "pull", account=f"account-{number}")
    until(lambda: is_right(api))
    running.settle()
    before = running.loop.queue.state().added

    for number in range(3 * FEW_ACCOUNTS):
        put_account(api, "a", "mine", account=f"account-{number}")
    until(lambda: all("pull" in (references_in(api, "a", f"account-{n}") or ()) for n in range(3 * FEW_ACCOUNTS)))
    assert running.loop.queue.state().added - before < FEW_ACCOUNTS


@pytest.mark.usefixtures("running")
def test_a_namespace_that_opts_in_and_out_again_and_again_is_told_that_it_is_followed_less_often(
    api: FakeApiServer,
) -> None:
    put_account(api, "a", "mine")
    for _ in range(2):
        put_namespace(api, "a")
        until(lambda: is_right(api))
        put_namespace(api, "a", "no")
        until(lambda: is_clean(api))
    assert "SelectionFlapping" not in reasons(api)
    for _ in range(2):
        put_namespace(api, "a")
        until(lambda: is_right(api))
        put_namespace(api, "a", "no")
        until(lambda: is_clean(api))
    until(lambda: "SelectionFlapping" in reasons(api))


def denied(code: int) -> Answer:
    """Return the answer of the API server when a webhook denies with this code."""
    message = 'admission webhook "strict.example.com" denied the request: not today'
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return Answer(code, json.dumps(status).encode())


def test_a_webhook_that_denies_with_503_holds_up_nobody_else(
    api: FakeApiServer, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.sync.failures.PROBE_SECONDS", 0.05)
    sick = api.inject(denied(503), "apply", plural="secrets", times=None)
    opt_in(api, "sick")
    until(lambda: sick.met > 3)

    assert running.gate.breaker._failures == 0
    assert running.loop._connectivity.is_up
    until(lambda: "CopyDenied" in reasons(api))
    sick.lift()
    until(lambda: is_right(api, "sick"))


def test_a_worker_that_dies_is_reported_and_its_namespace_is_not_lost(
    api: FakeApiServer, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.ops.threads.RESTART_BASE", 0.01)
    reconcile, died = running.loop._reconcile, list[str]()

    def deadly(name: str) -> bool:
        if name == "a" and len(died) < 3:
            died.append(name)
            raise SystemExit
        return reconcile(name)

    monkeypatch.setattr(running.loop, "_reconcile", deadly)

    opt_in(api)

    until(lambda: is_right(api))
    problem = running.loop.threads.problem()
    assert problem is not None
    assert "SystemExit" in problem


def test_a_name_that_is_dropped_without_a_copy_is_not_warned_of(running: Running) -> None:
    running.settle()

    running.loop.reconfigure(replace(CONFIGURATION, pull_secrets=()))

    assert "PullSecretForgotten" not in {notice.reason for _, notice in running.recorder.recent()}


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

    until(lambda: is_clean(api) and references_in(api, "a", "strict") == [])
    late = [one for one in api.seen("patch", "delete") if one.at > retired and one.target.name in ("strict", "pull")]
    assert {one.target.plural for one in late} == {"serviceaccounts", "secrets"}
    assert min(one.at for one in late) - retired >= 0.5
    others = [one.at for one in api.seen("patch") if one.at > retired and one.target.name == "default"]
    assert min(others) < min(one.at for one in late)
