"""Define the values of an explanation."""

from __future__ import annotations

import msgspec

from webhook.report.protocol import RESULT, Line, Severity
from webhook.rules.text import some

RESULTS = {
    Severity.OK: "PASS",
    Severity.NOTE: "NOTE",
    Severity.SKIPPED: "SKIP",
    Severity.FAULT: "STOP",
    Severity.UNKNOWN: "?",
}
"""The results of an object at a gate, in words."""

_NAMES = {
    Severity.OK: "pass",
    Severity.NOTE: "note",
    Severity.SKIPPED: "skip",
    Severity.FAULT: "stop",
    Severity.UNKNOWN: "unknown",
}

COPY_GATE = "copy"
IMAGES_GATE = "images"
EXPIRY_GATE = "expiry"
ROTATION_GATE = "rotation"
HEALING_GATE = "healing"

LOOK_UP = "pullsecrets explain reason/"
"""The beginning of the next command where there is no better one."""

NAMES_SHOWN = 3
"""Pull secrets that do not apply and are named in the verdict."""


class Step(msgspec.Struct, frozen=True):
    """One gate: the object's result there, a sentence about the cause, and advice if it did not pass.

    ``pull_secret`` is empty for a step about the object as a whole; ``reason`` is empty if a gate is simply open.
    """

    gate: str
    severity: Severity
    message: str
    reason: str = ""
    advice: str = ""
    pull_secret: str = ""
    awaits_sync: bool = False
    """True if it is open because the controller still has something to write."""
    command: str = ""
    """The next command to paste; empty for a gate that is passed."""
    follows: bool = False
    """True if another step of the explanation is its cause."""

    @property
    def is_stage_unseen(self) -> bool:
        """True if it is only unknown in which stage a rotation is."""
        return self.gate == ROTATION_GATE and self.severity is Severity.UNKNOWN

    @property
    def result(self) -> str:
        """The result in a word."""
        return RESULTS[self.severity]

    @property
    def text(self) -> str:
        """The cause, and advice unless a command replaces it."""
        replaced = self.command and not self.command.startswith(LOOK_UP)
        todo = f". {self.advice[:1].upper()}{self.advice[1:]}" if self.advice and not replaced else ""
        return f"{self.message}{todo}"

    def line(self) -> Line:
        """Return the line for a table."""
        todo = f". Next: {self.command}" if self.command else ""
        cells = (self.pull_secret or "-", self.gate, self.result, self.reason or "-", self.text + todo)
        return Line(cells, self.severity.value)

    def document(self) -> dict[str, object]:
        """Return the step for programs."""
        return {
            "pullSecret": self.pull_secret or None,
            "gate": self.gate,
            "result": _NAMES[self.severity],
            "reason": str(self.reason) or None,
            "why": self.message,
            "advice": self.advice or None,
            "next": self.command or None,
        }


class Explanation(msgspec.Struct, frozen=True):
    """The steps of one object, in the order of the gates; each pull secret's follow those of the whole."""

    namespace: str
    title: str
    steps: tuple[Step, ...]
    verbose: bool = False
    """True to show all steps, and not only those that need attention."""

    @property
    def stop(self) -> Step | None:
        """The step that keeps the object from a pull secret that is due, or from all; None if it gets what is due.

        An object that is not selected as a whole is not due anything. Otherwise a fault comes first: one of the object
        as a whole, then the copy, then its consequences. Pull secrets that do not apply stop the object only together.
        """
        skipped = [step for step in self.steps if step.severity is Severity.SKIPPED]
        whole = next((step for step in skipped if not step.pull_secret), None)
        if whole is not None:
            return whole
        faults = [step for step in self.steps if step.severity is Severity.FAULT]
        if faults:
            return min(faults, key=_rank)
        names = {step.pull_secret for step in self.steps if step.pull_secret}
        return skipped[0] if skipped and names == {step.pull_secret for step in skipped} else None

    @property
    def verdict(self) -> Step:
        """The step that decides: the stop, one that is unknown, a note, or else that everything is in place.

        An object gets what is due in every stage of a rotation, so a stage that is unknown does not decide.
        """
        if self.stop is not None:
            return self.stop
        for severity in (Severity.UNKNOWN, Severity.NOTE):
            steps = [step for step in self.steps if step.severity is severity and not step.is_stage_unseen]
            decisive = [step for step in steps if step.pull_secret or step.reason == "namespace-unknown"]
            if decisive:
                return decisive[0]
        others = list(dict.fromkeys(step.pull_secret for step in self.steps if step.severity is Severity.SKIPPED))
        verb = "does" if len(others) == 1 else "do"
        more = f"; {some(others, NAMES_SHOWN)} {verb} not apply, and -v shows why" if others else ""
        return Step(gate="", severity=Severity.OK, message=f"everything is in place{more}")

    @property
    def shown(self) -> tuple[Step, ...]:
        """The steps that need attention besides the verdict, or all of them."""
        if self.verbose:
            return self.steps
        verdict = self.verdict
        hidden = {Severity.OK} if verdict.severity is Severity.SKIPPED else {Severity.OK, Severity.SKIPPED}
        shown = [step for step in self.steps if step.severity not in hidden and not step.follows and step != verdict]
        return tuple(dict.fromkeys(shown))  # a namespace has some gates for Pods and for ServiceAccounts

    @property
    def columns(self) -> tuple[str, ...]:
        """The headings of the table."""
        return ("PULL SECRET", "GATE", RESULT, "REASON", "WHY, AND WHAT TO DO")

    def lines(self) -> list[Line]:
        """Return the lines of the table."""
        return [step.line() for step in self.shown]

    def document(self) -> dict[str, object]:
        """Return everything for programs."""
        verdict = self.verdict
        return {
            "object": self.title,
            "namespace": self.namespace,
            "result": _NAMES[verdict.severity],
            "stoppedBy": (str(self.stop.reason) or None) if self.stop else None,
            "why": verdict.message,
            "next": verdict.command or None,
            "steps": [step.document() for step in self.steps],
        }

    def headline(self) -> str:
        """Return the verdict and its reason."""
        where = "" if self.title.startswith("Namespace/") else f" in namespace {self.namespace}"
        verdict = self.verdict
        reason = f" {verdict.reason}" if verdict.reason else ""
        # A part of another word, such as the host of a registry, does not name the pull secret.
        words = {word.strip("\"'.,:;()") for word in verdict.text.split()}
        about = f"{verdict.pull_secret}: " if verdict.pull_secret and verdict.pull_secret not in words else ""
        return f"{verdict.result}{reason}: {self.title}{where}: {about}{verdict.text}"

    def summary(self) -> str:
        """Return the verdict, its reason and the next command, as one line."""
        return f"{self.headline()}. Next: {self.verdict.command}" if self.verdict.command else self.headline()


def _rank(step: Step) -> int:
    if step.follows or step.gate in (IMAGES_GATE, EXPIRY_GATE):
        return 3
    if step.gate == COPY_GATE:
        return 1
    return 2 if step.pull_secret else 0
