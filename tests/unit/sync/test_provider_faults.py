"""Providers that do something wrong: the old credential stays, people learn the reason, and no process is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
from msgspec.structs import replace

from tests.providers.folder import NAME, plugin_folder, processes
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from tests.unit.sync.renewals import ISSUED, SECRET, behave, configuration, counted, number, request
from tests.unit.sync.running import Running, events, opt_in
from tests.unit.sync.world import RELEASE
from webhook.kube.client import Client
from webhook.rules.expiry import EXPIRES_ANNOTATION, ISSUED_ANNOTATION, parse_time
from webhook.rules.renewing import LONGEST_LIFETIME, IssuedCredential
from webhook.sync.issuer import Issuer
from webhook.sync.provider_process import DEADLINE_SECONDS, RunLimits

pytestmark = pytest.mark.usefixtures("short_pauses", "short_renewals")

LIMITS = RunLimits(seconds=60.0, output=100_000)
"""A busy machine starts a program late; one that hangs has less time."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return plugin_folder(tmp_path / "plugins")


@pytest.fixture
def start(api: FakeApiServer, client: Client, tmp_path: Path, folder: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def begin(limits: RunLimits = LIMITS) -> Running:
        running = Running(client, configuration=configuration(tmp_path), providers=folder)
        limit(running, limits)
        started.append(running)
        running.start()
        return running

    opt_in(api)
    yield begin
    for running in started:
        running.stop()
    until(lambda: not processes(folder / NAME))


def limit(running: Running, limits: RunLimits) -> None:
    running.loop.renewer._issuer = replace(running.loop.renewer._issuer, limits=limits)


@pytest.mark.parametrize(
    ("behaviour", "reason", "told"),
    [
        ("hang", "provider-timeout", "did not end within"),
        ("fail", "provider-failed", "ended with exit code 1"),
        ("crash", "provider-failed", "was ended by signal 11"),
        ("silent", "provider-answer-invalid", "is not a JSON object"),
        ("garbage", "provider-answer-invalid", "is not a JSON object"),
        ("other-version", "provider-answer-invalid", "another apiVersion"),
        ("cache-number", "provider-answer-invalid", "values of other types"),
        ("cache-words", "provider-answer-invalid", "is not a duration"),
        ("cache-beyond", "provider-answer-invalid", "is not a duration"),
        ("cache-moment", "provider-answer-unusable", "already expired"),
        ("no-entries", "provider-answer-unusable", "has no entries"),
        ("anonymous", "provider-answer-unusable", "empty user name"),
        ("other-registry", "provider-answer-unusable", "does not match any of the configured images"),
        ("flood", "provider-output-too-large", "wrote more than 100000 bytes"),
        ("flood-errors", "provider-output-too-large", "wrote more than 100000 bytes"),
    ],
)
def test_the_old_credential_stays_until_the_provider_is_right_again(
    api: FakeApiServer, start: Callable[..., Running], tmp_path: Path, behaviour: str, reason: str, told: str
) -> None:
    running = start()
    until(lambda: number(api) == 1)

    behave(tmp_path, behaviour)
    if behaviour == "hang":
        limit(running, replace(LIMITS, seconds=0.5))
    request(api, "now")
    kept = api.read(ISSUED)

    until(lambda: counted(running).get(reason, 0) >= 1)
    assert api.read(ISSUED) == kept
    assert number(api) == 1
    assert counted(running).keys() == {"renewed", reason}
    state = running.loop.renewer.states()[SECRET]
    assert state.reason == reason
    assert told in state.message
    until(lambda: messages(api, "CredentialNotRenewed"))
    message = messages(api, "CredentialNotRenewed")[0]
    assert told in message
    assert "number-" not in message

    limit(running, LIMITS)
    behave(tmp_path, "answer")
    until(lambda: number(api) > 1)


def messages(api: FakeApiServer, reason: str) -> list[str]:
    return [event["message"] for event in events(api) if event["reason"] == reason]


@pytest.mark.parametrize(
    ("behaviour", "lifetime"),
    [
        ("cache-not", timedelta(hours=1)),
        ("cache-negative", timedelta(hours=1)),
        ("cache-huge", timedelta(seconds=LONGEST_LIFETIME)),
    ],
)
def test_a_duration_that_cannot_be_true_is_replaced_by_the_default_or_the_longest_lifetime(
    api: FakeApiServer, start: Callable[..., Running], tmp_path: Path, behaviour: str, lifetime: timedelta
) -> None:
    behave(tmp_path, behaviour)
    start()
    until(lambda: number(api) == 1)

    annotations = (api.read(ISSUED) or {})["metadata"]["annotations"]

    times = [parse_time(annotations[name]) for name in (ISSUED_ANNOTATION, EXPIRES_ANNOTATION)]
    assert times[1] - times[0] == lifetime


def test_a_grandchild_that_keeps_the_pipes_open_does_not_delay_the_renewal(
    api: FakeApiServer, start: Callable[..., Running], tmp_path: Path, folder: Path
) -> None:
    behave(tmp_path, "grandchild")
    start(RunLimits(seconds=600))

    until(lambda: number(api) == 1)

    until(lambda: not processes(folder / NAME))


def test_a_provider_that_needs_long_gets_the_minute_of_the_kubelet_and_its_answer_counts_from_its_start(
    client: Client, tmp_path: Path, folder: Path
) -> None:
    assert DEADLINE_SECONDS == 60.0
    begun = datetime(2026, 12, 1, 10, tzinfo=UTC)
    clock = Clock(begun)
    behave(tmp_path, "wait")
    (source,) = configuration(tmp_path, "1h").credential_providers
    issuer = Issuer(client, RELEASE.namespace, folder, Event(), RunLimits(seconds=600), clock)
    issued: list[IssuedCredential] = []
    thread = Thread(target=lambda: issued.append(issuer.issue(source)))
    thread.start()
    until(lambda: processes(folder / NAME))

    clock.now = begun + timedelta(seconds=50)
    (tmp_path / "go").touch()
    thread.join(600)

    (credential,) = issued
    assert b"number-1" in credential.payload
    assert (credential.issued_at, credential.expires_at) == (begun, begun + timedelta(hours=1))


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def test_a_provider_that_hangs_ends_with_sync(
    api: FakeApiServer, start: Callable[..., Running], tmp_path: Path, folder: Path
) -> None:
    behave(tmp_path, "hang")
    running = start(RunLimits(seconds=600))
    until(lambda: processes(folder / NAME))

    running.stop()

    until(lambda: not processes(folder / NAME))
    assert counted(running) == {}, "it was cancelled, which is no failure"
    assert api.read(ISSUED) is None
