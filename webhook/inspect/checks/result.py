"""Define the values of a check."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from webhook.inspect.checks.codes import TITLES
from webhook.report.protocol import RESULT, Line, Severity
from webhook.rules.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from webhook.inspect.reader import Reader
    from webhook.inspect.release import Installed
    from webhook.report.preview.preview import Preview


RESULTS = {Severity.OK: "ok", Severity.FAULT: "FAIL", Severity.NOTE: "note", Severity.UNKNOWN: "?"}
"""The results of a check in a table."""

_NAMES = {Severity.OK: "ok", Severity.FAULT: "finding", Severity.NOTE: "note", Severity.UNKNOWN: "unknown"}

PAGE = "docs/check.md"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One result of one check; a check that finds several faults has several."""

    code: str
    severity: Severity
    detail: str

    @property
    def title(self) -> str:
        """The subject of the check."""
        return TITLES[self.code]


@dataclass(frozen=True, slots=True)
class Context:
    """The input of checks, and its time; ``forecast()`` returns once the writes that sync still has to make."""

    reader: Reader
    installed: Installed
    now: datetime
    forecast: Callable[[], Preview]

    @property
    def user_prefix(self) -> str:
        """The user name of the release's ServiceAccounts, up to the role."""
        return f"system:serviceaccount:{self.installed.release.namespace}:{self.installed.fullname}"


@dataclass(frozen=True, slots=True)
class Check:
    """A check that may cover several codes; a code without a result is in order."""

    codes: tuple[str, ...]
    look: Callable[[Context], Iterator[Outcome]]


@dataclass(frozen=True, slots=True)
class Checkup:
    """The outcomes of all checks, in the order of the codes."""

    outcomes: tuple[Outcome, ...]

    @property
    def exit_code(self) -> int:
        """0 if healthy, 1 if there is something to do, 2 if not everything could be checked."""
        severities = {outcome.severity for outcome in self.outcomes}
        return 1 if Severity.FAULT in severities else 2 if Severity.UNKNOWN in severities else 0

    @property
    def columns(self) -> tuple[str, ...]:
        """The headings of the table."""
        return ("CODE", RESULT, "CHECK", "DETAIL")

    def lines(self) -> list[Line]:
        """Return the lines of the table."""
        return [
            Line((each.code, RESULTS[each.severity], each.title, each.detail), each.severity.value)
            for each in self.outcomes
        ]

    def document(self) -> dict[str, object]:
        """Return everything for programs."""
        return {
            "healthy": self.exit_code == 0,
            "checks": [
                {
                    "code": each.code,
                    "result": _NAMES[each.severity],
                    "title": each.title,
                    "detail": each.detail or None,
                }
                for each in self.outcomes
            ],
        }

    def summary(self) -> str:
        """Return the result as one line."""
        total = Counter(each.severity for each in self.outcomes)
        parts = [counted(total[Severity.FAULT], "finding"), f"{total[Severity.OK]} ok"]
        if total[Severity.NOTE]:
            parts.append(counted(total[Severity.NOTE], "note"))
        if total[Severity.UNKNOWN]:
            parts.append(f"{total[Severity.UNKNOWN]} could not be checked")
        hint = f"; see {PAGE} for the codes" if total[Severity.FAULT] else ""
        return f"{', '.join(parts)}{hint}"


def finding(code: str, detail: str) -> Outcome:
    """Return a fault."""
    return Outcome(code, Severity.FAULT, detail)


def note(code: str, detail: str) -> Outcome:
    """Return useful information."""
    return Outcome(code, Severity.NOTE, detail)


def unknown(code: str, detail: str) -> Outcome:
    """Return that a check was not possible."""
    return Outcome(code, Severity.UNKNOWN, detail)
