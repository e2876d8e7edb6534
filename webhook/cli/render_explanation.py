"""Print an explanation as a table of gates, as JSON or YAML, and the meaning of a reason id."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from webhook.cli.output import Form, write_document
from webhook.cli.table import Table
from webhook.errors import UsageError
from webhook.report.explain.step import Verdict
from webhook.report.reasons import CATALOG

if TYPE_CHECKING:
    from typing import TextIO

    from webhook.report.explain.step import Explanation, Step

HEADER = ("PULL SECRET", "GATE", "RESULT", "REASON", "WHY, AND WHAT TO DO")
_COLOURS = {Verdict.PASS: "green", Verdict.STOP: "bold red", Verdict.UNKNOWN: "yellow"}


def render(explanation: Explanation, form: Form, file: TextIO) -> None:
    """Write ``explanation`` to ``file``."""
    if form is not Form.TABLE:
        write_document(_document(explanation), form, file)
        return
    steps = explanation.steps
    Table(
        header=HEADER,
        rows=[
            (step.pull_secret or "-", step.gate, str(step.verdict), step.reason or "-", _why(step)) for step in steps
        ],
        colours=[_COLOURS[step.verdict] for step in steps],
        coloured=2,
        identity=2,
    ).write(file)


def verdict(explanation: Explanation) -> str:
    """Return the result as one line."""
    where = "" if explanation.title.startswith("Namespace/") else f" in namespace {explanation.namespace}"
    step = explanation.stop
    if step is None:
        return f"{explanation.title}{where}: everything is in place"
    about = f" of {step.pull_secret}" if step.pull_secret else ""
    return f"{explanation.title}{where}: stopped at {step.gate}{about} ({step.reason})"


def render_reason(reason: str, file: TextIO) -> None:
    """Write the meaning of a reason id. Raises UsageError for an unknown id."""
    if reason not in CATALOG:
        close = get_close_matches(reason, CATALOG, n=1)
        hint = f"did you mean {close[0]}?" if close else "docs/reasons.md lists all"
        raise UsageError(f"there is no reason id {reason}; {hint}")
    text = CATALOG[reason]
    file.write(f"{reason}: {text.meaning}\nwhat to do: {text.advice}\n".replace("`", ""))


def _why(step: Step) -> str:
    return f"{step.why}. {step.advice[:1].upper()}{step.advice[1:]}" if step.advice else step.why


def _document(explanation: Explanation) -> dict[str, object]:
    stop = explanation.stop
    return {
        "object": explanation.title,
        "namespace": explanation.namespace,
        "stoppedBy": (str(stop.reason) or None) if stop else None,
        "steps": [
            {
                "pullSecret": step.pull_secret or None,
                "gate": step.gate,
                "result": {Verdict.PASS: "pass", Verdict.STOP: "stop"}.get(step.verdict, "unknown"),
                "reason": str(step.reason) or None,
                "why": step.why,
                "advice": step.advice or None,
            }
            for step in explanation.steps
        ],
    }
