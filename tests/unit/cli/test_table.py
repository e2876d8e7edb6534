"""Tables on terminals of any width: nothing is cut, nothing is wider than the terminal, colours only where wanted."""

from __future__ import annotations

import io
import re

import pytest

from webhook.cli.render_explanation import HEADER as EXPLAIN
from webhook.cli.render_report import HEADER as CHECK
from webhook.cli.table import Table

SENTENCE = "namespace team-a does not have the label pullsecrets.webhook/inject=enabled, so nothing is due to it"
ROWS = [
    ("registry-credentials", "opt-in label", "STOP", "namespace-not-opted-in", SENTENCE),
    ("-", "webhook reachable", "PASS", "-", "it answers"),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(table: Table, file: io.StringIO) -> str:
    table.write(file)
    return file.getvalue()


def table_of(header: tuple[str, ...] = EXPLAIN, rows: list[tuple[str, ...]] | None = None, identity: int = 2) -> Table:
    return Table(header, ROWS if rows is None else rows, ["bold red", "green"], coloured=2, identity=identity)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 140, 200, 400])
def test_it_fits_and_nothing_is_lost(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = plain(written(table_of(), Terminal()))
    assert max(map(len, text.splitlines())) <= columns
    letters = re.sub(r"\s", "", text)
    for row in ROWS:
        for cell in row[:-1]:
            assert columns < 60 or cell in text, cell
    assert columns < 140 or SENTENCE in text or re.sub(r"\s", "", SENTENCE) in letters


def test_only_the_result_has_a_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    text = written(table_of(), Terminal())
    assert re.findall(r"\x1b\[(?:1;)?3\dm(\w+)", text) == ["STOP", "PASS"]


@pytest.mark.parametrize("columns", ["60", "400"])
def test_no_color_is_respected(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    coloured = re.compile(r"\x1b\[(?:\d+;)*3\d")
    assert coloured.search(written(table_of(), Terminal()))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured.search(written(table_of(), Terminal()))


def test_a_dumb_terminal_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in written(table_of(), Terminal())


def test_in_a_pipe_nothing_is_folded_or_coloured() -> None:
    text = written(table_of(), io.StringIO())
    assert "\x1b" not in text
    assert len(text.splitlines()) == 1 + len(ROWS)
    assert text.splitlines()[1].endswith(SENTENCE)


def test_a_narrow_table_with_one_identifying_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    rows: list[tuple[str, ...]] = [("PSW015", "FAIL", "caBundle trusts the certificate", SENTENCE)]
    table = Table(CHECK, rows, ["bold red"], coloured=1, identity=1)
    text = plain(written(table, Terminal()))
    assert max(map(len, text.splitlines())) <= 50
    assert {"CODE", "RESULT", "CHECK", "DETAIL"} <= set(text.split())


def test_an_empty_table_is_nothing() -> None:
    assert written(Table(EXPLAIN, [], [], coloured=2, identity=2), Terminal()) == ""
