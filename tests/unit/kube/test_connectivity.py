from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.unit.fake_apiserver.faults import Answer, Hang, Lines
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from webhook.errors import (
    AdmissionFailed,
    ApiError,
    ApiUnavailable,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Throttled,
)
from webhook.kube.client import Client
from webhook.kube.connect import connect
from webhook.kube.connectivity import Connectivity
from webhook.kube.reflector import Reflector
from webhook.kube.resources import SERVICE_ACCOUNTS, Collection
from webhook.kube.wire import PartialObjectMetadata

DEFAULT = "/api/v1/namespaces/a/serviceaccounts/default"
NO_ANSWER = ApiUnavailable("no answer")
ABOUT_THE_OBJECT = [
    NotFound("", status=404),
    Forbidden("", status=403),
    Conflict("", status=409),
    Invalid("", status=422),
    # A webhook that denies may say what it likes.
    *(AdmissionFailed("", status=status) for status in (403, 404, 409, 422, 429, 500, 503)),
]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook.kube.connectivity.PROBE_SECONDS", 0.02)
    monkeypatch.setattr("webhook.kube.connectivity.RESPONSE_SECONDS", 0.2)
    monkeypatch.setattr("webhook.kube.reflector.BACKOFF_BASE", 0.01)


class Server:
    """What answers the questions: nothing but errors at first."""

    def __init__(self) -> None:
        self.error: Exception | None = NO_ANSWER
        self.asked: list[float] = []
        self.hangs = threading.Event()
        self.hangs.set()

    def ask(self) -> None:
        self.asked.append(time.monotonic())
        assert self.hangs.wait(10.0)
        if self.error is not None:
            raise self.error


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def connectivity(server: Server) -> Iterator[Connectivity]:
    connectivity = Connectivity()
    connectivity.start(server.ask)
    yield connectivity
    server.hangs.set()
    connectivity.stop()
    connectivity._thread.join(5.0)
    assert not connectivity._thread.is_alive()


def lose(connectivity: Connectivity, *, after: float = 0.0) -> None:
    """Tell of a request that got no answer for so many seconds."""
    connectivity.note(NO_ANSWER, time.monotonic() - after)


def test_an_outage_begins_with_a_request_that_gets_no_answer_and_ends_with_one_that_does(
    connectivity: Connectivity, server: Server
) -> None:
    lose(connectivity)

    until(lambda: len(server.asked) > 3)
    assert not connectivity.is_up
    server.error = None
    until(lambda: connectivity.is_up)


def test_a_single_failure_is_over_with_the_first_question(
    connectivity: Connectivity, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.kube.connectivity.PROBE_SECONDS", 60.0)  # a slow answer is not waited for
    server.error = None

    lose(connectivity)

    until(lambda: connectivity.is_up)
    assert len(server.asked) == 1


def test_a_server_that_has_just_answered_is_not_asked_because_of_every_failure(
    connectivity: Connectivity, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.kube.connectivity.PROBE_SECONDS", 60.0)
    server.error = None
    lose(connectivity)
    until(lambda: connectivity.is_up)

    for error in (NO_ANSWER, ApiUnavailable("in trouble", status=500), Throttled("later", status=429)):
        connectivity.note(error, time.monotonic())
        assert connectivity.is_up

    assert len(server.asked) == 1


def test_without_an_outage_nothing_is_asked(connectivity: Connectivity, server: Server) -> None:
    for error in (None, *ABOUT_THE_OBJECT):
        connectivity.note(error, time.monotonic())

    assert connectivity.is_up
    assert server.asked == []


@pytest.mark.parametrize(
    "error", [Throttled("later", status=429), ApiUnavailable("", status=500), ApiUnavailable("a page", status=404)]
)
def test_a_server_that_is_in_trouble_is_asked_too(connectivity: Connectivity, error: ApiError) -> None:
    connectivity.note(error, time.monotonic())

    assert not connectivity.is_up


def test_the_answer_to_somebody_else_ends_the_outage_too(connectivity: Connectivity) -> None:
    lose(connectivity)

    connectivity.note(None, time.monotonic())

    assert connectivity.is_up


def test_a_question_that_breaks_is_asked_again(connectivity: Connectivity, server: Server) -> None:
    server.error = RuntimeError("a defect")

    lose(connectivity)

    until(lambda: len(server.asked) > 2)
    server.error = None
    until(lambda: connectivity.is_up)


def test_whoever_watches_over_outages_outlives_a_defect(
    connectivity: Connectivity, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def broken() -> None:
        looks.append(1)
        raise RuntimeError("a defect")

    with monkeypatch.context() as patched:
        patched.setattr(connectivity, "_check", broken)
        lose(connectivity)
        until(lambda: len(looks) > 1)
    server.error = None

    until(lambda: connectivity.is_up)


def test_to_be_refused_is_an_answer(connectivity: Connectivity, server: Server) -> None:
    server.error = Forbidden("no", status=403)

    lose(connectivity)

    until(lambda: connectivity.is_up)


def test_a_question_does_not_wait_for_the_one_before(connectivity: Connectivity, server: Server) -> None:
    server.hangs.clear()

    lose(connectivity)

    until(lambda: len(server.asked) > 3)


def test_a_server_that_asks_for_a_pause_gets_it(connectivity: Connectivity, server: Server) -> None:
    server.error = Throttled("later", status=429, retry_after=0.3)

    lose(connectivity)

    until(lambda: len(server.asked) > 1)
    assert server.asked[1] - server.asked[0] >= 0.3


def test_who_waits_goes_on_when_the_outage_is_over_and_does_something_meanwhile(
    connectivity: Connectivity, server: Server
) -> None:
    lose(connectivity)
    rounds: list[int] = []
    waiting = threading.Thread(target=lambda: connectivity.wait_up(threading.Event(), lambda: rounds.append(1)))
    waiting.start()
    until(lambda: rounds)
    assert waiting.is_alive()

    server.error = None

    waiting.join(5.0)
    assert not waiting.is_alive()


@pytest.mark.parametrize("who", ["the one who waits", "everything"])
def test_nobody_waits_who_is_to_stop(connectivity: Connectivity, who: str) -> None:
    lose(connectivity)
    stopping = threading.Event()
    waiting = threading.Thread(target=lambda: connectivity.wait_up(stopping))
    waiting.start()

    if who == "everything":
        connectivity.stop()
    else:
        stopping.set()

    waiting.join(5.0)
    assert not waiting.is_alive()


def test_before_its_start_nothing_is_an_outage() -> None:
    connectivity = Connectivity()

    lose(connectivity, after=100.0)

    assert connectivity.is_up


# What a request without an answer says about connections that are older.


class Accounts:
    """A handler that keeps the names that it is told."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def replace(self, objects: Iterable[PartialObjectMetadata], _version: str) -> None:
        self.names = {obj.metadata.name for obj in objects}

    def upsert(self, obj: PartialObjectMetadata) -> None:
        self.names.add(obj.metadata.name)

    def remove(self, obj: PartialObjectMetadata) -> None:
        self.names.discard(obj.metadata.name)


class Watching:
    """A watch that has fallen silent, and a client beside it."""

    def __init__(self, api: FakeApiServer, kubeconfig: Path, connectivity: Connectivity) -> None:
        api.put(DEFAULT)
        self.client = connect(kubeconfig, connectivity=connectivity, request_timeout=0.5)
        self.hold = api.inject(Lines((), silent=True), "watch", plural="serviceaccounts")
        self.accounts = Accounts()
        self.restarts: list[str] = []
        # From a resourceVersion, as after a list: with the first line of a WatchList it would show that it lives.
        self.reflector: Reflector[PartialObjectMetadata, PartialObjectMetadata] = Reflector(
            self.client,
            Collection(SERVICE_ACCOUNTS),
            PartialObjectMetadata,
            lambda obj: obj,
            self.accounts,
            on_restart=lambda _, cause: self.restarts.append(cause),
        )
        self.reflector._uses_watch_list = False
        self.reflector.start()
        until(lambda: self.hold.met)
        until(lambda: self.reflector.is_connected)


@pytest.fixture
def watching(api: FakeApiServer, kubeconfig: Path, connectivity: Connectivity, server: Server) -> Iterator[Watching]:
    server.error = None
    watching = Watching(api, kubeconfig, connectivity)
    yield watching
    watching.hold.lift()
    watching.reflector.stop()
    watching.reflector.join(5.0)
    watching.client.close()


def get(client: Client) -> None:
    client.get(SERVICE_ACCOUNTS, "default", "a")


def test_a_watch_is_opened_anew_when_a_request_beside_it_got_no_answer(api: FakeApiServer, watching: Watching) -> None:
    hang = api.inject(Hang(), "get")
    api.put("/api/v1/namespaces/a/serviceaccounts/missed")

    with pytest.raises(ApiUnavailable):
        get(watching.client)

    until(lambda: "missed" in watching.accounts.names)
    assert watching.restarts == ["ApiUnavailable"]
    # It resumed where it was: nothing was listed again.
    assert len(api.seen("list")) == 1
    hang.lift()


def test_a_request_that_failed_at_once_casts_no_doubt(
    api: FakeApiServer, watching: Watching, connectivity: Connectivity, server: Server
) -> None:
    api.inject(Answer(500), "get")

    with pytest.raises(ApiUnavailable):
        get(watching.client)

    until(lambda: server.asked and connectivity.is_up)
    get(watching.client)
    assert watching.restarts == []


def test_a_write_that_a_webhook_holds_up_cuts_no_watch(
    watching: Watching, connectivity: Connectivity, server: Server
) -> None:
    get(watching.client)
    sent = time.monotonic()
    get(watching.client)  # over the connection that was there before
    until(lambda: time.monotonic() - sent > 0.5)

    connectivity.note(NO_ANSWER, sent, may_be_delayed=True)

    assert connectivity.is_up
    assert server.asked == []
    assert watching.restarts == []


def test_a_write_without_an_answer_casts_doubt_when_nothing_else_was_heard_of_either(
    api: FakeApiServer, watching: Watching
) -> None:
    hang = api.inject(Hang(), "patch")
    api.put("/api/v1/namespaces/a/serviceaccounts/missed")

    with pytest.raises(ApiUnavailable):
        watching.client.merge_patch(SERVICE_ACCOUNTS, "default", {}, "a", field_manager="me")

    until(lambda: "missed" in watching.accounts.names)
    assert watching.restarts == ["ApiUnavailable"]
    hang.lift()


def test_what_was_sent_just_before_the_answer_is_looked_at_again(
    api: FakeApiServer, watching: Watching, connectivity: Connectivity
) -> None:
    """Over a connection that is as dead as the others it would wait for the whole of its timeout."""
    watching.client._request_timeout = 30.0
    get(watching.client)
    hang = api.inject(Hang(), "get")
    errors: list[ApiError] = []

    def ask() -> None:
        try:
            get(watching.client)
        except ApiError as error:
            errors.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: hang.met)
    lose(connectivity, after=1.0)

    asking.join(10.0)
    assert [type(error) for error in errors] == [ApiUnavailable]
    hang.lift()


def test_a_request_that_is_expected_casts_doubt_while_it_waits_and_is_left_alone(
    api: FakeApiServer, watching: Watching, connectivity: Connectivity
) -> None:
    watching.client._request_timeout = 30.0
    hang = api.inject(Hang(), "get")
    api.put("/api/v1/namespaces/a/serviceaccounts/missed")

    def renew() -> None:
        with suppress(ApiUnavailable), connectivity.expecting():
            watching.client.get(SERVICE_ACCOUNTS, "default", "a")

    renewing = threading.Thread(target=renew)
    renewing.start()

    until(lambda: "missed" in watching.accounts.names)
    assert watching.restarts == ["ApiUnavailable"]
    renewing.join(0.5)  # for longer than others are given
    assert renewing.is_alive()
    hang.lift()
    renewing.join(10.0)


def test_an_expected_answer_that_is_only_slow_breaks_nothing(
    watching: Watching, connectivity: Connectivity, server: Server
) -> None:
    server.hangs.clear()  # the others are as slow

    with connectivity.expecting():
        until(lambda: server.asked)
        connectivity.note(None, time.monotonic())

    assert connectivity.is_up
    assert watching.restarts == []


def test_an_expected_answer_in_time_leaves_nothing_behind(
    connectivity: Connectivity, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.kube.connectivity.RESPONSE_SECONDS", 1.0)  # a busy machine pauses for less
    with connectivity.expecting():
        connectivity.note(None, time.monotonic())
    expired = time.monotonic() + 1.2

    until(lambda: time.monotonic() > expired)

    assert connectivity.is_up
    assert server.asked == []


def test_a_request_from_before_the_last_doubt_casts_no_second_one(
    watching: Watching, connectivity: Connectivity
) -> None:
    sent = time.monotonic()
    until(lambda: time.monotonic() - sent > 0.3)
    connectivity.note(NO_ANSWER, sent)
    until(lambda: watching.restarts)
    until(lambda: connectivity.is_up)

    connectivity.note(NO_ANSWER, sent)

    until(lambda: connectivity.is_up)
    get(watching.client)
    assert len(watching.restarts) == 1
