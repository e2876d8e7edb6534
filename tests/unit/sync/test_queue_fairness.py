from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.clock import Clock
from tests.unit.sync.queues import take_all
from webhook.sync.queue import (
    HANG_SECONDS,
    MASS_HANG_SECONDS,
    MASS_MEMORY_SECONDS,
    SHARES,
    SLOW_MEMORY_SECONDS,
    STARVED_SECONDS,
    TROUBLED_FACTOR,
    Lane,
    WorkQueue,
)
from webhook.sync.write_gate import FIRST_LIMIT

WORKERS = 4


@pytest.fixture
def queue(clock: Clock) -> WorkQueue:
    queue = WorkQueue(clock=clock)
    queue.set_workers(WORKERS)
    return queue


def fail(queue: WorkQueue, *names: str) -> None:
    """Let names fail, each for a reason of its own."""
    queue.add(*names)
    for name in names:
        assert queue.get() == name
        queue.retry(name, at_least=3600.0)
        queue.done(name)


def serve(queue: WorkQueue, number: int) -> list[str]:
    """Take that many names one after the other, and give each back."""
    served = []
    for _ in range(number):
        name = queue.get()
        assert name is not None
        queue.done(name)
        served.append(name)
    return served


def take(queue: WorkQueue, number: int) -> list[str | None]:
    return [queue.get() for _ in range(number)]


def test_a_rotation_is_not_behind_every_opt_in(queue: WorkQueue) -> None:
    queue.add(*(f"opt-in-{number}" for number in range(100)))
    queue.add_all(["rotated"])

    assert "rotated" in take_all(queue)[: SHARES[Lane.CHANGED] + 1]


def test_the_rest_of_a_long_plan_comes_after_a_rotation_and_is_not_starved_by_it(queue: WorkQueue) -> None:
    queue.add("long", lane=Lane.REST)
    queue.add_all([f"rotated-{number}" for number in range(100)])

    order = take_all(queue)

    assert SHARES[Lane.ALL] <= order.index("long") <= SHARES[Lane.ALL] + 1


def test_names_that_failed_hold_at_most_half_of_the_workers(queue: WorkQueue) -> None:
    fail(queue, "a", "b", "c")
    queue.add("a", "b", "c")

    assert take(queue, WORKERS // 2) == ["a", "c"]
    queue.add("new")
    assert queue.get() == "new"
    queue.done("a")
    assert queue.get() == "b"


def leave_work_over(queue: WorkQueue, *names: str) -> None:
    """Let names take their first turn, and leave something for the next."""
    queue.add(*names)
    for name in names:
        assert queue.get() == name
        queue.add(name, lane=Lane.REST)
    for name in names:
        queue.done(name)


def test_work_that_is_left_over_holds_at_most_half_of_the_workers(queue: WorkQueue) -> None:
    leave_work_over(queue, "a", "b", "c")

    assert take(queue, WORKERS // 2) == ["a", "b"]
    queue.add("new")
    assert queue.get() == "new"
    queue.done("a")
    assert queue.get() == "c"


def test_a_name_with_work_left_over_does_not_overtake_by_changing(queue: WorkQueue) -> None:
    queue.add("busy")
    queue.get()
    queue.add("busy")
    queue.add("busy", lane=Lane.REST)
    queue.add("new")
    queue.done("busy")
    queue.add("busy")

    assert take_all(queue) == ["new", "busy"]
    # It has no work left now.
    queue.add("busy", "new")
    assert take_all(queue) == ["busy", "new"]


def test_a_rotation_reaches_a_name_with_work_left_over_in_its_own_lane(queue: WorkQueue) -> None:
    leave_work_over(queue, "busy")
    queue.add_all(["busy"])
    queue.add("busy")

    assert queue.get() == "busy"
    assert queue.state().waiting == 0


def test_work_left_over_that_waits_for_its_half_interrupts_no_other_turn(queue: WorkQueue, clock: Clock) -> None:
    leave_work_over(queue, "a", "b", "c")
    queue.add("slow")
    assert take(queue, WORKERS // 2 + 1) == ["slow", "a", "b"]
    clock.now += HANG_SECONDS

    assert [name for name, _ in queue.overdue()] == ["a"]


def test_a_retry_comes_after_a_rotation_until_it_has_waited_long(queue: WorkQueue, clock: Clock) -> None:
    fail(queue, "failed")
    queue.add("failed")
    queue.add_all([f"rotated-{number}" for number in range(40)])

    assert "failed" not in serve(queue, 20)
    clock.now += STARVED_SECONDS
    assert "failed" in serve(queue, SHARES[Lane.ALL] + 1)


def test_mass_work_leaves_workers_idle_that_the_api_server_could_not_keep_busy(clock: Clock) -> None:
    queue = WorkQueue(clock=clock)
    queue.set_workers(16)
    queue.add_all([f"rotated-{number}" for number in range(200)])
    taken = take(queue, FIRST_LIMIT)
    assert set(taken) <= {f"rotated-{number}" for number in range(200)}

    # Another one would wait; what has changed does not.
    queue.add("new")
    assert queue.get() == "new"

    # A write that hangs does not count.
    clock.now += 2 * MASS_HANG_SECONDS
    assert str(queue.get()).startswith("rotated-")


def test_a_failure_that_is_not_its_own_makes_no_name_wait(queue: WorkQueue, clock: Clock) -> None:
    queue.add("a", "b", "c")
    for name in take(queue, 3):
        assert name is not None
        queue.retry(name, own=False)
        queue.done(name)
    clock.now += 1.0

    # They fall due with jitter.
    assert sorted(map(str, take(queue, 3))) == ["a", "b", "c"]


def test_a_name_that_is_well_again_is_like_any_other(queue: WorkQueue) -> None:
    fail(queue, "a", "b", "c")
    for name in ("a", "b", "c"):
        queue.forget(name)
    queue.add("a", "b", "c")

    assert take(queue, 3) == ["a", "b", "c"]


def test_no_worker_is_taken_away_while_nobody_waits(queue: WorkQueue, clock: Clock) -> None:
    queue.add("a")
    queue.get()
    clock.now += 3600.0

    assert queue.overdue() == []


def test_a_write_that_hangs_gives_its_worker_to_names_that_wait(queue: WorkQueue, clock: Clock) -> None:
    queue.add("hanging")
    queue.get()
    queue.add("waiting")
    clock.now += HANG_SECONDS / 2
    assert queue.overdue() == []
    clock.now += HANG_SECONDS / 2

    assert [name for name, _ in queue.overdue()] == ["hanging"]


def test_a_process_that_waits_for_a_processor_has_more_patience(queue: WorkQueue, clock: Clock) -> None:
    queue.add("slow")
    assert queue.get() == "slow"
    queue.add("waiting")
    clock.now += HANG_SECONDS * 1.1
    assert queue.overdue(processor_delay=0.1) == []

    for _ in range(100):
        queue.overdue()
    assert [name for name, _ in queue.overdue()] == ["slow"]


def test_where_half_of_the_workers_hang_it_takes_less_patience(queue: WorkQueue, clock: Clock) -> None:
    queue.add("a", "b", "c", "d")
    take(queue, WORKERS)
    queue.add("waiting", "another")
    clock.now += MASS_HANG_SECONDS * 1.1

    # As many as there are names that wait.
    assert [name for name, _ in queue.overdue()] == ["a", "b"]


def write(queue: WorkQueue, clock: Clock, seconds: float) -> None:
    """Let a write of the next name succeed after so many seconds."""
    queue.add("well")
    name = queue.get()
    assert name is not None
    clock.now += seconds
    queue.progress(name)
    queue.done(name)


def hang(queue: WorkQueue, clock: Clock, seconds: float) -> int:
    """Let all workers hang for so long; return how many of them are taken away."""
    names = take(queue, WORKERS)
    clock.now += seconds
    overdue = queue.overdue()
    for name, _ in overdue:
        queue.interrupted(name)
    for taken in names:
        assert taken is not None
        queue.done(taken)
    return len(overdue)


def test_the_more_writes_were_interrupted_the_less_patience_there_is(queue: WorkQueue, clock: Clock) -> None:
    write(queue, clock, 0.5)  # a slow API server: the patience with half of the workers is 2 s
    queue.add_all([f"hangs-{number}" for number in range(10 * WORKERS)])

    assert hang(queue, clock, 1.9) == 0
    assert hang(queue, clock, 2.1) == WORKERS
    assert hang(queue, clock, 1.1) == WORKERS
    assert hang(queue, clock, 0.6) == WORKERS

    write(queue, clock, 0.5)
    assert hang(queue, clock, 1.9) == 0


def test_any_number_of_interruptions_is_no_error(queue: WorkQueue, clock: Clock) -> None:
    queue.set_workers(1)
    queue.add("hangs")
    assert queue.get() == "hangs"
    queue.add("waiting")
    clock.now += HANG_SECONDS
    for number in range(3000):
        queue.interrupted(f"hung-{number}")

    assert [name for name, _ in queue.overdue()] == ["hangs"]


def test_a_name_that_is_due_while_all_workers_hang_gets_one(queue: WorkQueue, clock: Clock) -> None:
    queue.add("a", "b", "c", "d")
    take(queue, WORKERS)
    queue.add_later("due", HANG_SECONDS)
    clock.now += HANG_SECONDS
    assert queue.overdue() == []
    clock.now += HANG_SECONDS

    assert [name for name, _ in queue.overdue()] == ["a"]


def test_interruptions_are_forgotten(queue: WorkQueue, clock: Clock) -> None:
    write(queue, clock, 0.5)
    queue.add_all([f"hangs-{number}" for number in range(10 * WORKERS)])
    assert hang(queue, clock, 2.1) == WORKERS
    clock.now += MASS_MEMORY_SECONDS

    assert hang(queue, clock, 1.1) == 0


def test_a_name_that_makes_progress_keeps_its_worker(queue: WorkQueue, clock: Clock) -> None:
    queue.add("busy")
    queue.get()
    queue.add("waiting")
    for _ in range(100):
        clock.now += HANG_SECONDS / 2
        queue.progress("busy")

    assert queue.overdue() == []


def test_what_all_writes_take_is_not_taken_for_hanging(queue: WorkQueue, clock: Clock) -> None:
    queue.add("a", "b")
    queue.get()
    for _ in range(10):
        clock.now += 2.0
        queue.progress("a")
    clock.now += 4.0

    assert queue.overdue() == []


def test_a_few_writes_that_hang_do_not_make_the_patience_longer(queue: WorkQueue, clock: Clock) -> None:
    queue.add("quick")
    queue.get()
    for _ in range(40):
        clock.now += 0.01
        queue.progress("quick")
    for number in range(16):
        queue.add(f"hung-{number}")
        queue.get()
        clock.now += 10.0
        queue.progress(f"hung-{number}")
        queue.done(f"hung-{number}")
    queue.restart("quick")
    queue.add("waiting")
    clock.now += HANG_SECONDS

    assert [name for name, _ in queue.overdue()] == ["quick"]


def test_a_name_that_hung_is_troubled_until_a_write_succeeds_in_time(queue: WorkQueue, clock: Clock) -> None:
    queue.add("slow")
    queue.get()
    queue.interrupted("slow")
    queue.done("slow")
    queue.add("slow")
    queue.add_all(["rotated"])
    assert take(queue, 2) == ["rotated", "slow"]
    # It is patient now: it has one of the places that troubled names may hold.
    queue.add("waiting")
    clock.now += 3600.0
    assert "slow" not in dict(queue.overdue())

    queue.restart("slow")
    queue.progress("slow")
    queue.done("slow")
    queue.done("rotated")
    queue.get()
    queue.add("slow")
    queue.add_all(["rotated"])
    assert take(queue, 2) == ["slow", "rotated"]


def test_a_name_that_hung_long_ago_gets_another_chance(queue: WorkQueue, clock: Clock) -> None:
    queue.add("slow")
    queue.get()
    queue.interrupted("slow")
    queue.done("slow")
    clock.now += SLOW_MEMORY_SECONDS
    queue.add("slow")
    queue.add_all(["rotated"])

    assert take(queue, 2) == ["slow", "rotated"]


def test_names_that_hung_long_ago_and_never_came_back_are_forgotten(queue: WorkQueue, clock: Clock) -> None:
    for name in ("gone", "back", "gone too", "back"):
        queue.interrupted(name)
        clock.now += SLOW_MEMORY_SECONDS / 4
    queue.interrupted("new")

    assert list(queue._slow) == ["gone too", "back", "new"]
    assert queue._hangs == {"back": 2, "gone too": 1, "new": 1}


def test_a_name_that_was_added_meanwhile_comes_back_in_the_fastest_lane_it_was_added_to(queue: WorkQueue) -> None:
    queue.add("a")
    queue.get()
    queue.add("a", lane=Lane.ALL)
    assert queue.needs_worker("a")
    queue.add("a")
    queue.done("a")
    queue.add_all(["rotated"])

    assert take(queue, 2) == ["a", "rotated"]


@pytest.mark.parametrize(
    ("lane", "needed"),
    [(Lane.URGENT, True), (Lane.CHANGED, True), (Lane.ALL, False), (Lane.REST, False), (Lane.RETRY, False)],
)
def test_a_worker_is_needed_where_a_name_that_has_changed_waits(queue: WorkQueue, lane: Lane, needed: bool) -> None:
    queue.add("a")
    queue.get()
    assert not queue.needs_worker("a")
    queue.add("b", lane=lane)
    assert queue.needs_worker("a") == needed


@given(
    lanes=st.lists(st.sampled_from([Lane.URGENT, Lane.CHANGED, Lane.ALL, Lane.REST]), min_size=1, max_size=80),
)
def test_each_lane_has_its_share_however_full_the_others_are(lanes: list[Lane]) -> None:
    queue = WorkQueue(clock=Clock())
    for number, lane in enumerate(lanes):
        queue.add(f"{number}", lane=lane)

    order = take_all(queue)

    assert sorted(order) == sorted(map(str, range(len(lanes))))
    rounds = sum(SHARES)
    for lane in set(lanes):
        first = min(order.index(f"{number}") for number, each in enumerate(lanes) if each is lane)
        assert first < rounds


def test_a_name_interrupted_by_chance_does_not_wait_behind_a_hundred_that_hang(queue: WorkQueue) -> None:
    hanging = [f"hangs-{number:03}" for number in range(100)]
    for name in [*hanging, "healthy"]:
        queue.add(name)
        queue.get()
        queue.interrupted(name)
        queue.done(name)
    queue.add(*hanging)
    queue.add("healthy")

    order = take(queue, WORKERS // 2)
    for _ in range(8):
        queue.done(order[-1] or "")
        order += take(queue, 1)

    assert "healthy" in order[:2]
    assert order[::2] == hanging[: len(order[::2])], "the oldest have every second turn"


def hang_again(queue: WorkQueue, name: str, times: int) -> None:
    """Have the writes of a name hang so often."""
    for _ in range(times):
        queue.add(name)
        assert take(queue, 1) == [name]
        queue.interrupted(name)
        queue.done(name)


def test_a_name_that_hung_by_chance_goes_before_those_that_hang_again_and_again(queue: WorkQueue) -> None:
    hanging = [f"hangs-{number:03}" for number in range(WORKERS)]
    for name in hanging:
        hang_again(queue, name, 2)
    hang_again(queue, "healthy", 1)
    queue.add(*hanging)
    queue.add("healthy")

    assert "healthy" in take(queue, 2)


def test_names_that_hang_hold_at_most_half_of_the_workers_however_often_they_hung(queue: WorkQueue) -> None:
    hanging = [f"hangs-{number}" for number in range(WORKERS)]
    for number, name in enumerate(hanging):
        hang_again(queue, name, 1 + number % 2)
    queue.add(*hanging)

    assert set(take(queue, WORKERS // 2)) <= set(hanging)
    queue.add("new")
    assert queue.get() == "new"


def test_a_troubled_name_gives_its_worker_to_another_one_and_is_more_patient_each_time(
    queue: WorkQueue, clock: Clock
) -> None:
    for times in (1, 2):
        hang_again(queue, "hanging", 1)
        queue.add("hanging")
        assert take(queue, 1) == ["hanging"]
        clock.now += 60.0
        assert queue.overdue() == [], "no other troubled name waits"
        queue.restart("hanging")
        fail(queue, "failed")
        queue.add("failed")
        clock.now += HANG_SECONDS * TROUBLED_FACTOR**times * 0.9
        assert queue.overdue() == []
        clock.now += HANG_SECONDS * TROUBLED_FACTOR**times * 0.2
        assert [name for name, _ in queue.overdue()] == ["hanging"]
        queue.done("hanging")
        assert take(queue, 1) == ["failed"]
        queue.forget("failed")
        queue.done("failed")
