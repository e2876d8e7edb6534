from __future__ import annotations

import dataclasses
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.providers.folder import plugin_folder
from tests.unit.fake_apiserver.faults import Answer, Cut
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.fake_apiserver.storage import Target
from tests.unit.polling import until
from tests.unit.sync.renewals import ISSUED, SECRET, answers, behave, configuration, counted, number, request
from tests.unit.sync.running import Running, events, opt_in, reasons
from tests.unit.sync.world import RELEASE, copy_in, docker_config, password_in
from webhook.kube.client import Client
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE
from webhook.rules.expiry import EXPIRES_ANNOTATION, parse_time
from webhook.rules.renewing import ISSUED_BY_LABEL, RENEWED

pytestmark = pytest.mark.usefixtures("short_pauses", "short_renewals")


@pytest.fixture
def start(api: FakeApiServer, client: Client, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []
    folder = plugin_folder(tmp_path / "plugins")

    def begin(duration: str = "1h", *, leading: bool = True) -> Running:
        running = Running(client, configuration=configuration(tmp_path, duration), providers=folder)
        started.append(running)
        running.start(leading=leading)
        return running

    opt_in(api)
    yield begin
    for running in started:
        running.stop()


def test_a_credential_is_issued_into_a_secret_with_its_times_and_copied(
    api: FakeApiServer, start: Callable[..., Running], tmp_path: Path
) -> None:
    running = start()

    until(lambda: number(api) == 1)

    secret = api.read(ISSUED)
    assert secret is not None
    assert secret["type"] == COPY_TYPE
    assert secret["metadata"]["labels"] == {ISSUED_BY_LABEL: RELEASE.name}
    expires = parse_time(secret["metadata"]["annotations"][EXPIRES_ANNOTATION])
    assert abs(expires.timestamp() - time.time() - 3600) < 600
    until(lambda: counted(running) == {"renewed": 1.0})
    assert answers(tmp_path) == 1


def test_it_is_renewed_again_and_again_and_the_copies_follow_in_place(
    api: FakeApiServer, start: Callable[..., Running]
) -> None:
    start("2s")
    until(lambda: number(api) == 1)
    uid = (copy_in(api, "a") or {})["metadata"]["uid"]

    until(lambda: number(api) >= 4)

    assert (copy_in(api, "a") or {})["metadata"]["uid"] == uid


def test_a_failure_keeps_the_credential_and_is_reported_until_it_is_renewed(
    api: FakeApiServer, start: Callable[..., Running], tmp_path: Path
) -> None:
    running = start()
    until(lambda: number(api) == 1)
    behave(tmp_path, "fail")
    request(api, "now")
    kept = api.read(ISSUED)

    until(lambda: counted(running).get("provider-failed", 0) >= 2)

    assert api.read(ISSUED) == kept
    until(lambda: "CredentialNotRenewed" in reasons(api))
    (event,) = [event for event in events(api) if event["reason"] == "CredentialNotRenewed"][:1]
    assert 'source "fake": its credential was not renewed, and the previous one expires at' in event["message"]
    assert event["involvedObject"]["name"] == SECRET
    state = running.loop.renewer.states()[SECRET]
    assert (state.reason, state.failures >= 2) == ("provider-failed", True)

    behave(tmp_path, "answer")
    until(lambda: number(api) >= 2)
    until(lambda: "CredentialRenewed" in reasons(api))
    assert running.loop.renewer.states()[SECRET].failures == 0


def test_a_renewal_whose_thread_cannot_be_started_is_tried_again(
    api: FakeApiServer, start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, refused = threading.Thread.start, list[str]()

    def begin(thread: threading.Thread) -> None:
        if thread.name == "renewal fake" and not refused:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", begin)
    start()

    until(lambda: number(api) == 1)
    assert refused


def test_a_renewal_that_a_lost_lease_has_left_running_counts_until_it_ends(
    api: FakeApiServer, start: Callable[..., Running], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.sync.renewal.MAX_RUNNING", 1)
    renewer = start().loop.renewer
    until(lambda: number(api) == 1)
    behave(tmp_path, "hang")
    request(api, "now")
    until(lambda: running_renewals() == 1)

    renewer.set_leading(False)
    renewer.set_leading(True)
    renewer._start_due()

    assert running_renewals() == 1


def running_renewals() -> int:
    return sum(thread.name == "renewal fake" for thread in threading.enumerate())


def told(api: FakeApiServer) -> list[str]:
    return [event["message"] for event in events(api) if event["reason"] == "CredentialNotRenewed"]


def failed(api: FakeApiServer, start: Callable[..., Running], tmp_path: Path) -> Running:
    """Return a loop that has issued a credential, and has failed to renew it on the request ``first``."""
    running = start()
    until(lambda: number(api) == 1)
    behave(tmp_path, "fail")
    request(api, "first")
    until(lambda: running.loop.renewer.states()[SECRET].failures)
    return running


def test_the_failures_of_a_term_end_with_it(api: FakeApiServer, start: Callable[..., Running], tmp_path: Path) -> None:
    running = failed(api, start, tmp_path)

    running.leads = False
    running.loop.set_leading(False)

    state = running.loop.renewer.states()[SECRET]
    assert (state.failures, state.reason, state.message) == (0, "", "")


def test_after_a_failure_the_next_renewal_is_the_next_attempt(
    api: FakeApiServer, start: Callable[..., Running], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.sync.renewal.retry_seconds", lambda *_: 3600.0)
    running = failed(api, start, tmp_path)

    next_at = running.loop.renewer.states()[SECRET].next_at

    assert next_at is not None
    assert 3500 < next_at.timestamp() - time.time() < 3700


def test_a_failure_without_a_secret_promises_no_previous_credential(
    api: FakeApiServer, start: Callable[..., Running], tmp_path: Path
) -> None:
    behave(tmp_path, "fail")
    start()

    until(lambda: told(api))
    assert "its credential was not renewed, and its Secret does not exist: " in told(api)[0]


def test_a_failure_with_an_edited_secret_promises_no_previous_credential(
    api: FakeApiServer, start: Callable[..., Running], tmp_path: Path
) -> None:
    start()
    until(lambda: number(api) == 1)
    behave(tmp_path, "fail")

    api.storage.merge_patch(Target.parse(ISSUED), {"data": {COPY_KEY: b64encode(b"{").decode()}}, "editor")

    until(lambda: told(api))
    assert "its credential was not renewed, and the one in its Secret cannot be used: " in told(api)[0]


@pytest.mark.parametrize("secret_type", [COPY_TYPE, "Opaque"], ids=["immutable", "another type"])
def test_a_secret_that_was_deleted_and_cannot_be_created_is_not_the_previous_one(
    api: FakeApiServer, start: Callable[..., Running], secret_type: str
) -> None:
    annotations = {EXPIRES_ANNOTATION: "2100-01-01T00:00:00Z"}
    metadata = {"labels": {ISSUED_BY_LABEL: RELEASE.name}, "annotations": annotations}
    data = {COPY_KEY: docker_config("old")}
    is_immutable = secret_type == COPY_TYPE
    api.put(ISSUED, {"type": secret_type, "data": data, "immutable": is_immutable, "metadata": metadata})
    api.inject(Answer(403), "apply", plural="secrets", name=SECRET)

    start()

    until(lambda: told(api))
    expected = (
        f'and its Secret does not exist: Secret "{SECRET}" was deleted to be replaced, and cannot be created again'
    )
    assert expected in told(api)[0]
    assert "(secret-not-written)" in told(api)[0]
    until(lambda: number(api) == 2)


def test_a_secret_whose_update_is_refused_for_another_cause_stays(
    api: FakeApiServer, start: Callable[..., Running]
) -> None:
    start()
    until(lambda: number(api) == 1)
    api.inject(Answer(422), "apply", plural="secrets", name=SECRET)

    request(api, "please")

    until(lambda: told(api))
    assert "(secret-not-written)" in told(api)[0]
    until(lambda: number(api) == 3)
    assert api.seen("delete", plural="secrets") == []


def test_a_write_without_an_answer_that_was_made_after_all_is_no_change_of_somebody(
    api: FakeApiServer, start: Callable[..., Running]
) -> None:
    running = start()
    until(lambda: number(api) == 1)
    api.inject(Cut(0), "apply", plural="secrets", name=SECRET)

    request(api, "now")

    until(lambda: counted(running).get("secret-not-written") == 1)
    until(lambda: running.loop.renewer.states()[SECRET].failures == 0)
    until(lambda: "CredentialRenewed" in reasons(api))
    assert password_in(api.read(ISSUED)).startswith("number-2 ")

    api.storage.merge_patch(Target.parse(ISSUED), {"data": {COPY_KEY: docker_config("edited")}}, "editor")
    until(lambda: number(api) > 2)


def test_a_deleted_secret_is_issued_again(api: FakeApiServer, start: Callable[..., Running]) -> None:
    start()
    until(lambda: number(api) == 1)

    api.storage.delete(Target.parse(ISSUED), {})

    until(lambda: number(api) == 2)
    assert api.read(ISSUED) is not None


@pytest.mark.parametrize("content", [docker_config("edited"), "e30=", b64encode(b"{").decode()])
def test_a_secret_that_somebody_edits_is_issued_again(
    api: FakeApiServer, start: Callable[..., Running], content: str
) -> None:
    start()
    until(lambda: number(api) == 1)

    api.storage.merge_patch(Target.parse(ISSUED), {"data": {COPY_KEY: content}}, "editor")

    until(lambda: number(api) == 2)


def test_a_secret_of_another_type_is_replaced(api: FakeApiServer, start: Callable[..., Running]) -> None:
    metadata = {"labels": {ISSUED_BY_LABEL: RELEASE.name}}
    api.put(ISSUED, {"type": "Opaque", "data": {}, "metadata": metadata})

    start()

    until(lambda: number(api) == 1)
    assert (api.read(ISSUED) or {})["type"] == COPY_TYPE


def test_a_secret_that_was_not_issued_is_left_alone_and_no_provider_runs_for_it(
    api: FakeApiServer, start: Callable[..., Running], tmp_path: Path
) -> None:
    api.put(ISSUED, {"type": COPY_TYPE, "data": {COPY_KEY: docker_config("theirs")}})
    before = api.read(ISSUED)

    running = start()

    until(lambda: counted(running).get("secret-foreign", 0) >= 1)
    assert api.read(ISSUED) == before
    assert answers(tmp_path) == 0


def test_a_person_can_request_a_renewal_once(api: FakeApiServer, start: Callable[..., Running], tmp_path: Path) -> None:
    start()
    until(lambda: number(api) == 1)

    request(api, "today")

    until(lambda: number(api) == 2)
    assert (api.read(ISSUED) or {})["metadata"]["annotations"][RENEWED] == "today"
    running_again = answers(tmp_path)
    api.storage.merge_patch(Target.parse(ISSUED), {"metadata": {"annotations": {"note": "x"}}}, "kubectl-annotate")
    assert answers(tmp_path) == running_again == 2


def test_a_new_request_does_not_wait_for_the_pause_after_a_failure(
    api: FakeApiServer, start: Callable[..., Running], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.sync.renewal.retry_seconds", lambda *_: 3600.0)
    running = failed(api, start, tmp_path)
    until(lambda: counted(running).get("provider-failed", 0) == 1)
    behave(tmp_path, "answer")

    request(api, "second")

    until(lambda: number(api) == 2)
    until(lambda: counted(running) == {"renewed": 2.0, "provider-failed": 1.0})


def test_changed_settings_renew_it_immediately(
    api: FakeApiServer, start: Callable[..., Running], tmp_path: Path
) -> None:
    running = start()
    until(lambda: number(api) == 1)
    before = configuration(tmp_path)
    (provider,) = before.credential_providers

    running.loop.reconfigure(
        replace(before, credential_providers=(dataclasses.replace(provider, inherit_env=("AWS_REGION",)),))
    )

    until(lambda: number(api) == 2)


def test_a_standby_issues_nothing_until_it_leads_and_then_continues_the_schedule(
    api: FakeApiServer, start: Callable[..., Running], tmp_path: Path
) -> None:
    standby = start(leading=False)
    until(lambda: not standby.loop.caches.unsynced())
    assert answers(tmp_path) == 0
    leader = start()
    until(lambda: number(api) == 1)
    leader.leads = False
    leader.loop.set_leading(False)

    standby.leads = True
    standby.loop.set_leading(True)
    until(lambda: standby.loop.leading_for is not None)

    def continues() -> bool:
        next_at = standby.loop.renewer.states()[SECRET].next_at
        return next_at is not None and next_at.timestamp() > time.time() + 60

    until(continues)
    assert answers(tmp_path) == 1


def test_a_provider_that_is_missing_is_a_reason_of_its_own(api: FakeApiServer, client: Client, tmp_path: Path) -> None:
    opt_in(api)
    running = Running(client, configuration=configuration(tmp_path))
    running.start()
    try:
        until(lambda: counted(running).get("provider-absent", 0) >= 1)
        assert "--providers" in running.loop.renewer.states()[SECRET].message
    finally:
        running.stop()
