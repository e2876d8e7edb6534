"""Print the report of a check: as a table, as JSON, or as JUnit for a pipeline."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from webhook.cli.output import Form, ReportForm, write_document
from webhook.cli.table import Table
from webhook.inspect.checks.result import State
from webhook.rules.text import escaped

if TYPE_CHECKING:
    from typing import TextIO

    from webhook.inspect.checks.result import Outcome, Report

HEADER = ("CODE", "RESULT", "CHECK", "DETAIL")
_COLOURS = {State.OK: "green", State.FINDING: "bold red", State.NOTE: "cyan", State.UNKNOWN: "yellow"}
_WORDS = {State.OK: "ok", State.FINDING: "finding", State.NOTE: "note", State.UNKNOWN: "unknown"}
PAGE = "docs/check.md"


def render(report: Report, form: ReportForm, file: TextIO) -> None:
    """Write ``report`` to ``file``."""
    if form is ReportForm.JSON:
        write_document(_document(report), Form.JSON, file)
    elif form is ReportForm.JUNIT:
        _write_junit(report, file)
    else:
        Table(
            header=HEADER,
            rows=[(each.code, str(each.state), each.title, each.detail) for each in report.outcomes],
            colours=[_COLOURS[each.state] for each in report.outcomes],
            coloured=1,
            identity=1,
        ).write(file)


def summary(report: Report) -> str:
    """Return the result as one line."""
    found = Counter(each.state for each in report.outcomes)
    parts = [f"{_count(found[State.FINDING], 'finding')}", f"{found[State.OK]} ok"]
    if found[State.NOTE]:
        parts.append(_count(found[State.NOTE], "note"))
    if found[State.UNKNOWN]:
        parts.append(f"{found[State.UNKNOWN]} could not be checked")
    hint = f"; see {PAGE} for the codes" if found[State.FINDING] else ""
    return f"{', '.join(parts)}{hint}"


def _count(number: int, one: str) -> str:
    return f"{number} {one}{'' if number == 1 else 's'}"


def _document(report: Report) -> dict[str, object]:
    return {
        "healthy": report.exit_code == 0,
        "checks": [
            {
                "code": each.code,
                "result": _WORDS[each.state],
                "title": each.title,
                "detail": each.detail or None,
            }
            for each in report.outcomes
        ],
    }


def _write_junit(report: Report, file: TextIO) -> None:
    suite = ET.Element("testsuite", name="pullsecrets check")
    totals = Counter[str]()
    for code, group in groupby(report.outcomes, key=lambda each: each.code):
        outcomes = list(group)
        case = ET.SubElement(suite, "testcase", classname="pullsecrets.check", name=f"{code} {outcomes[0].title}")
        totals["tests"] += 1
        totals.update(_add_outcomes(case, outcomes))
    for name in ("tests", "failures", "skipped"):
        suite.set(name, str(totals[name]))
    suite.set("errors", "0")
    ET.indent(suite)
    file.write(f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(suite, encoding="unicode")}\n')


def _add_outcomes(case: ET.Element, outcomes: list[Outcome]) -> list[str]:
    """Add the outcomes of one code. A test case has at most one failure, or is skipped."""
    details = [escaped(each.detail) for each in outcomes if each.state is State.FINDING]
    if details:
        ET.SubElement(case, "failure", message=details[0]).text = "\n".join(details)
        return ["failures"]
    unknown = [escaped(each.detail) for each in outcomes if each.state is State.UNKNOWN]
    if unknown:
        ET.SubElement(case, "skipped", message=unknown[0])
        return ["skipped"]
    notes = [escaped(each.detail) for each in outcomes if each.state is State.NOTE]
    if notes:
        ET.SubElement(case, "system-out").text = "\n".join(notes)
    return []
