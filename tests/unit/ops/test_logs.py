from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from tests.strangenames import HOSTILE, obeyed
from webhook.ops.log_format import LogFormat, LogLevel
from webhook.ops.logs import configure


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_json_line_has_a_constant_message_and_its_variables_as_keys(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.JSON, LogLevel.INFO)
    structlog.get_logger("webhook.x").info("copy applied", namespace="a", copy="b")
    (line,) = lines(capsys)
    line.pop("timestamp")
    assert line == {"event": "copy applied", "level": "info", "logger": "webhook.x", "namespace": "a", "copy": "b"}


def test_levels_below_the_threshold_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.JSON, LogLevel.WARNING)
    structlog.get_logger("webhook.x").info("one")
    logging.getLogger("other").info("two")
    logging.getLogger("other").warning("three")
    assert [line["event"] for line in lines(capsys)] == ["three"]


def test_what_others_log_goes_the_same_way_but_not_their_mechanics(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.JSON, LogLevel.DEBUG)
    for name in ("uvicorn.error", "urllib3.connectionpool", "kubernetes.client.rest"):
        logging.getLogger(name).debug("Authorization: Bearer marker")
    logging.getLogger("urllib3").warning("retrying %s", "now")
    assert [(line["logger"], line["event"]) for line in lines(capsys)] == [("urllib3", "retrying now")]


def test_lines_of_ours_and_of_others_come_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.JSON, LogLevel.INFO)
    structlog.get_logger("webhook.x").info("one")
    logging.getLogger("other").info("two")
    structlog.get_logger("webhook.x").warning("three")
    printed = lines(capsys)
    assert [line["event"] for line in printed] == ["one", "two", "three"]
    assert {frozenset(line) for line in printed} == {frozenset({"event", "level", "logger", "timestamp"})}


class Broken(io.StringIO):
    """A pipe whose reader has gone."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("log_format", LogFormat)
def test_a_log_that_nobody_reads_stops_nobody(monkeypatch: pytest.MonkeyPatch, log_format: LogFormat) -> None:
    monkeypatch.setattr("sys.stderr", broken := Broken())
    configure(log_format, LogLevel.INFO)
    structlog.get_logger("webhook.x").info("one")
    broken.close()
    structlog.get_logger("webhook.x").info("two")


@pytest.mark.parametrize("key", ["password", "auth", "bearer_token", "Secret-Data", "body", "key_pem"])
@pytest.mark.parametrize("log_format", LogFormat)
def test_sensitive_keys_never_show_their_value(
    capsys: pytest.CaptureFixture[str], key: str, log_format: LogFormat
) -> None:
    configure(log_format, LogLevel.INFO)
    structlog.get_logger("webhook.x").info("something", **{key: "marker", "metadata": "shown"})
    printed = capsys.readouterr().err
    assert "marker" not in printed
    assert "shown" in printed


@pytest.mark.parametrize("log_format", LogFormat)
def test_a_traceback_shows_no_local_variables(capsys: pytest.CaptureFixture[str], log_format: LogFormat) -> None:
    configure(log_format, LogLevel.INFO)
    try:
        fail(password="mark" + "er")
    except ValueError:
        structlog.get_logger("webhook.x").exception("bug")
    printed = capsys.readouterr().err
    assert "ValueError" in printed
    assert "marker" not in printed


def fail(password: str) -> None:
    raise ValueError(f"something of {len(password)} characters is wrong")


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("log_format", list(LogFormat))
def test_a_line_holds_nothing_that_a_terminal_obeys(
    log_format: LogFormat, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(log_format, LogLevel.INFO)
    log = structlog.get_logger("webhook.x")
    log.info("one", cause=text, names=[text], nested={text: (text,)})
    logging.getLogger("other").warning("two %s", text)
    printed = capsys.readouterr().err
    assert obeyed(printed) == set()
    assert len(printed.splitlines()) == 2


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_a_traceback_holds_nothing_that_a_terminal_obeys(
    log_format: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(log_format, LogLevel.INFO)
    try:
        int("\x1b[31m\u202e\r\x9b" * 2 + str(object()))
    except ValueError as cause:
        error = RuntimeError("\x1b[31m\u202e\r\x9b")
        error.__cause__ = cause
        structlog.get_logger("webhook.x").error("failed", exc_info=error)
        logging.getLogger("other").exception("failed", exc_info=error)
    printed = capsys.readouterr().err
    assert obeyed(printed) == set()
    assert printed.count("ValueError") >= 2
