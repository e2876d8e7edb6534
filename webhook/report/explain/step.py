"""Define the values of an explanation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The result of an object at one gate."""

    PASS = "PASS"  # noqa: S105 - the gate is open
    STOP = "STOP"
    UNKNOWN = "?"
    """It depends on something that was not, or could not be, read."""


@dataclass(frozen=True, slots=True)
class Step:
    """One gate: the object's result there, a sentence about the cause, and advice if it did not pass.

    ``pull_secret`` is empty for a step about the object as a whole; ``reason`` is empty if a gate is simply open.
    """

    gate: str
    verdict: Verdict
    why: str
    reason: str = ""
    advice: str = ""
    pull_secret: str = ""
    awaits_sync: bool = False
    """True if it is open because the controller still has something to write."""


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
        whole = [step for step in self.steps if not step.pull_secret and step.verdict is Verdict.STOP]
        if whole:
            return whole[0]
        stopped = [step for step in self.steps if step.pull_secret and step.verdict is Verdict.STOP]
        names = {step.pull_secret for step in self.steps if step.pull_secret}
        return stopped[0] if stopped and names == {step.pull_secret for step in stopped} else None
