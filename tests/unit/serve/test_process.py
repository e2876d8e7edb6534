from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from webhook.ops.log_format import LogFormat, LogLevel
from webhook.ops.logs import configure
from webhook.rules.configuration import Reason
from webhook.serve.handler import ReviewReply
from webhook.serve.process import LINES_BURST, LINES_PER_SECOND, DecisionLog

PATCHED = ReviewReply(b"", "pods", "CREATE", Reason.INJECTED, ("registry",), "u1", "team-a", "web")
UNCHANGED = ReviewReply(b"", "pods", "CREATE", Reason.ALREADY_PRESENT, (), "u2", "team-a", "web")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    for line in found:
        for varying in ("timestamp", "logger"):
            del line[varying]
    return found


def decisions(level: LogLevel, now: list[float]) -> DecisionLog:
    configure(LogFormat.JSON, level)
    return DecisionLog(lambda: now[0])


def test_the_line_of_a_patch_says_whose_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    decisions(LogLevel.INFO, [0.0]).answered(PATCHED)
    assert lines(capsys) == [
        {
            "event": "references added",
            "level": "info",
            "names": ["registry"],
            "namespace": "team-a",
            "object": "web",
            "operation": "CREATE",
            "reason": "injected",
            "resource": "pods",
            "suppressed": 0,
            "uid": "u1",
        }
    ]


def test_at_info_what_is_left_alone_has_no_line_and_at_debug_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    decisions(LogLevel.INFO, [0.0]).answered(UNCHANGED)
    assert lines(capsys) == []
    decisions(LogLevel.DEBUG, [0.0]).answered(UNCHANGED)
    (line,) = lines(capsys)
    assert (line["level"], line["uid"], line["reason"]) == ("debug", "u2", "already-present")


@pytest.mark.parametrize(
    ("name", "generate_name", "shown"),
    [("web", "", "web"), ("web", "web-", "web"), ("", "web-7d5c9c7b9f-", "web-7d5c9c7b9f-*"), ("", "", "")],
)
def test_a_name_that_is_still_to_be_generated_is_shown_by_its_beginning(
    capsys: pytest.CaptureFixture[str], name: str, generate_name: str, shown: str
) -> None:
    answer = msgspec.structs.replace(PATCHED, name=name, generate_name=generate_name)
    decisions(LogLevel.INFO, [0.0]).answered(answer)
    assert [line["object"] for line in lines(capsys)] == [shown]


def test_lines_of_patches_are_limited_and_those_left_out_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    log = decisions(LogLevel.INFO, now)
    for _ in range(LINES_BURST + 7):
        log.answered(PATCHED)
    assert len(lines(capsys)) == LINES_BURST
    now[0] += 1
    for _ in range(LINES_PER_SECOND + 1):
        log.answered(PATCHED)
    assert [line["suppressed"] for line in lines(capsys)] == [7, *[0] * (LINES_PER_SECOND - 1)]


def test_at_debug_each_decision_has_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    log = decisions(LogLevel.DEBUG, [0.0])
    for _ in range(LINES_BURST + 7):
        log.answered(PATCHED)
    found = lines(capsys)
    assert len(found) == LINES_BURST + 7
    assert [line["level"] for line in found].count("debug") == 7


def test_above_info_there_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    decisions(LogLevel.WARNING, [0.0]).answered(PATCHED)
    assert lines(capsys) == []
