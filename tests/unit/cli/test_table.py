"""Tables on terminals of any width: nothing is cut, nothing is wider than the terminal, colours only where wanted."""

from __future__ import annotations

import io
import json
import re

import pytest
import yaml

from webhook.cli.render import Form, render
from webhook.inspect.checks.result import Checkup, finding
from webhook.report.coverage import Coverage, ImageExposure
from webhook.report.explain.step import Explanation, Step
from webhook.report.preview.preview import Preview
from webhook.report.preview.row import Effect, Row
from webhook.report.protocol import Report, Severity

SENTENCE = "namespace team-a does not have the label pullsecrets.webhook/inject=enabled, so nothing is due to it"
ROWS = [
    ("registry-credentials", "opt-in label", "STOP", "namespace-not-opted-in", SENTENCE),
    ("-", "webhook reachable", "PASS", "-", "it answers"),
]
STEPS = (
    Step("opt-in label", Severity.FAULT, SENTENCE, "namespace-not-opted-in", "", "registry-credentials"),
    Step("webhook reachable", Severity.OK, "it answers"),
)
EXPLANATION = Explanation("team-a", "Pod/web", STEPS, verbose=True)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(report: Report, file: io.StringIO) -> str:
    render(report, Form.TABLE, file)
    return file.getvalue()


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
    text = plain(written(EXPLANATION, Terminal()))
    assert max(map(len, text.splitlines())) <= columns
    letters = re.sub(r"\s", "", text)
    for row in ROWS:
        for cell in row[:-1]:
            assert columns < 60 or cell in text, cell
    assert columns < 140 or SENTENCE in text or re.sub(r"\s", "", SENTENCE) in letters


def test_only_the_result_has_a_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    text = written(EXPLANATION, Terminal())
    assert re.findall(r"\x1b\[(?:1;)?3\dm(\w+)", text) == ["STOP", "PASS"]


@pytest.mark.parametrize("columns", ["60", "400"])
def test_no_color_is_respected(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    coloured = re.compile(r"\x1b\[(?:\d+;)*3\d")
    assert coloured.search(written(EXPLANATION, Terminal()))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured.search(written(EXPLANATION, Terminal()))


def test_a_dumb_terminal_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in written(EXPLANATION, Terminal())


def test_in_a_pipe_nothing_is_folded_or_coloured() -> None:
    text = written(EXPLANATION, io.StringIO())
    assert "\x1b" not in text
    assert len(text.splitlines()) == 1 + len(ROWS)
    assert text.splitlines()[1].endswith(SENTENCE)


def test_a_narrow_table_with_one_identifying_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    text = plain(written(Checkup((finding("PSW015", SENTENCE),)), Terminal()))
    assert max(map(len, text.splitlines())) <= 50
    assert {"CODE", "RESULT", "CHECK", "DETAIL"} <= set(text.split())


def test_an_empty_table_is_nothing() -> None:
    assert written(Explanation("team-a", "Pod/web", ()), Terminal()) == ""


REPORTS: tuple[Report, ...] = (
    EXPLANATION,
    Checkup((finding("PSW015", SENTENCE),)),
    Coverage((ImageExposure("team-a", "Deployment/web", "ghcr.io/app:1", Severity.FAULT, SENTENCE),)),
    Preview((Row("team-a", "Pod/web", Effect.REFERENCES, "injected", SENTENCE, ("registry",), origin="cluster"),)),
)


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_each_report_has_every_form(report: Report) -> None:
    forms = {form: io.StringIO() for form in Form}
    for form, file in forms.items():
        render(report, form, file)
    as_json, as_yaml = json.loads(forms[Form.JSON].getvalue()), yaml.safe_load(forms[Form.YAML].getvalue())
    assert as_json == as_yaml == report.document()
    assert SENTENCE in forms[Form.TABLE].getvalue().splitlines()[1]
