from __future__ import annotations

import json
from base64 import b64encode

import pytest
from msgspec.structs import replace

from tests.unit.fake_apiserver.faults import Answer
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from tests.unit.sync.running import Running, events, is_right, opt_in, reasons
from tests.unit.sync.world import (
    CONFIGURATION,
    RELEASE,
    put_namespace,
    put_source,
    secret_path,
)
from webhook.errors import ApiError, ApiUnavailable, Forbidden
from webhook.kube.client import Client
from webhook.kube.events import EventRecorder
from webhook.rules.brake import Removals
from webhook.rules.configuration import PullSecret
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE
from webhook.rules.expiry import ExpiryReason
from webhook.sync.configuration import HeldConfiguration
from webhook.sync.credential_watch import ExpiryGroup
from webhook.sync.events import EventReporter

pytestmark = pytest.mark.usefixtures("short_pauses")

ROBOT = b64encode(b"robot:" + b"x" * 60).decode()


@pytest.mark.usefixtures("running")
def test_a_source_that_can_be_used_again_is_good_news(api: FakeApiServer) -> None:
    api.remove(secret_path(RELEASE.namespace, "harbor"))
    until(lambda: "SourceMissing" in reasons(api))
    assert "SourceRecovered" not in reasons(api)

    put_source(api, "second")

    until(lambda: "SourceRecovered" in reasons(api))
    (told,) = (event for event in events(api) if event["reason"] == "SourceRecovered")
    assert (told["type"], told["involvedObject"]["name"]) == ("Normal", "harbor")
    assert told["message"] == 'source Secret "harbor" can be used again', "another source may still be missing"


@pytest.mark.usefixtures("running")
def test_an_entry_that_is_left_out_is_told_of_on_the_source(api: FakeApiServer, running: Running) -> None:
    registries = {"quay.io": {"auth": ROBOT}, "ghcr.io/Org": {"auth": ROBOT}, "gcr.io": {}}
    config = b64encode(json.dumps({"auths": registries}).encode()).decode()
    api.put(secret_path(RELEASE.namespace, "harbor"), {"type": COPY_TYPE, "data": {COPY_KEY: config}})

    until(lambda: "SourceEntries" in reasons(api))
    (told,) = (event for event in events(api) if event["reason"] == "SourceEntries")
    assert told["involvedObject"]["name"] == "harbor"
    assert 'registry "ghcr.io/Org" has upper case in its path' in told["message"]
    assert ROBOT not in told["message"]
    source = running.loop.sources.source("harbor")
    assert source is not None
    assert list(source.credentials or ()) == ["quay.io"]
    assert not {"SourceInvalid", "SourceMissing"} & reasons(api)


@pytest.mark.usefixtures("running")
def test_sources_that_are_too_large_together_are_told_of(api: FakeApiServer, running: Running) -> None:
    for name in ("first", "second"):
        registries = {f"{name}-{number}.example.com": {"auth": ROBOT} for number in range(7000)}
        config = b64encode(json.dumps({"auths": registries}).encode()).decode()
        api.put(secret_path(RELEASE.namespace, name), {"type": COPY_TYPE, "data": {COPY_KEY: config}})
    both = PullSecret("both", ("first", "second"))
    running.loop.reconfigure(replace(CONFIGURATION, pull_secrets=(*CONFIGURATION.pull_secrets, both)))

    until(lambda: "CopyRefused" in reasons(api))
    assert not {"SourceInvalid", "SourceMissing"} & reasons(api)


@pytest.mark.usefixtures("running")
def test_a_name_that_is_dropped_without_being_retired_is_told_of(api: FakeApiServer, running: Running) -> None:
    opt_in(api)
    until(lambda: is_right(api))
    running.settle()

    running.loop.reconfigure(replace(CONFIGURATION, pull_secrets=()))

    until(lambda: "PullSecretForgotten" in reasons(api))


@pytest.mark.usefixtures("running")
def test_a_watch_that_is_not_allowed_is_told_of(api: FakeApiServer, running: Running) -> None:
    refusal = api.inject(Answer(403), "list", "watch", name="second", times=None)
    second = PullSecret("second", ("harbor",))
    running.loop.reconfigure(replace(CONFIGURATION, pull_secrets=(second,)))

    until(lambda: "WatchForbidden" in reasons(api))
    refusal.lift()


@pytest.mark.usefixtures("running")
def test_what_is_denied_again_and_again_is_one_event(api: FakeApiServer) -> None:
    for used in range(3):
        message = f"exceeded quota: none, requested: secrets=1, used: secrets={used}"
        status = json.dumps({"kind": "Status", "code": 403, "reason": "Forbidden", "message": message})
        api.inject(Answer(403, status.encode()), "apply", plural="secrets")
    opt_in(api)

    until(lambda: is_right(api) and "CopyDenied" in reasons(api))
    told = {event["metadata"]["name"] for event in events(api) if event["reason"] == "CopyDenied"}
    assert len(told) == 1


@pytest.mark.usefixtures("running")
def test_the_reported_refusal_is_the_one_that_lasts(api: FakeApiServer) -> None:
    """A policy that saw the namespace before its label denies once; then a quota denies with the same code."""
    policy = "ValidatingAdmissionPolicy 'guard' with binding 'guard' denied request: no"
    for message in (policy, "exceeded quota: none", "exceeded quota: none"):
        status = json.dumps({"kind": "Status", "code": 403, "reason": "Forbidden", "message": message})
        api.inject(Answer(403, status.encode()), "apply", plural="secrets")
    opt_in(api)

    until(lambda: is_right(api))
    until(lambda: "CopyDenied" in reasons(api))
    (denied,) = (event for event in events(api) if event["reason"] == "CopyDenied")
    assert "exceeded quota" in denied["message"]


@pytest.mark.usefixtures("running")
def test_what_is_denied_once_and_then_is_not_is_nobodys_business(api: FakeApiServer) -> None:
    api.inject(Answer(403), "apply", plural="secrets")
    opt_in(api)

    until(lambda: is_right(api))
    api.remove(secret_path(RELEASE.namespace, "harbor"))
    until(lambda: "SourceMissing" in reasons(api))  # Events come in the order in which there was reason for them
    assert "CopyDenied" not in reasons(api)


def test_who_stands_by_tells_nothing_and_who_takes_over_tells_what_is_wrong(api: FakeApiServer, client: Client) -> None:
    put_namespace(api, RELEASE.namespace, "")
    running = Running(client)
    running.start(leading=False)
    until(lambda: running.loop.sources.source("harbor"))
    assert reasons(api) == set()

    running.leads = True
    running.loop.set_leading(leading=True)

    until(lambda: reasons(api) == {"SourceMissing"})
    running.stop()


@pytest.mark.usefixtures("running")
def test_a_refusal_is_reported_on_the_object_that_it_is_about(api: FakeApiServer) -> None:
    status = json.dumps({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "never"}).encode()
    denied = [api.inject(Answer(403, status), "patch", plural="serviceaccounts", times=None)]
    opt_in(api)
    until(lambda: about(api, "CopyDenied") == {("ServiceAccount", "default")})
    denied.append(api.inject(Answer(403, status), "apply", plural="secrets", times=None))
    api.remove(secret_path("a", "pull"))

    until(lambda: about(api, "CopyDenied") == {("ServiceAccount", "default"), ("Secret", "pull")})
    for each in denied:
        each.lift()


@pytest.mark.usefixtures("running")
def test_a_pause_of_all_writes_is_reported_and_its_end_too(api: FakeApiServer) -> None:
    broken = api.inject(Answer(502, b"<html>a page of the proxy"), "apply", plural="secrets", times=None)
    opt_in(api)
    until(lambda: "WritesPaused" in reasons(api))
    assert "WritesResumed" not in reasons(api)
    assert about(api, "WritesPaused") == {("Namespace", RELEASE.namespace)}
    broken.lift()

    until(lambda: "WritesResumed" in reasons(api))


def about(api: FakeApiServer, reason: str) -> set[tuple[str, str]]:
    return {
        (event["involvedObject"]["kind"], event["involvedObject"]["name"])
        for event in events(api)
        if event["reason"] == reason
    }


@pytest.fixture
def recorder(client: Client) -> EventRecorder:
    return EventRecorder(client)


@pytest.fixture
def reporter(recorder: EventRecorder) -> EventReporter:
    reporter = EventReporter(recorder, RELEASE)
    reporter.set_leading(True)
    return reporter


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Forbidden("the old quota", status=403), Forbidden("the new quota", status=403)),
        (ApiUnavailable("the old page", status=502), ApiUnavailable("the new page", status=502)),
    ],
    ids=["a namespace", "all writes"],
)
def test_a_failure_of_an_earlier_term_does_not_count(
    reporter: EventReporter, recorder: EventRecorder, old: ApiError, new: ApiError
) -> None:
    reporter.write_refused("a", old)
    reporter.set_leading(False)
    reporter.write_refused("a", old)  # by a worker whose write was under way
    reporter.set_leading(True)

    reporter.write_refused("a", new)
    assert recorder.recent() == []
    reporter.write_refused("a", new)
    assert str(new) in message(recorder)


def message(recorder: EventRecorder) -> str:
    ((_, notice),) = recorder.recent()
    return notice.message


@pytest.mark.parametrize(
    ("expiring", "told"),
    [
        (
            ExpiryGroup(ExpiryReason.EXPIRED, "expired now"),
            "the credential for a.io and b.io expired now: it must be renewed",
        ),
        (
            ExpiryGroup(ExpiryReason.EXPIRED, "expired now", differ=True),
            "the first of the credentials for a.io and b.io expired now: it must be renewed",
        ),
        (
            ExpiryGroup(ExpiryReason.VERY_SOON, "expires now", renews=True),
            "the credential for a.io and b.io expires now: sync should have renewed it",
        ),
    ],
)
def test_an_expiry_names_the_first_and_who_has_to_renew_it(
    reporter: EventReporter, recorder: EventRecorder, expiring: ExpiryGroup, told: str
) -> None:
    reporter.credentials_expire("harbor", ["a.io", "b.io"], expiring)

    assert message(recorder) == f'source Secret "harbor": {told}'


def test_a_state_that_cannot_be_read_is_not_blamed_on_somebody(
    reporter: EventReporter, recorder: EventRecorder
) -> None:
    reporter.state_unreadable("psw-state", "pull: it has another format")

    told = message(recorder)
    assert "has parts that this version cannot read: pull: it has another format. They are replaced by what" in told
    assert "a part that it does not know is removed" in told
    assert "somebody" not in told


def test_a_held_configuration_holds_only_its_own_removals(reporter: EventReporter, recorder: EventRecorder) -> None:
    reporter.removal_held("psw-state", HeldConfiguration("digest", Removals(40, 50)))

    assert "would remove 40 of 50 copies, so none of these is removed: " in message(recorder)
