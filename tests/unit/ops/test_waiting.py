from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from webhook.ops.health import HealthCheck
from webhook.ops.waiting import LOG_AFTER_SECONDS, MAX_NAMED, REMIND_SECONDS, Waiting

SECRET = "Secret release/harbor"  # noqa: S105 - its name


class Situation:
    """A clock, what is awaited, and the report of it."""

    def __init__(self, lines: list[MutableMapping[str, Any]]) -> None:
        self.now = 1000.0
        self.lines = lines
        self.sources: list[str] = []
        self.check = HealthCheck("sources")
        self._waiting = Waiting(lambda: self.now)
        self._waiting.follow("sources", lambda: self.sources, self.check)
        self._waiting.follow("rights", list)

    def after(self, seconds: float) -> list[MutableMapping[str, Any]]:
        """Look twice a second for so long, and return the lines of that time."""
        before = len(self.lines)
        for _ in range(int(seconds * 2)):
            self.now += 0.5
            self._waiting.poll()
        return self.lines[before:]


@pytest.fixture
def situation() -> Iterator[Situation]:
    with capture_logs() as lines:
        yield Situation(lines)


def test_a_usual_start_logs_nothing(situation: Situation) -> None:
    situation.sources = [SECRET]
    assert situation.after(LOG_AFTER_SECONDS) == []
    assert situation.check.line == f"[+]sources ok: {SECRET}"
    situation.sources = []
    assert situation.after(2 * REMIND_SECONDS) == []
    assert situation.check.line == "[+]sources ok"


def test_what_is_awaited_is_named_at_once_and_then_each_minute(situation: Situation) -> None:
    situation.sources = [SECRET]
    (line,) = situation.after(LOG_AFTER_SECONDS + 1)
    assert line == {"event": "waiting", "log_level": "warning", "sources": SECRET}
    assert len(situation.after(3 * REMIND_SECONDS)) == 3
    situation.sources = [SECRET, "Secret release/quay"]
    (line,) = situation.after(LOG_AFTER_SECONDS + 1)
    assert line["sources"] == f"{SECRET}; Secret release/quay"
    situation.sources = []
    assert [line["event"] for line in situation.after(2 * REMIND_SECONDS)] == ["waiting is over"]


def test_what_a_line_has_named_is_not_named_again_when_it_lasts(situation: Situation) -> None:
    situation.sources = [SECRET]
    situation.after(LOG_AFTER_SECONDS)
    situation.sources = [SECRET, "Secret release/quay"]
    (line,) = situation.after(REMIND_SECONDS)
    assert line["sources"] == f"{SECRET}; Secret release/quay"


def test_what_comes_back_is_named_again(situation: Situation) -> None:
    situation.sources = [SECRET]
    assert len(situation.after(LOG_AFTER_SECONDS + 1)) == 1
    situation.sources = ["Secret release/quay"]
    assert len(situation.after(LOG_AFTER_SECONDS + 1)) == 1
    situation.sources = [SECRET]
    assert len(situation.after(LOG_AFTER_SECONDS + 1)) == 1


def test_of_many_a_few_are_named_and_all_are_counted(situation: Situation) -> None:
    situation.sources = [str(number) for number in range(MAX_NAMED + 5)]
    (line,) = situation.after(LOG_AFTER_SECONDS + 1)
    assert line["sources"] == "; ".join([*map(str, range(MAX_NAMED)), "and 5 more"])
