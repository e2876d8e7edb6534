from __future__ import annotations

import io

import pytest

from webhook.cli.progress import Progress


def test_the_bar_comes_after_a_second_and_leaves_nothing_behind() -> None:
    now = [0.0]
    file = io.StringIO()
    bar = Progress(file, lambda: now[0])
    bar.seen(500, 9500)
    bar.close()
    assert file.getvalue() == ""

    now[0] = 1.0
    bar.seen(500, 9000)
    now[0] = 1.05
    bar.seen(500, 8500)  # too soon to draw again
    now[0] = 2.0
    bar.seen(3500, 5000)
    bar.close()

    shown = file.getvalue().split("\r")
    assert [text.removesuffix("\x1b[K") for text in shown if "objects" in text] == [
        f"[{'#' * 4}{'.' * 36}] 1,000 of 10,000 objects read",
        f"[{'#' * 20}{'.' * 20}] 5,000 of 10,000 objects read",
    ]
    assert shown[-1] == "\x1b[K"


def test_on_a_narrow_terminal_the_numbers_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    now = [2.0]
    file = io.StringIO()
    bar = Progress(file, lambda: now[0])
    now[0] = 4.0
    bar.seen(1, 1)
    assert file.getvalue() == "\r1 of 2 objects read\x1b[K"
