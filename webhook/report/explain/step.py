"""Define the values of an explanation."""

from __future__ import annotations

from dataclasses import dataclass

from webhook.report.protocol import RESULT, Line, Severity

RESULTS = {Severity.OK: "PASS", Severity.FAULT: "STOP", Severity.UNKNOWN: "?"}
"""The results of an object at a gate, in words."""

_NAMES = {Severity.OK: "pass", Severity.FAULT: "stop", Severity.UNKNOWN: "unknown"}


@dataclass(frozen=True, slots=True)
class Step:
    """One gate: the object's result there, a sentence about the cause, and advice if it did not pass.

    ``pull_secret`` is empty for a step about the object as a whole; ``reason`` is empty if a gate is simply open.
    """

    gate: str
    severity: Severity
    why: str
    reason: str = ""
    advice: str = ""
    pull_secret: str = ""
    awaits_sync: bool = False
    """True if it is open because the controller still has something to write."""

    def line(self) -> Line:
        """Return the line for a table."""
        todo = f". {self.advice[:1].upper()}{self.advice[1:]}" if self.advice else ""
        cells = (self.pull_secret or "-", self.gate, RESULTS[self.severity], self.reason or "-", self.why + todo)
        return Line(cells, self.severity.value)

    def document(self) -> dict[str, object]:
        """Return the step for programs."""
        return {
            "pullSecret": self.pull_secret or None,
            "gate": self.gate,
            "result": _NAMES[self.severity],
            "reason": str(self.reason) or None,
            "why": self.why,
            "advice": self.advice or None,
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """The steps of one object, in the order of the gates; each pull secret's follow those of the whole."""

    namespace: str
    title: str
    steps: tuple[Step, ...]

    @property
    def stop(self) -> Step | None:
        """The step that keeps the object from all pull secrets; None if at least one passes.

        A step that stops the object as a whole comes before those that stop its pull secrets. Of these, the first is
        named.
        """
        whole = [step for step in self.steps if not step.pull_secret and step.severity is Severity.FAULT]
        if whole:
            return whole[0]
        stopped = [step for step in self.steps if step.pull_secret and step.severity is Severity.FAULT]
        names = {step.pull_secret for step in self.steps if step.pull_secret}
        return stopped[0] if stopped and names == {step.pull_secret for step in stopped} else None

    @property
    def columns(self) -> tuple[str, ...]:
        """The headings of the table."""
        return ("PULL SECRET", "GATE", RESULT, "REASON", "WHY, AND WHAT TO DO")

    def lines(self) -> list[Line]:
        """Return the lines of the table."""
        return [step.line() for step in self.steps]

    def document(self) -> dict[str, object]:
        """Return everything for programs."""
        return {
            "object": self.title,
            "namespace": self.namespace,
            "stoppedBy": (str(self.stop.reason) or None) if self.stop else None,
            "steps": [step.document() for step in self.steps],
        }

    def summary(self) -> str:
        """Return the result as one line."""
        where = "" if self.title.startswith("Namespace/") else f" in namespace {self.namespace}"
        step = self.stop
        if step is None:
            return f"{self.title}{where}: everything is in place"
        about = f" of {step.pull_secret}" if step.pull_secret else ""
        return f"{self.title}{where}: stopped at {step.gate}{about} ({step.reason})"
