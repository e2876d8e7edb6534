from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from tests.unit.fake_apiserver.faults import Answer
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from tests.unit.sync.world import CONFIGURATION, RELEASE, copy_in, put_account, put_namespace, put_source, references_in
from webhook.kube.connect import connect
from webhook.kube.connectivity import Connectivity
from webhook.kube.events import EventRecorder, Notice, Reference
from webhook.ops.sync_metrics import SyncMetrics
from webhook.sync.controller import SyncController
from webhook.sync.write_gate import WRITES_PER_SECOND, RateLimit, WriteGate

WRITES = ("apply", "patch", "delete", "create")
WORKERS = 4


class Clock:
    """A clock that sleeping moves; whoever sleeps can be disturbed."""

    def __init__(self) -> None:
        self.now = 100.0
        self.disturb: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> bool:
        self.now += seconds
        self.disturb()
        return False


class TurnedClock:
    """A clock that the test turns; threads that sleep wait for it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sleeping = 0
        self._over = False
        self._turned = threading.Condition()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> bool:
        with self._turned:
            end = self.now + seconds
            self.sleeping += 1
            self._turned.wait_for(lambda: self._over or self.now >= end)
            self.sleeping -= 1
        return self._over

    def turn(self, seconds: float) -> None:
        with self._turned:
            self.now += seconds
            self._turned.notify_all()

    def close(self) -> None:
        with self._turned:
            self._over = True
            self._turned.notify_all()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def moments(pace: RateLimit, clock: Clock, writes: int) -> list[float]:
    """When each of several writes passes, in seconds from now."""
    began, found = clock.now, []
    for _ in range(writes):
        assert pace.wait()
        found.append(round(clock.now - began, 6))
    return found


def test_a_second_s_worth_passes_at_once_and_then_the_rate_holds(clock: Clock) -> None:
    assert moments(RateLimit(2, clock=clock, sleep=clock.sleep), clock, 6) == [0.0, 0.0, 0.5, 1.0, 1.5, 2.0]


def test_the_default_holds_back_no_cold_start_of_500_namespaces(clock: Clock) -> None:
    assert WRITES_PER_SECOND >= 1000
    assert set(moments(RateLimit(clock=clock, sleep=clock.sleep), clock, 1000)) == {0.0}


def test_nothing_passes_while_the_server_says_to_wait(clock: Clock) -> None:
    pace = RateLimit(10, clock=clock, sleep=clock.sleep)
    pace.throttled(3.0)
    assert pace.paused_seconds == 3.0
    assert moments(pace, clock, 2) == [3.0, 3.0]
    assert pace.paused_seconds == 0.0


def test_of_two_pauses_the_longer_counts(clock: Clock) -> None:
    pace = RateLimit(10, clock=clock, sleep=clock.sleep)
    pace.throttled(3.0)
    pace.throttled(1.0)
    assert moments(pace, clock, 1) == [3.0]


def test_a_pause_that_begins_during_a_wait_is_heeded(clock: Clock) -> None:
    pace = RateLimit(1, clock=clock, sleep=clock.sleep)
    assert pace.wait()

    def interrupt() -> None:
        clock.disturb = lambda: None
        pace.throttled(5.0)

    clock.disturb = interrupt
    assert moments(pace, clock, 1) == [6.0]


def test_how_long_each_write_was_held_back_is_told(clock: Clock) -> None:
    told: list[float] = []
    pace = RateLimit(2, waited=told.append, clock=clock, sleep=clock.sleep)
    moments(pace, clock, 3)
    assert told == [0.0, 0.0, 0.5]


def test_the_end_of_the_process_wakes_whoever_waits() -> None:
    pace = RateLimit(1)
    pace.throttled(3600.0)
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(pace.wait()))
    waiting.start()
    pace.close()
    waiting.join(5.0)
    assert answers == [False]


def test_who_lost_the_lease_during_the_wait_may_not_write(clock: Clock) -> None:
    gate, leading = WriteGate(Connectivity(), RateLimit(1, clock=clock, sleep=clock.sleep)), True
    gate.set_election(lambda: leading)

    def lose() -> None:
        nonlocal leading
        leading = False

    assert gate.may_write()
    clock.disturb = lose
    assert not gate.may_write()
    assert clock.now == 101.0


def test_who_does_not_lead_does_not_wait(clock: Clock) -> None:
    gate = WriteGate(Connectivity(), RateLimit(1, clock=clock, sleep=clock.sleep))
    gate.set_election(lambda: False)
    gate.rate_limit.throttled(60.0)
    assert not gate.may_write()
    assert clock.now == 100.0


class Paced:
    """A loop of several workers, with one pace for all that it writes, on a clock that the test turns."""

    def __init__(self, kubeconfig: Path, writes_per_second: int = WRITES_PER_SECOND) -> None:
        self.clock = TurnedClock()
        pace = RateLimit(writes_per_second, clock=self.clock, sleep=self.clock.sleep)
        self.client = connect(kubeconfig, request_timeout=5.0, on_throttled=pace.throttled)
        self.pace = pace
        self.recorder = EventRecorder(self.client, pace=pace.wait)
        self.gate = WriteGate(self.client.connectivity, pace)
        self.loop = SyncController(self.client, RELEASE, CONFIGURATION, self.recorder, SyncMetrics(), self.gate)

    @property
    def waiting(self) -> int:
        """The threads that wait to write: at the pace, or at the circuit breaker after a refusal."""
        return self.clock.sleeping + len(self.gate.breaker._condition._waiters)  # type: ignore[attr-defined]

    def __enter__(self) -> Self:
        self.recorder.start()
        self.loop.start(WORKERS)
        self.loop.set_leading(leading=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.pace.close()
        self.clock.close()
        self.loop.stop(5.0)
        for reflector in self.loop.caches._reflectors.values():
            reflector.join(5.0)
        self.recorder.stop(5.0)
        self.client.close()


@pytest.fixture
def many(api: FakeApiServer) -> list[str]:
    """Twenty selected namespaces that nothing has been done in yet: forty writes."""
    put_namespace(api, RELEASE.namespace, "")
    put_source(api, "first")
    names = [f"a-{number}" for number in range(20)]
    for name in names:
        put_account(api, name)
        put_namespace(api, name)
    return names


def writes(api: FakeApiServer) -> int:
    return len(api.seen(*WRITES))


@pytest.mark.usefixtures("no_hangs")
def test_the_rate_is_one_for_all_workers(api: FakeApiServer, kubeconfig: Path, many: list[str]) -> None:
    def done() -> bool:
        return all(copy_in(api, name) and "pull" in references_in(api, name) for name in many)

    rate = 16  # its steps have no rounding errors
    with Paced(kubeconfig, rate) as paced:
        until(lambda: paced.clock.sleeping == WORKERS)
        assert writes(api) == rate  # those of one second pass immediately
        allowed = rate
        while not done():
            paced.clock.turn(1 / rate)
            allowed += 1
            until(lambda allowed=allowed: done() or writes(api) >= allowed)  # type: ignore[misc]
            assert writes(api) <= allowed
    assert allowed >= 2 * len(many)


@pytest.mark.usefixtures("no_hangs")
@pytest.mark.parametrize("verb", ["apply", "patch"])
def test_what_the_server_tells_one_worker_all_of_them_heed(
    api: FakeApiServer, kubeconfig: Path, many: list[str], verb: str
) -> None:
    api.inject(Answer(429, retry_after="1"), verb, times=1)
    with Paced(kubeconfig) as paced:
        # Where all wait depends on the refusal: if it was among the first answers, all but one are at the breaker.
        until(lambda: paced.waiting == WORKERS and paced.pace.paused_seconds)
        told = Notice(Reference("v1", "Namespace", "a-1", "a-1"), "Told", "an Event is a write too")
        paced.recorder.record(told)
        until(lambda: paced.waiting == WORKERS + 1)

        # The four workers could send what they had on their way when one of them was refused: of one namespace each
        # the copy, a try whether the webhook adds the reference, and the addition. All else waits.
        on_their_way = writes(api)
        assert on_their_way <= WORKERS * 3
        paced.clock.turn(0.9)
        until(lambda: paced.waiting == WORKERS + 1)
        assert writes(api) == on_their_way
        assert not api.seen("create", plural="events")

        paced.clock.turn(0.2)
        until(lambda: all(copy_in(api, name) for name in many) and api.seen("create", plural="events"))


def test_a_429_that_names_no_time_is_the_affair_of_its_namespace(
    api: FakeApiServer, kubeconfig: Path, many: list[str]
) -> None:
    refused = api.inject(Answer(429), "apply", times=1)
    with Paced(kubeconfig) as paced:
        until(lambda: refused.met and all(copy_in(api, name) for name in many))
        assert paced.pace.paused_seconds == 0.0
