from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.unit.clock import Clock
from tests.unit.polling import until
from tests.unit.sync.queues import is_idle, take_all
from webhook.sync.queue import RETRY_BASE, RETRY_CAP, Lane, WorkQueue


@pytest.fixture
def queue(clock: Clock) -> WorkQueue:
    return WorkQueue(clock=clock)


def test_a_backoff_grows_no_further_than_it_is_told(queue: WorkQueue) -> None:
    pauses = [queue.retry("a", cap=2.0) for _ in range(20)]

    assert max(pauses) <= 2.0
    assert min(pauses[5:]) >= 1.0


def test_names_come_out_in_the_order_in_which_they_went_in_each_once(queue: WorkQueue) -> None:
    queue.add("b", "a", "b")
    queue.add_all(["c", "a"])

    assert take_all(queue) == ["b", "a", "c"]


def test_a_name_added_while_it_is_handled_waits_until_it_is_given_back(queue: WorkQueue) -> None:
    queue.add("a")
    assert queue.get() == "a"
    queue.add("a", "a")
    assert queue.state().waiting == 0

    queue.done("a")

    assert take_all(queue) == ["a"]
    assert is_idle(queue)


def test_a_name_that_is_planned_again_by_its_worker_does_not_wait_for_what_that_plan_sees(queue: WorkQueue) -> None:
    queue.add("a")
    assert queue.get() == "a"
    queue.add("a")
    queue.absorb("a")
    queue.done("a")
    assert is_idle(queue)
    assert queue.state().added == 1

    queue.add("a")
    assert queue.get() == "a"
    queue.absorb("a")
    queue.add("a")
    queue.done("a")
    assert take_all(queue) == ["a"]


def test_a_name_that_failed_comes_back_after_its_pause(queue: WorkQueue, clock: Clock) -> None:
    pause = queue.retry("a")
    assert RETRY_BASE / 2 <= pause <= RETRY_BASE

    clock.now += pause
    assert queue.get() == "a"


def test_the_pauses_of_a_name_grow_up_to_a_bound(queue: WorkQueue) -> None:
    pauses = [queue.retry("a") for _ in range(2000)]

    assert pauses[5] > pauses[0] * 4
    assert max(pauses) <= RETRY_CAP


def test_a_name_backs_off_alone(queue: WorkQueue) -> None:
    for _ in range(10):
        queue.retry("a")

    assert queue.retry("b") <= RETRY_BASE


def test_a_name_that_is_well_again_begins_anew(queue: WorkQueue) -> None:
    for _ in range(10):
        queue.retry("a")
    queue.forget("a")

    assert queue.retry("a") <= RETRY_BASE


def test_a_pause_is_no_shorter_than_the_server_asked_for(queue: WorkQueue) -> None:
    assert queue.retry("a", at_least=7.0) == 7.0


def test_of_two_retries_the_earlier_counts_and_only_once(queue: WorkQueue, clock: Clock) -> None:
    queue.retry("a", at_least=5.0)
    queue.retry("a", at_least=1.0)
    queue.retry("a", at_least=9.0)

    clock.now += 1.0
    assert queue.get() == "a"
    queue.done("a")
    clock.now += 100.0
    queue.add("b")
    assert take_all(queue) == ["b"]


def test_a_change_does_not_wait_for_the_backoff(queue: WorkQueue) -> None:
    queue.retry("a", at_least=60.0)
    queue.add("a")

    assert take_all(queue) == ["a"]


def test_a_retry_that_is_due_while_its_name_is_handled_waits_like_an_addition(queue: WorkQueue, clock: Clock) -> None:
    queue.add("a")
    queue.get()
    clock.now += queue.retry("a")
    queue.add("b")
    assert queue.get() == "b"
    assert queue.state().waiting == 0

    queue.done("a")

    assert take_all(queue) == ["a"]


def test_a_waiting_worker_is_woken_by_a_name_and_by_the_end() -> None:
    queue = WorkQueue()
    taken: list[str | None] = []
    worker = threading.Thread(target=lambda: taken.extend([queue.get(), queue.get()]))
    worker.start()

    queue.add("a")
    until(lambda: taken or not queue.state().waiting)
    queue.close()
    worker.join(5.0)

    assert taken == ["a", None]


def test_a_closed_queue_hands_out_nothing(queue: WorkQueue) -> None:
    queue.add("a")
    queue.close()

    assert queue.get() is None


def test_names_that_fall_due_together_do_not_wait_for_one_worker() -> None:
    queue = WorkQueue()
    both = threading.Barrier(2)
    met: list[str | None] = []

    def work() -> None:
        name = queue.get()
        # Each waits for the other: with one worker alone neither would go on.
        both.wait(30.0)
        met.append(name)

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    queue.retry("a")
    queue.retry("b")
    for worker in workers:
        worker.join(31.0)

    assert sorted(map(str, met)) == ["a", "b"]


def stress(queue: WorkQueue, workers: int, names: int, handle: Callable[[str], None]) -> None:
    def work() -> None:
        while (name := queue.get()) is not None:
            handle(name)
            queue.done(name)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for round_ in range(50):
        queue.add(*(f"n{(round_ * 7 + number) % names}" for number in range(names)))
    until(lambda: is_idle(queue))
    queue.close()
    for thread in threads:
        thread.join(5.0)


def test_under_stress_no_name_is_with_two_workers_and_no_change_is_lost() -> None:
    queue = WorkQueue()
    lock = threading.Lock()
    busy: Counter[str] = Counter()
    overlaps: list[str] = []
    handled: Counter[str] = Counter()

    def handle(name: str) -> None:
        with lock:
            busy[name] += 1
            if busy[name] > 1:
                overlaps.append(name)
            again = handled[name] % 3 == 0
            handled[name] += 1
        if again:
            queue.add(name)
        time.sleep(0)  # let another worker in
        with lock:
            busy[name] -= 1

    stress(queue, workers=8, names=20, handle=handle)

    assert overlaps == []
    assert set(handled) == {f"n{number}" for number in range(20)}


class QueueMachine(RuleBasedStateMachine):
    """Any sequence of calls: what is added is handed out afterwards, and never to two workers at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queue = WorkQueue(clock=self.clock)
        self.wanted: set[str] = set()  # changed since it was last handed out
        self.held: set[str] = set()

    @rule(name=st.sampled_from("abc"), lane=st.sampled_from(Lane))
    def add(self, name: str, lane: Lane) -> None:
        self.queue.add(name, lane=lane)
        self.wanted.add(name)

    @rule(name=st.sampled_from("abc"), seconds=st.sampled_from([0.0, 5.0]))
    def add_later(self, name: str, seconds: float) -> None:
        self.queue.add_later(name, seconds)
        self.clock.now += seconds
        self.wanted.add(name)

    @rule(name=st.sampled_from("abc"), pause=st.sampled_from([0.0, 5.0]))
    def retry(self, name: str, pause: float) -> None:
        self.clock.now += self.queue.retry(name, pause)
        self.wanted.add(name)

    @precondition(lambda self: self.wanted - self.held)
    @rule()
    def get(self) -> None:
        name = self.queue.get()
        assert name in self.wanted - self.held
        self.wanted.discard(name)
        self.held.add(name)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.held)))
        self.held.discard(name)
        self.queue.done(name)

    @invariant()
    def what_is_wanted_or_held_is_known_and_nothing_else(self) -> None:
        assert set(self.queue._due_since) | set(self.queue._due) >= self.wanted | self.held
        assert set(self.queue._due_since) <= self.wanted | self.held | set(self.queue._failures)

    @invariant()
    def nothing_waits_twice(self) -> None:
        waiting = [name for lane in self.queue._lanes for name in lane]
        assert len(waiting) == len(set(waiting))

    @invariant()
    def nothing_waits_that_is_held(self) -> None:
        assert not self.held & {name for lane in self.queue._lanes for name in lane}


TestAnySequenceOfCalls = QueueMachine.TestCase
TestAnySequenceOfCalls.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


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
    assert (queue.state().waiting, oldest(queue), queue.state().failing) == (0, None, 0)

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
