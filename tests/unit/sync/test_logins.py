from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from tests.unit.sync.running import Running, events, opt_in, reasons
from tests.unit.sync.world import RELEASE, copy_in, password_in, put_namespace, put_source, secret_path
from webhook.kube.client import Client
from webhook.ops.sync_status import LeaderStatus
from webhook.registries.login import Login, LoginResult
from webhook.rules.credential import Credential, SourceReason
from webhook.rules.dockerconfig import Credentials
from webhook.sync.credential_watch import LoginTester, RefusedLogin
from webhook.sync.source import Source, absent_source
from webhook.sync.status import controller_status

pytestmark = pytest.mark.usefixtures("short_pauses")

KEY = "harbor.example.com"


class Registry:
    """Accepts some passwords, refuses all others, and is away when it is told to be."""

    def __init__(self, *accepted: str) -> None:
        self.accepted = set(accepted)
        self.away = False
        self.tried: list[str] = []

    def log_in(self, _key: str, credential: Credential) -> LoginResult:
        self.tried.append(credential.password)
        if self.away:
            return LoginResult(Login.UNKNOWN, "it does not answer")
        known = credential.password in self.accepted
        return LoginResult(Login.ACCEPTED if known else Login.REFUSED, "it answers")


def source(*passwords: str, name: str = "harbor", version: str = "1") -> Source:
    entries = {
        KEY if number == 0 else f"r{number}.example": Credential("u", word) for number, word in enumerate(passwords)
    }
    return Source(name, version, "uid", Credentials(entries))


def admit(logins: LoginTester, source: Source) -> Source:
    judged = logins.judge(source)
    logins.remember(source, judged)
    return judged


@pytest.mark.parametrize(
    ("accepted", "away", "taken"),
    [
        ({"old"}, False, False),
        ({"old", "new"}, False, True),
        ({"new"}, False, True),
        (set(), False, True),
        ({"old"}, True, True),
    ],
    ids=["only the old works", "both work", "only the new works", "neither works", "nobody answers"],
)
def test_only_a_credential_that_works_is_not_replaced_by_one_that_does_not(
    accepted: set[str], away: bool, taken: bool
) -> None:
    registry = Registry(*accepted)
    logins = LoginTester(registry.log_in)
    admit(logins, source("old"))
    registry.away = away

    found = admit(logins, source("new"))

    assert (found.credentials is not None) is taken
    if not taken:
        assert found.problem is not None
        assert found.problem.reason == SourceReason.CREDENTIAL_REFUSED
        assert str(found.problem) == (
            f'source Secret "harbor": {KEY} refuses its new credential, and still accepts the previous one: correct it'
        )
    assert [each.name for each in logins.held()] == ([] if taken else ["harbor"])


def test_what_is_new_or_unchanged_is_not_tried() -> None:
    registry = Registry()
    logins = LoginTester(registry.log_in)
    admit(logins, source("old"))
    admit(logins, source("old", "another"))
    admit(logins, absent_source("harbor"))
    assert registry.tried == []


def test_the_one_that_was_good_is_remembered_while_a_bad_one_is_held() -> None:
    registry = Registry("old")
    logins = LoginTester(registry.log_in)
    admit(logins, source("old"))
    assert admit(logins, source("typo")).credentials is None
    assert admit(logins, absent_source("harbor")).credentials is None
    assert admit(logins, source("another typo")).credentials is None
    registry.accepted = {"right"}
    assert admit(logins, source("right")).credentials is not None
    assert logins.held() == []


def test_what_is_refused_is_told_once_and_forgotten_when_it_is_accepted() -> None:
    registry = Registry("good")
    told: list[RefusedLogin] = []
    logins = LoginTester(registry.log_in, told.append)
    sources = [source("bad"), source("good", name="ghcr")]
    for _ in range(2):
        logins.test_all(sources, lambda: True)
    assert told == [RefusedLogin("harbor", KEY, "it answers")]
    assert (logins.refused("harbor"), logins.refused("ghcr")) == ([KEY], [])
    registry.accepted.add("bad")
    logins.test_all(sources, lambda: True)
    assert logins.refused("harbor") == []


def test_who_leads_no_longer_tries_no_more() -> None:
    registry = Registry()
    logins = LoginTester(registry.log_in)
    logins.test_all([source("a"), source("b", name="ghcr")], lambda: not registry.tried)
    assert registry.tried == ["a"]


# In the loop


@pytest.fixture
def registry() -> Registry:
    return Registry("first", "second")


@pytest.fixture
def trying(api: FakeApiServer, client: Client, registry: Registry) -> Iterator[Running]:
    """A loop that tries credentials, with one namespace in order."""
    put_namespace(api, RELEASE.namespace, "")
    put_source(api, "first")
    running = Running(client, LoginTester(registry.log_in))
    running.start()
    opt_in(api)
    until(lambda: password_in(copy_in(api, "a")) == "first")
    yield running
    running.stop()


@pytest.mark.usefixtures("trying")
def test_a_rotation_to_a_credential_that_works_is_copied(api: FakeApiServer) -> None:
    put_source(api, "second")
    until(lambda: password_in(copy_in(api, "a")) == "second")


def test_a_typing_error_reaches_no_copy_and_is_told(api: FakeApiServer, trying: Running, registry: Registry) -> None:
    put_source(api, "typo")
    until(lambda: "SourceInvalid" in reasons(api))
    (told,) = (event for event in events(api) if event["reason"] == "SourceInvalid")
    assert "refuses its new credential, and still accepts the previous one" in told["message"]
    assert "typo" not in told["message"]
    assert password_in(copy_in(api, "a")) == "first"
    status = controller_status(trying.loop, RELEASE, LeaderStatus(leading=True), 0.0)
    assert status.problems["source-credential-refused"] == 1

    registry.accepted = {"typo"}  # it was none: the registry was behind
    assert trying.loop.logins is not None
    for held in trying.loop.logins.held():
        trying.loop.sources.rejudge(held)
    until(lambda: password_in(copy_in(api, "a")) == "typo")


def test_a_credential_that_is_refused_later_is_told_and_stays(
    api: FakeApiServer, trying: Running, registry: Registry
) -> None:
    registry.accepted.clear()
    assert trying.loop.logins is not None
    trying.loop.logins.test_all(trying.loop.sources.sources(), lambda: True)
    until(lambda: "CredentialRefused" in reasons(api))
    status = controller_status(trying.loop, RELEASE, LeaderStatus(leading=True), 0.0)
    assert status.sources[0].refused_by == (KEY,)
    (told,) = (event for event in events(api) if event["reason"] == "CredentialRefused")
    assert told["message"].endswith("; no copy is removed because of that")
    assert api.read(secret_path("a")) is not None
    assert password_in(copy_in(api, "a")) == "first"


def test_the_refusals_of_a_term_end_with_it(trying: Running, registry: Registry) -> None:
    registry.accepted.clear()
    assert trying.loop.logins is not None
    trying.loop.logins.test_all(trying.loop.sources.sources(), lambda: True)

    trying.leads = False
    trying.loop.set_leading(False)
    status = controller_status(trying.loop, RELEASE, LeaderStatus(leading=False), 0.0)
    assert status.sources[0].refused_by == ()

    trying.leads = True
    trying.loop.set_leading(True)
    until(lambda: trying.loop.leading_for is not None)
    assert trying.loop.logins.refused("harbor") == []
