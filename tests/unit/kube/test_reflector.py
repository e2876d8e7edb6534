from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from tests.unit.fake_apiserver.faults import Answer, Cut, Hang, Lines
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from webhook.kube.client import Client
from webhook.kube.listing import FIRST_PAGE_LIMIT, PAGE_LIMIT
from webhook.kube.reflector import Reflector
from webhook.kube.resources import SECRETS, SERVICE_ACCOUNTS, Collection
from webhook.kube.wire import PartialObjectMetadata

HTML = b"<html>It works!</html>"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A twentieth of the pauses there are, so that many outages fit into a second."""
    monkeypatch.setattr("webhook.kube.reflector.BACKOFF_BASE", 0.01)


@pytest.fixture
def resumes_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a watch fails, it is resumed."""
    monkeypatch.setattr("webhook.kube.reflector.FAILED_WATCHES", 1000)


@pytest.fixture
def short_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each watch ends after a second, and that is no failure."""
    monkeypatch.setattr("webhook.kube.reflector.SHORT_WATCH_SECONDS", 0.0)
    monkeypatch.setattr("webhook.kube.reflector.WATCH_SECONDS", 1)
    monkeypatch.setattr("webhook.kube.reflector.WATCH_JITTER_SECONDS", 0)


class Seen:
    """A handler that keeps what it is told: the labels of each object by name, and the calls in order."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, str]] = {}
        self.calls: list[str] = []
        self.defect: Exception | None = None

    def replace(self, objects: Iterable[PartialObjectMetadata], _version: str) -> None:
        self.objects = {obj.metadata.name: obj.metadata.labels or {} for obj in objects}
        self.calls.append("replace")

    def upsert(self, obj: PartialObjectMetadata) -> None:
        self.calls.append(f"upsert {obj.metadata.name}")
        defect, self.defect = self.defect, None
        if defect is not None:
            raise defect
        self.objects[obj.metadata.name] = obj.metadata.labels or {}

    def remove(self, obj: PartialObjectMetadata) -> None:
        self.calls.append(f"remove {obj.metadata.name}")
        self.objects.pop(obj.metadata.name)


class Running:
    """A reflector of ServiceAccounts and what its handler and its callbacks heard."""

    def __init__(self, client: Client, *, name: str | None = None, inactivity: float = 60.0) -> None:
        self.seen = Seen()
        self.restarts: list[str] = []
        self.reflector = Reflector(
            client,
            Collection(SERVICE_ACCOUNTS, name=name),
            PartialObjectMetadata,
            lambda obj: obj,
            self.seen,
            on_restart=lambda _, cause: self.restarts.append(cause),
            inactivity=inactivity,
        )
        self.reflector.start()

    def names(self) -> set[str]:
        return set(self.seen.objects)

    def wait_synced(self) -> None:
        until(lambda: self.reflector.has_synced)

    def stop(self) -> None:
        self.reflector.stop()
        self.reflector.join(5.0)
        assert not self.reflector._thread.is_alive()


Reflect = Callable[..., Running]


@pytest.fixture
def reflect(client: Client) -> Iterator[Reflect]:
    """Start reflectors that end with the test."""
    started: list[Running] = []

    def start(**options: Any) -> Running:  # noqa: ANN401
        started.append(Running(client, **options))
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture
def running(reflect: Reflect) -> Running:
    """A reflector that knows what is there."""
    running = reflect()
    running.wait_synced()
    return running


def put(api: FakeApiServer, name: str, **labels: str) -> None:
    api.put(f"/api/v1/namespaces/a/serviceaccounts/{name}", {"metadata": {"labels": labels}})


def remove(api: FakeApiServer, name: str) -> None:
    api.remove(f"/api/v1/namespaces/a/serviceaccounts/{name}")


def event(kind: str, obj: object) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode()


def account(name: str, revision: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "a", "resourceVersion": str(revision)}}


def expired(code: int = 410) -> bytes:
    return event("ERROR", {"kind": "Status", "code": code, "reason": "Expired", "message": "too old"})


def follows(api: FakeApiServer, running: Running) -> None:
    """The reflector tells of what happens now."""
    put(api, "news")
    until(lambda: "news" in running.names())
    remove(api, "news")
    until(lambda: "news" not in running.names())


@pytest.mark.parametrize("watch_list", [True, False])
def test_what_is_there_and_what_happens_reach_the_handler(
    api: FakeApiServer, reflect: Reflect, *, watch_list: bool
) -> None:
    api.watch_list = watch_list
    put(api, "old")
    running = reflect()

    running.wait_synced()
    put(api, "new", a="1")
    put(api, "new", a="2")
    remove(api, "old")

    until(lambda: running.seen.objects == {"new": {"a": "2"}})
    assert running.seen.calls == ["replace", "upsert new", "upsert new", "remove old"]
    assert len(api.seen("list")) == (0 if watch_list else 1)
    assert running.reflector.is_connected


def test_an_empty_collection_is_synced_too(reflect: Reflect) -> None:
    running = reflect()

    running.wait_synced()
    assert running.seen.calls == ["replace"]


def test_where_watch_list_is_not_offered_it_is_asked_for_only_once(api: FakeApiServer, reflect: Reflect) -> None:
    api.watch_list = False
    api.inject(Answer(422), "watch")
    api.inject(Lines((expired(),)), "watch", times=2)
    running = reflect()

    until(lambda: len(api.seen("watch")) == 4)

    assert [request.query.get("sendInitialEvents") for request in api.seen("watch")] == ["true", None, None, None]
    follows(api, running)


def test_an_etcd_that_is_too_old_for_watch_list_is_listed(api: FakeApiServer, reflect: Reflect) -> None:
    message = "required storage feature RequestWatchProgress is disabled"
    api.inject(Lines((event("ERROR", {"code": 500, "message": message}),)), "watch")
    running = reflect()

    follows(api, running)

    assert len(api.seen("list")) == 1


def test_one_name_is_asked_for_by_field_selector_in_list_and_watch(api: FakeApiServer, reflect: Reflect) -> None:
    api.watch_list = False
    put(api, "wanted")
    put(api, "other")
    running = reflect(name="wanted")

    until(lambda: len(api.seen("watch")) == 2)

    assert {request.query["fieldSelector"] for request in api.seen()} == {"metadata.name=wanted"}
    assert running.names() == {"wanted"}


def test_a_large_collection_is_listed_in_pages(api: FakeApiServer, reflect: Reflect) -> None:
    api.watch_list = False
    for number in range(2 * PAGE_LIMIT + 1):
        put(api, f"account-{number}")
    running = reflect()

    running.wait_synced()

    assert len(running.names()) == 2 * PAGE_LIMIT + 1
    assert len(api.seen("list")) == 3
    assert running.seen.calls == ["replace"]


def test_the_heavier_the_objects_the_fewer_are_in_a_page(
    api: FakeApiServer, reflect: Reflect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.kube.listing.PAGE_BYTES", 20_000)
    api.watch_list = False
    for number in range(FIRST_PAGE_LIMIT + 50):
        put(api, f"account-{number}", weight="x" * 900)
    running = reflect()

    running.wait_synced()

    limits = [int(request.query["limit"]) for request in api.seen("list")]
    assert limits[0] == FIRST_PAGE_LIMIT
    assert all(10 <= limit <= 20 for limit in limits[1:])
    assert len(running.names()) == FIRST_PAGE_LIMIT + 50


def test_an_empty_page_in_between_changes_nothing(api: FakeApiServer, reflect: Reflect) -> None:
    api.watch_list = False
    put(api, "one")
    empty = json.dumps({"metadata": {"resourceVersion": "1", "continue": "further"}, "items": []}).encode()
    api.inject(Answer(200, empty), "list")
    api.pages["further"] = [api.read("/api/v1/namespaces/a/serviceaccounts/one") or {}]
    running = reflect()

    running.wait_synced()

    assert [request.query["limit"] for request in api.seen("list")] == [str(FIRST_PAGE_LIMIT), str(PAGE_LIMIT)]
    assert running.names() == {"one"}


def test_a_page_that_has_expired_begins_the_list_anew(api: FakeApiServer, reflect: Reflect) -> None:
    api.watch_list = False
    for number in range(PAGE_LIMIT + 1):
        put(api, f"account-{number}")
    api.inject(
        Answer(200, json.dumps({"metadata": {"resourceVersion": "1", "continue": "gone"}, "items": []}).encode()),
        "list",
    )
    running = reflect()

    running.wait_synced()

    assert len(running.names()) == PAGE_LIMIT + 1
    assert running.restarts == ["Gone"]


@pytest.mark.usefixtures("resumes_always")
def test_a_bookmark_moves_the_point_from_which_a_watch_is_resumed(api: FakeApiServer, running: Running) -> None:
    before = running.reflector._resource_version
    api.storage.bookmark()
    until(lambda: running.reflector._resource_version != before)
    api.go_away()
    api.storage.compact()
    api.storage.compacted -= 1  # all that is older than the bookmark
    api.come_back()

    follows(api, running)

    assert running.seen.calls.count("replace") == 1
    assert api.seen("watch")[-1].query["resourceVersion"] == str(api.storage.compacted)


@pytest.mark.usefixtures("resumes_always")
@pytest.mark.parametrize("watch_list", [True, False])
def test_a_watch_from_a_revision_that_is_gone_reads_everything_again(
    api: FakeApiServer, reflect: Reflect, *, watch_list: bool
) -> None:
    api.watch_list = watch_list
    put(api, "kept")
    put(api, "lost")
    running = reflect()
    running.wait_synced()
    api.go_away()
    remove(api, "lost")
    api.storage.compact()
    api.come_back()

    until(lambda: running.names() == {"kept"})

    assert "Gone" in running.restarts
    follows(api, running)


@pytest.mark.parametrize("code", [410, 500, 403])
def test_an_error_in_the_middle_of_a_watch_does_not_end_it_for_good(
    api: FakeApiServer, reflect: Reflect, code: int
) -> None:
    api.inject(Lines((expired(code),)), "watch", times=2)
    running = reflect()

    follows(api, running)

    assert len(running.restarts) == 2


@pytest.mark.parametrize("verb", ["list", "watch"])
@pytest.mark.parametrize(
    "fault",
    [
        Answer(200, HTML),
        Answer(200, b""),
        Answer(200, b"\xff\xfe\x00"),
        Answer(200, b"[" * 100_000),
        Answer(500, HTML),
        Answer(429, retry_after="0"),
        Answer(503),
        Answer(401),
        Answer(403),
        Answer(404),
        Answer(410),
        Cut(0),
        Cut(100),
        Cut(200),
        Hang(),
        Lines((b"\x00garbage",)),
        Lines((b'{"type":"NEW","object":{}}',)),
        Lines((b'{"type":"BOOKMARK","object":{}}',)),
        Lines(),
    ],
    ids=str,
)
def test_whatever_is_wrong_with_an_answer_the_next_one_is_taken(
    api: FakeApiServer,
    client: Client,
    reflect: Reflect,
    fault: Any,  # noqa: ANN401
    verb: str,
) -> None:
    client._request_timeout = 0.05
    api.watch_list = verb == "watch"
    put(api, "old")
    injected = api.inject(fault, verb)
    running = reflect()

    until(lambda: running.names() == {"old"})

    assert injected.met == 1
    follows(api, running)


def test_an_object_that_cannot_be_decoded_is_not_asked_for_again_and_again(
    api: FakeApiServer, reflect: Reflect
) -> None:
    api.watch_list = False
    put(api, "old")
    api.inject(Answer(422), "watch")
    api.inject(Lines((event("ADDED", account("seen", 10_000)), event("MODIFIED", {"metadata": {"name": 5}}))), "watch")
    running = reflect()

    until(lambda: len(api.seen("list")) == 2)
    until(lambda: running.names() == {"old"})


def lists(running: Running) -> int:
    return running.seen.calls.count("replace")


def test_a_watch_that_fails_twice_lists_again(api: FakeApiServer, running: Running) -> None:
    failing = api.inject(Answer(503), "watch", times=2)
    api.break_connections()

    until(lambda: lists(running) == 2)

    assert failing.met <= 2
    follows(api, running)


def test_a_watch_that_fails_once_is_resumed(api: FakeApiServer, running: Running) -> None:
    watches = len(api.seen("watch"))
    api.break_connections()
    until(lambda: len(api.seen("watch")) == watches + 1)

    follows(api, running)

    assert lists(running) == 1


@pytest.mark.usefixtures("resumes_always")
@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"\x00garbage", id="garbage"),
        pytest.param(b'{"type":"NEW","object":{}}', id="another type"),
        pytest.param(event("MODIFIED", {"metadata": {"name": 5}}), id="another shape"),
        pytest.param(event("ERROR", {"kind": "Status", "code": 500, "message": "decode"}), id="error 500"),
        pytest.param(event("ERROR", {"kind": "Status", "code": 403, "message": "no"}), id="error 403"),
        pytest.param(event("BOOKMARK", {}), id="bookmark without a version"),
        pytest.param(event("BOOKMARK", {"metadata": {"resourceVersion": "0"}}), id="bookmark that goes backwards"),
        pytest.param(event("MODIFIED", account("old", 0)), id="event that goes backwards"),
    ],
)
def test_a_history_that_makes_no_sense_is_read_again_at_once(api: FakeApiServer, reflect: Reflect, line: bytes) -> None:
    put(api, "gone")
    running = reflect()
    running.wait_synced()
    until(lambda: len(api.seen("watch")) == 1)
    api.inject(Lines((line,)), "watch")
    with api.storage.changed:
        remove(api, "gone")
        api.storage.history.clear()  # the watches do not deliver it
    api.break_connections()

    until(lambda: lists(running) >= 2)

    assert running.names() == set()
    assert api.seen("list")
    assert all("resourceVersion" not in request.query for request in api.seen("list"))
    follows(api, running)


def test_after_a_failed_stream_a_list_is_one_answer(api: FakeApiServer, reflect: Reflect) -> None:
    """Where every stream is broken, lists still keep the handler informed, seldom."""
    put(api, "old")
    api.inject(Lines((b"garbage",)), "watch", times=None)
    running = reflect()

    until(lambda: running.names() == {"old"})
    put(api, "new")
    until(lambda: running.names() == {"old", "new"})

    assert [request.query.get("sendInitialEvents") for request in api.seen("watch")][:2] == ["true", None]


@pytest.mark.usefixtures("short_watches")
def test_a_list_is_read_again_when_it_is_old(
    api: FakeApiServer, reflect: Reflect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.kube.reflector.RELIST_SECONDS", 0.0)
    monkeypatch.setattr("webhook.kube.reflector.RELIST_JITTER_SECONDS", 0.0)
    running = reflect()

    until(lambda: lists(running) >= 3, timeout=20.0)

    assert running.restarts == []
    follows(api, running)


def test_a_watch_in_which_nothing_came_is_checked_against_the_version_of_now(
    api: FakeApiServer, reflect: Reflect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API server sends no bookmark to a watch that begins at a version that it has never seen."""
    monkeypatch.setattr("webhook.kube.reflector.WATCH_SECONDS", 2)
    monkeypatch.setattr("webhook.kube.reflector.WATCH_JITTER_SECONDS", 0)
    put(api, "lost")
    running = reflect()
    running.wait_synced()
    with api.storage.changed:
        remove(api, "lost")
        api.storage.history.clear()
        api.storage.revision = 0  # etcd was put back to when there was nothing yet

    until(lambda: "Gone" in running.restarts, timeout=30.0)
    until(lambda: lists(running) == 2)

    assert running.names() == set()
    assert "1" in {request.query["limit"] for request in api.seen("list")}


@pytest.mark.usefixtures("short_watches")
def test_each_watch_is_a_connection_of_its_own(api: FakeApiServer, reflect: Reflect) -> None:
    running = reflect()

    until(lambda: len(api.seen("watch")) >= 3, timeout=20.0)

    assert len({request.client for request in api.seen("watch")}) == len(api.seen("watch"))
    assert running.reflector.is_connected
    assert (lists(running), running.restarts) == (1, [])


def test_a_silent_watch_is_listed_again(reflect: Reflect) -> None:
    running = reflect(inactivity=0.2)

    until(lambda: lists(running) >= 2)

    assert running.restarts[0] == "ApiUnavailable"


def test_a_peer_that_has_fallen_silent_is_given_up(api: FakeApiServer, reflect: Reflect) -> None:
    put(api, "old")
    silent = api.inject(Lines(silent=True), "watch")
    running = reflect(inactivity=0.1)

    until(lambda: running.names() == {"old"})

    assert silent.met == 1
    assert running.restarts[0] == "ApiUnavailable"


@pytest.mark.parametrize("fault", [Answer(500, HTML), Lines(), Lines((expired(),)), Cut(0)], ids=str)
def test_a_server_that_stays_broken_is_asked_seldom(
    api: FakeApiServer,
    reflect: Reflect,
    fault: Any,  # noqa: ANN401
) -> None:
    api.inject(fault, times=None)
    reflect()

    until(lambda: len(api.seen()) >= 4)

    first, *_, last = api.seen()
    # The pauses are at least 0.005, 0.01 and 0.02 s.
    assert last.at - first.at >= 0.035


@pytest.mark.usefixtures("running")
def test_a_server_that_hangs_up_after_each_event_is_asked_seldom(api: FakeApiServer) -> None:
    bookmark = event("BOOKMARK", {"metadata": {"resourceVersion": "500"}})
    api.inject(Lines((bookmark,)), "watch", times=None)
    api.go_away()
    api.come_back()
    before = len(api.seen())

    until(lambda: len(api.seen()) >= before + 4)

    first, *_, last = api.seen()[before:]
    assert last.at - first.at >= 0.035


def test_a_server_that_asks_for_a_pause_gets_it(api: FakeApiServer, reflect: Reflect) -> None:
    status = {"kind": "Status", "code": 429, "details": {"retryAfterSeconds": 0.2}}
    api.inject(Answer(429, json.dumps(status).encode()))
    running = reflect()

    running.wait_synced()

    first, second = api.seen()[:2]
    assert second.at - first.at >= 0.2


def test_a_handler_that_raises_is_told_everything_again(api: FakeApiServer, running: Running) -> None:
    running.seen.defect = RuntimeError("a defect")

    put(api, "new")

    until(lambda: running.names() == {"new"})
    assert running.seen.calls == ["replace", "upsert new", "replace"]
    assert running.restarts == ["RuntimeError"]


def test_stopping_wakes_a_watch_that_is_silent(api: FakeApiServer, running: Running) -> None:
    until(lambda: running.reflector.is_connected)

    running.stop()
    assert not running.reflector.is_connected
    put(api, "later")
    assert running.names() == set()


def test_stopping_cuts_a_backoff_short(api: FakeApiServer, reflect: Reflect) -> None:
    api.inject(Answer(429, retry_after="25"))
    running = reflect()
    until(lambda: running.restarts)

    running.stop()


def test_the_outage_of_the_server_is_over_when_it_is_back(api: FakeApiServer, running: Running) -> None:
    api.go_away()
    until(lambda: not running.reflector.is_connected)
    put(api, "meanwhile")
    api.come_back()

    until(lambda: running.names() == {"meanwhile"})

    assert running.seen.calls == ["replace", "upsert meanwhile"]


def test_a_renewed_watch_goes_on_from_where_it_was(api: FakeApiServer, reflect: Reflect) -> None:
    put(api, "old")
    running = reflect()
    until(lambda: running.reflector.is_connected and running.names() == {"old"})
    before = len(api.requests)

    running.reflector.renew()

    until(lambda: running.reflector.is_renewed)
    put(api, "new")
    until(lambda: running.names() == {"old", "new"})
    assert [request.verb for request in api.requests[before:]] == ["watch"]
    assert running.restarts == []


def test_a_renewal_with_a_list_finds_what_a_silent_watch_has_missed(api: FakeApiServer, reflect: Reflect) -> None:
    put(api, "old")
    api.inject(Lines((b"garbage",)), "watch")  # no stream of what is there at first
    silence = api.inject(Lines(silent=True), "watch", times=None)
    running = reflect()
    until(lambda: silence.met)
    put(api, "new")

    running.reflector.renew(relist=True)

    until(lambda: running.reflector.is_renewed)
    assert running.names() == {"old", "new"}


def test_a_watch_that_is_not_answered_is_not_renewed(api: FakeApiServer, reflect: Reflect) -> None:
    put(api, "old")
    running = reflect()
    until(lambda: running.reflector.is_connected and running.names() == {"old"})
    hang = api.inject(Hang(), "watch", times=None)

    running.reflector.renew()

    until(lambda: hang.met)
    assert not running.reflector.is_renewed
    hang.lift()
    until(lambda: running.reflector.is_renewed)


def test_a_watch_that_was_requested_before_the_renewal_does_not_count(api: FakeApiServer, reflect: Reflect) -> None:
    """It is answered later, and may have been on its way for long."""
    put(api, "old")
    running = reflect()
    until(lambda: running.reflector.is_connected and running.names() == {"old"})
    for _ in range(3):
        before = len(api.seen("watch"))
        running.reflector.renew()
        running.reflector.renew()
        until(lambda: running.reflector.is_renewed)
        assert len(api.seen("watch")) > before
    assert running.restarts == []


def test_a_collection_is_shown_by_what_it_is() -> None:
    assert str(Collection(SECRETS, "a", "harbor")) == "secrets in a named harbor"
    assert str(Collection(SERVICE_ACCOUNTS)) == "serviceaccounts"
