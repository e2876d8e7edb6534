from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.unit.clock import Clock
from tests.unit.polling import until
from webhook.ops.threads import REPORT_SECONDS, Threads


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    monkeypatch.setattr("webhook.ops.threads.RESTART_BASE", 0.01)
    stopping = threading.Event()
    yield stopping
    stopping.set()


@pytest.mark.parametrize("death", [RuntimeError("a defect"), SystemExit(), None])
def test_a_thread_that_dies_is_reported_and_started_again(
    stopping: threading.Event, death: BaseException | None
) -> None:
    clock = Clock()
    threads = Threads(stopping, clock)
    runs: list[int] = []

    def work() -> None:
        runs.append(1)
        if len(runs) > 1:
            stopping.wait()
        elif death is not None:
            raise death

    threads.start(work, "worker 0")

    until(lambda: len(runs) == 2)
    problem = threads.problem()
    assert problem is not None
    assert "worker 0" in problem
    clock.now += REPORT_SECONDS
    until(lambda: threads.problem() is None)


def test_a_thread_that_waits_to_be_started_again_is_reported_for_as_long(
    stopping: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.ops.threads.RESTART_BASE", 60.0)
    clock = Clock()
    threads = Threads(stopping, clock)

    threads.start(lambda: None, "full pass")

    until(lambda: threads.problem() is not None)
    clock.now += 2 * REPORT_SECONDS
    assert threads.problem() == "died: full pass (ended by itself)"


def test_a_thread_that_ends_with_the_process_is_no_problem(stopping: threading.Event) -> None:
    threads = Threads(stopping)

    def work() -> None:
        stopping.wait()

    threads.start(work, "worker 0")
    stopping.set()
    threads.join(5.0)

    assert threads.problem() is None
