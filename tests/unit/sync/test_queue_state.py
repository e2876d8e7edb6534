from __future__ import annotations

import pytest

from tests.unit.sync.clock import Clock
from tests.unit.sync.queues import take_all
from webhook.sync.queue import RETRY_BASE, Lane, WorkQueue


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue:
    return WorkQueue(clock=clock)


def oldest(queue: WorkQueue) -> tuple[str, float] | None:
    return queue.state().oldest


def test_the_oldest_is_what_has_been_wanted_for_longest_wherever_it_is(queue: WorkQueue, clock: Clock) -> None:
    assert oldest(queue) is None
    queue.add("a")
    clock.now += 3.0
    queue.add("a", "b")
    assert oldest(queue) == ("a", 3.0)

    assert queue.get() == "a"
    queue.retry("a", at_least=60.0)
    queue.done("a")
    clock.now += 1.0
    assert oldest(queue) == ("a", 4.0)

    assert queue.get() == "b"
    clock.now += 1.0
    assert oldest(queue) == ("a", 5.0)
    queue.forget("a")
    queue.add("a")
    queue.done("b")
    assert queue.get() == "a"
    queue.done("a")
    assert oldest(queue) is None


def test_what_is_wanted_again_meanwhile_is_as_old_as_that(queue: WorkQueue, clock: Clock) -> None:
    queue.add("a")
    queue.get()
    clock.now += 5.0
    queue.add("a")
    clock.now += 2.0
    queue.done("a")

    assert oldest(queue) == ("a", 2.0)


def test_a_change_goes_before_a_look_at_everything(queue: WorkQueue) -> None:
    queue.add_all(["a", "b", "c"])
    queue.add("x", "c")
    queue.add("y", "b", lane=Lane.URGENT)

    assert take_all(queue) == ["y", "b", "x", "c", "a"]


def test_what_is_urgent_stays_so(queue: WorkQueue) -> None:
    queue.add("a", lane=Lane.URGENT)
    queue.add("b")
    queue.add_all(["a", "b"])
    queue.add("a")

    assert take_all(queue) == ["a", "b"]


def test_a_name_that_is_to_be_looked_at_later_is_no_failure(queue: WorkQueue, clock: Clock) -> None:
    queue.add_later("a", 60.0)
    assert (len(queue), oldest(queue), queue.state().failing) == (0, None, 0)

    clock.now += 60.0
    assert queue.get() == "a"
    assert oldest(queue) == ("a", 0.0)
    assert queue.retry("a") <= RETRY_BASE


def test_the_earliest_of_several_later_looks_counts(queue: WorkQueue, clock: Clock) -> None:
    queue.add_later("a", 60.0)
    queue.add_later("a", 2.0)
    queue.add_later("a", 30.0)

    clock.now += 2.0
    assert queue.get() == "a"
    queue.done("a")
    clock.now += 100.0
    queue.add("b")
    assert take_all(queue) == ["b"]


def test_everything_that_happens_is_counted(clock: Clock) -> None:
    waited: list[float] = []
    worked: list[float] = []
    queue = WorkQueue(waited=waited.append, worked=worked.append, clock=clock)
    queue.add("a", "a", "b")
    clock.now += 2.0
    assert [queue.get(), queue.get()] == ["a", "b"]
    queue.add("a", "a")
    clock.now += 3.0
    state = queue.state()
    assert (state.waiting, state.working, state.unfinished, state.longest) == (0, 2, 6.0, 3.0)

    queue.done("a")
    queue.retry("b")
    clock.now += 1.0
    queue.done("b")

    state = queue.state()
    assert (state.waiting, state.working, state.failing, state.added, state.retried) == (1, 0, 1, 3, 1)
    assert (waited, worked) == ([2.0, 2.0], [3.0, 4.0])
