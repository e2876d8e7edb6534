from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.clock import Clock
from tests.unit.fake_apiserver.faults import Answer, Cut, Hang
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from webhook.kube import events
from webhook.kube.client import Client
from webhook.kube.events import EventRecorder, Notice, Reference

NAMESPACE = Reference("v1", "Namespace", "team-a", "team-a", "uid-1")
NOTICE = Notice(NAMESPACE, "CopyConflict", "it is not ours")


@pytest.fixture
def recorder(client: Client, clock: Clock) -> Iterator[EventRecorder]:
    recorder = EventRecorder(client, clock=clock)
    recorder.start()
    yield recorder
    recorder.stop(5.0)


def stored(api: FakeApiServer, notice: Notice = NOTICE) -> dict[str, Any] | None:
    found = events_of(api, notice)
    return found[-1] if found else None


def events_of(api: FakeApiServer, notice: Notice = NOTICE) -> list[dict[str, Any]]:
    """Return the Events that say this, the one that was written last is the last."""
    wanted = (notice.reason, notice.message)
    return [event for event in api.all("events") if (event["reason"], event["message"]) == wanted]


def path_of(api: FakeApiServer, notice: Notice = NOTICE) -> str:
    return f"/api/v1/namespaces/team-a/events/{(stored(api, notice) or {})['metadata']['name']}"


def say(api: FakeApiServer, recorder: EventRecorder, notice: Notice = NOTICE) -> None:
    """Record a notice and wait until it has been dealt with."""
    done = Notice(Reference("v1", "Namespace", "done", "done"), "Done", str(time.monotonic()))
    recorder.record(notice)
    recorder.record(done)
    until(lambda: stored(api, done))


def test_a_notice_becomes_an_event_about_its_object(api: FakeApiServer, recorder: EventRecorder) -> None:
    say(api, recorder)

    event = stored(api) or {}
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "namespace": "team-a",
        "name": "team-a",
        "uid": "uid-1",
    }
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "CopyConflict", "it is not ours")
    assert (event["count"], event["source"]) == (1, {"component": "pull-secret-webhook"})
    assert event["firstTimestamp"] == event["lastTimestamp"]


def test_the_same_notice_counts_up_once_a_minute(api: FakeApiServer, recorder: EventRecorder, clock: Clock) -> None:
    for _ in range(5):
        say(api, recorder)
    clock.now += events.REPEAT_SECONDS
    say(api, recorder)

    assert (stored(api) or {})["count"] == 6
    about_us = [request for request in api.seen() if request.target.namespace == "team-a"]
    assert [request.verb for request in about_us] == ["create", "patch"]


def test_other_words_about_the_same_object_are_another_event(api: FakeApiServer, recorder: EventRecorder) -> None:
    other = Notice(NAMESPACE, "CopyConflict", "it is somebody's")
    say(api, recorder)
    say(api, recorder, other)

    assert stored(api)
    assert stored(api, other)


def test_an_event_that_has_expired_is_written_anew(api: FakeApiServer, recorder: EventRecorder, clock: Clock) -> None:
    say(api, recorder)
    api.remove(path_of(api))
    clock.now += events.REPEAT_SECONDS

    say(api, recorder)

    assert (stored(api) or {})["count"] == 1


def test_nobody_can_have_taken_the_name_of_an_event_beforehand(api: FakeApiServer, client: Client) -> None:
    names = set()
    for _ in range(3):
        recorder = EventRecorder(client)
        recorder.start()
        say(api, recorder)
        recorder.stop(5.0)
        names |= {event["metadata"]["name"] for event in events_of(api)}

    assert len(names) == 3
    assert all(re.fullmatch(r"team-a\.[0-9a-f]{16}", name) for name in names)


@pytest.mark.parametrize("refusal", [403, 404, 422])
def test_an_event_that_somebody_has_put_in_the_place_of_ours_is_left_to_them(
    api: FakeApiServer, recorder: EventRecorder, clock: Clock, refusal: int
) -> None:
    say(api, recorder)
    first = path_of(api)
    api.inject(Answer(refusal), "patch")
    clock.now += events.REPEAT_SECONDS

    say(api, recorder)

    assert path_of(api) != first
    assert (stored(api) or {})["count"] == 1


@pytest.mark.parametrize("fault", [Answer(403), Answer(500, b"<html>"), Answer(429), Cut(0)], ids=str)
def test_an_event_that_could_not_be_written_is_written_when_it_is_said_again(
    api: FakeApiServer,
    recorder: EventRecorder,
    fault: Any,  # noqa: ANN401
) -> None:
    api.inject(fault, "create")
    say(api, recorder)

    say(api, recorder)

    assert stored(api)


def test_recording_waits_for_nobody(
    api: FakeApiServer, recorder: EventRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder._queue, "maxsize", 10)
    hanging = api.inject(Hang(), times=None)

    for number in range(50):
        recorder.record(Notice(NAMESPACE, "Reason", str(number)))

    assert hanging.met < 10  # they did not wait for room in the queue, of which there is for ten
    hanging.lift()


def test_what_waits_is_written_before_the_end(api: FakeApiServer, client: Client) -> None:
    recorder = EventRecorder(client)
    for number in range(20):
        recorder.record(Notice(NAMESPACE, "Reason", str(number)))
    recorder.start()

    recorder.stop(5.0)

    assert len(api.seen("create")) == 20


def test_the_end_waits_no_longer_than_it_was_told_to(api: FakeApiServer, client: Client) -> None:
    hanging = api.inject(Hang(), times=None)
    recorder = EventRecorder(client)
    recorder.start()
    recorder.record(NOTICE)

    recorder.stop(0.1)

    assert recorder._thread.is_alive()  # it still waits for the answer
    hanging.lift()
    recorder._thread.join()


def test_the_end_waits_once_for_room_in_the_queue_and_for_the_last_notice(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    paced, room, waits = threading.Event(), threading.Event(), list[float]()

    def pace() -> None:
        paced.set()
        room.wait(10.0)

    recorder = EventRecorder(client, pace=pace)
    recorder._queue.maxsize = 1
    recorder.start()
    recorder.record(NOTICE)
    assert paced.wait(10.0)
    recorder.record(Notice(NAMESPACE, "Other", "waits"))
    threading.Timer(0.5, room.set).start()
    with monkeypatch.context() as patched:
        patched.setattr(recorder._thread, "join", waits.append)

        recorder.stop(10.0)

    assert waits[0] <= 9.5
    recorder._thread.join(10.0)


def test_the_times_of_an_event_are_those_of_its_notice_however_late_it_is_written(
    api: FakeApiServer, client: Client
) -> None:
    """Otherwise a failure that is over is later than the success after it, and reports show it as the last."""
    before = datetime.now(UTC).replace(microsecond=0)
    recorder = EventRecorder(client, pace=lambda: until(lambda: datetime.now(UTC) > after + timedelta(seconds=1)))
    recorder.record(NOTICE)
    after = datetime.now(UTC)
    recorder.start()
    recorder.stop(30.0)

    event = stored(api) or {}
    assert event["firstTimestamp"] == event["lastTimestamp"]
    assert before <= datetime.fromisoformat(event["lastTimestamp"]) <= after


def test_what_is_remembered_is_bounded(
    api: FakeApiServer, recorder: EventRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MEMORY_LIMIT", 3)
    for number in range(10):
        say(api, recorder, Notice(NAMESPACE, "Reason", str(number)))

    assert len(recorder._written) == 3


@pytest.mark.parametrize("name", ["n" * 253, f"{'n' * 199}.n", f"{'n' * 199}-n"])
def test_the_name_of_an_event_is_a_valid_name(api: FakeApiServer, recorder: EventRecorder, name: str) -> None:
    notice = Notice(Reference("v1", "Namespace", "a", name), "Reason", "long")
    say(api, recorder, notice)

    given = (stored(api, notice) or {})["metadata"]["name"]
    assert len(given) <= 253
    assert re.fullmatch(r"n+\.[0-9a-f]{16}", given)


def test_a_message_is_no_longer_than_the_api_server_takes(api: FakeApiServer, recorder: EventRecorder) -> None:
    long = Notice(NAMESPACE, "Reason", "x" * 5000)
    say(api, recorder, long)

    (event,) = [each for each in api.all("events") if each["reason"] == "Reason"]
    assert len(json.dumps(event["message"])) <= 1026
