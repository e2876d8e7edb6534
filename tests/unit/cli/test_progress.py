from __future__ import annotations

import io
import re

import pytest

from webhook.cli.progress import ObjectsRead


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)


def shown(file: io.StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())


def test_the_bar_comes_after_a_second_and_leaves_nothing_behind() -> None:
    now = [0.0]
    file = Terminal()
    counted = ObjectsRead(file, lambda: now[0])
    counted.seen(500, 9500)
    assert file.getvalue() == ""
    now[0] = 1.0
    counted.seen(500, 9000)
    counted.seen(4000, 5000)
    counted.close()
    assert "5,000 of 10,000 objects read ━━━━" in shown(file)
    assert file.getvalue().endswith("\x1b[2K")


def test_work_that_ends_sooner_shows_nothing() -> None:
    file = Terminal()
    counted = ObjectsRead(file, lambda: 0.0)
    counted.seen(500, 0)
    counted.close()
    assert file.getvalue() == ""


def test_on_a_narrow_terminal_each_line_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    now = [2.0]
    file = Terminal()
    counted = ObjectsRead(file, lambda: now[0])
    now[0] = 4.0
    counted.seen(1, 1)
    counted.close()
    assert "1 of 2" in shown(file)
    assert all(len(line) <= 20 for line in re.split(r"[\r\n]", shown(file)))
