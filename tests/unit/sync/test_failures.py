from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tests.unit.clock import Clock
from tests.unit.polling import until
from webhook.errors import AdmissionFailed, Forbidden
from webhook.sync.failures import PROBE_SECONDS, Breaker, FailureGroups


@pytest.fixture
def breaker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Breaker]:
    monkeypatch.setattr("webhook.sync.failures.BASE_SECONDS", 0.02)
    breaker = Breaker()
    yield breaker
    breaker.close()


class Workers:
    """Several workers that ask to pass again and again, and fail until told otherwise."""

    def __init__(self, breaker: Breaker, number: int = 8) -> None:
        self._breaker = breaker
        self.fails = True
        self.attempts: list[tuple[float, bool]] = []
        self.together = self.most_together = 0
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(number)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while not self._done.is_set():
            with self._breaker.attempt() as attempt:
                with self._lock:
                    self.attempts.append((time.monotonic(), attempt.is_probe))
                    self.together += 1
                    self.most_together = max(self.most_together, self.together)
                time.sleep(0.001)  # a request takes as long as it takes
                with self._lock:
                    self.together -= 1
                (attempt.failed if self.fails else attempt.succeeded)()

    def stop(self) -> None:
        self._done.set()
        self._breaker.close()
        for thread in self._threads:
            thread.join(5.0)


def trip(breaker: Breaker) -> None:
    with breaker.attempt() as attempt:
        attempt.failed()


def test_nobody_waits_while_all_is_well(breaker: Breaker) -> None:
    for _ in range(3):
        with breaker.attempt() as attempt:
            assert not attempt.is_probe
            attempt.succeeded()


def test_after_a_failure_one_at_a_time_tries_and_less_and_less_often(breaker: Breaker) -> None:
    trip(breaker)
    workers = Workers(breaker)
    until(lambda: len(workers.attempts) >= 5)
    together, attempts = workers.most_together, workers.attempts[:5]
    workers.stop()

    assert together == 1
    assert all(tries for _, tries in attempts)
    # 0.02 s doubled four times, less up to a half of it.
    assert attempts[4][0] - attempts[3][0] >= 0.16


def test_with_the_first_success_all_go_on(breaker: Breaker) -> None:
    trip(breaker)
    workers = Workers(breaker)
    until(lambda: workers.attempts)
    assert workers.most_together == 1

    workers.fails = False

    until(lambda: workers.most_together > 1)
    workers.stop()


def test_many_who_fail_at_once_are_one_failure(breaker: Breaker) -> None:
    with breaker.attempt() as one, breaker.attempt() as two, breaker.attempt() as three:
        for attempt in (one, two, three):
            attempt.failed()

    assert breaker._failures == 1
    with breaker.attempt() as attempt:
        assert attempt.is_probe
        attempt.succeeded()


def test_one_who_tries_and_finds_nothing_to_ask_lets_the_next_one_try(breaker: Breaker) -> None:
    trip(breaker)
    with breaker.attempt() as attempt:
        assert attempt.is_probe

    with breaker.attempt() as attempt:
        assert attempt.is_probe


def test_one_who_tries_and_breaks_lets_the_next_one_try(breaker: Breaker) -> None:
    trip(breaker)
    with pytest.raises(RuntimeError), breaker.attempt():
        raise RuntimeError

    with breaker.attempt() as attempt:
        assert attempt.is_probe


def test_nobody_waits_at_the_end(breaker: Breaker) -> None:
    trip(breaker)
    with breaker.attempt() as trying:
        assert trying.is_probe
        waiting = threading.Thread(target=lambda: breaker.attempt().__enter__())
        waiting.start()

        breaker.close()

        waiting.join(5.0)
        assert not waiting.is_alive()


RIGHT = Forbidden("no", status=403, reason="Forbidden")
POLICY = AdmissionFailed("no", status=422, denied_by="ValidatingAdmissionPolicy 'one'")
OTHER_POLICY = AdmissionFailed("no", status=422, denied_by="ValidatingAdmissionPolicy 'two'")


def test_one_of_those_that_fail_in_the_same_way_is_tried_for_all() -> None:
    groups = FailureGroups()

    assert groups.failed("a", POLICY)
    assert not groups.failed("b", POLICY)
    assert groups.failed("a", POLICY)
    assert groups.failed("c", OTHER_POLICY)
    assert groups.failed("d", RIGHT)


def test_the_first_success_brings_forward_those_that_failed_in_the_same_way() -> None:
    groups = FailureGroups()
    for name in ("a", "b", "c"):
        groups.failed(name, POLICY)
    groups.failed("d", OTHER_POLICY)

    assert groups.succeeded("b") == ["a", "c"]
    assert groups.succeeded("a") == []
    assert groups.succeeded("d") == []


def test_a_name_is_in_the_group_of_its_last_failure() -> None:
    groups = FailureGroups()
    for name in ("a", "b"):
        groups.failed(name, POLICY)
    groups.failed("a", RIGHT)

    assert groups.succeeded("a") == []
    assert groups.failed("b", POLICY)


def test_when_the_one_that_is_tried_leaves_another_takes_its_place() -> None:
    tried: list[str] = []
    groups = FailureGroups(probe=tried.append)
    for name in ("a", "b"):
        groups.failed(name, POLICY)

    for name in ("a", "b", "never seen"):
        groups.forget(name)

    assert tried == ["b"]


def test_when_the_one_that_is_tried_fails_in_another_way_another_takes_its_place() -> None:
    tried: list[str] = []
    groups = FailureGroups(probe=tried.append)
    for name in ("a", "b"):
        groups.failed(name, POLICY)

    groups.failed("a", RIGHT)

    assert tried == ["b"]
    assert groups.failed("b", POLICY)


def test_one_that_fails_and_succeeds_in_turn_does_not_have_all_others_tried_each_time() -> None:
    clock = Clock()
    tried: list[str] = []
    groups = FailureGroups(clock, tried.append)
    for name in ("a", "b"):
        groups.failed(name, POLICY)
    assert groups.succeeded("a") == ["b"]
    for name in ("a", "b"):
        groups.failed(name, POLICY)

    assert groups.succeeded("a") == []
    assert tried == ["b"]

    groups.failed("a", POLICY)
    clock.now += PROBE_SECONDS
    assert groups.succeeded("a") == ["b"]
