"""Write a report as one HTML page to share, without scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.report.protocol import RESULT, Severity

if TYPE_CHECKING:
    from webhook.report.protocol import ObjectReport

_KINDS = {
    Severity.OK: "good",
    Severity.SKIPPED: "rest",
    Severity.NOTE: "mind",
    Severity.UNKNOWN: "mind",
    Severity.FAULT: "bad",
}
"""The class of each result in a page."""


def report_page(title: str, report: ObjectReport) -> str:
    """Return the page of a report: its summary, and the lines of its wider table with failures first."""
    from webhook.ops.html import Banner, render  # noqa: PLC0415 - loads Jinja2

    order = list(reversed(Severity))
    lines = sorted(report.wide_lines(), key=lambda line: order.index(Severity(line.colour)))
    kind = next((_KINDS[Severity(line.colour)] for line in lines[:1]), "good")
    headline, _, detail = report.summary().partition("; ")
    return render(
        "report",
        title=title,
        verdict=Banner(kind, headline, detail),
        columns=[name.capitalize() for name in report.wide_columns],
        rows=[(_KINDS[Severity(line.colour)], line.cells) for line in lines],
        result=report.wide_columns.index(RESULT),
    )
