"""Define the values of a check."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import msgspec

from webhook.inspect.checks.codes import CODES, GROUPS, group_of, link
from webhook.report.protocol import RESULT, Line, Paragraph, Severity
from webhook.rules.text import counted, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from webhook.inspect.reader import Reader
    from webhook.inspect.release import InstalledRelease
    from webhook.report.preview.preview import Preview
    from webhook.report.preview.secrets import Sources


RESULTS = {Severity.OK: "ok", Severity.FAULT: "FAIL", Severity.NOTE: "note", Severity.UNKNOWN: "?"}
"""The results of a check in a table."""

_NAMES = {Severity.OK: "ok", Severity.FAULT: "finding", Severity.NOTE: "note", Severity.UNKNOWN: "unknown"}


class CheckResult(msgspec.Struct, frozen=True):
    """One result of one check; a check that finds several faults has several.

    ``command`` shows more about this very object, or corrects it; empty if the advice of the code is enough.
    """

    code: str
    severity: Severity
    detail: str
    command: str = ""
    lacks: str = ""
    """The right without which the check was not possible, such as ``list namespaces``; empty for another cause."""

    @property
    def title(self) -> str:
        """The subject of the check."""
        return CODES[self.code].title

    @property
    def advice(self) -> str:
        """The action after a fault, as one paragraph."""
        return CODES[self.code].advice.replace("`", "")


class Context(msgspec.Struct, frozen=True):
    """The input of checks, and its time.

    ``forecast()`` returns the writes that sync still has to make, and ``sources()`` the sources; each is read once.
    """

    reader: Reader
    installed: InstalledRelease
    now: datetime
    forecast: Callable[[], Preview]
    sources: Callable[[], Sources]


class Check(msgspec.Struct, frozen=True):
    """A check that may cover several codes; a code without a result is in order."""

    codes: tuple[str, ...]
    look: Callable[[Context], Iterator[CheckResult]]


class Checkup(msgspec.Struct, frozen=True):
    """The outcomes of all checks, in the order of the codes."""

    outcomes: tuple[CheckResult, ...]

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
        """Return the lines of the table: all that is not ok."""
        return [
            Line((outcome.code, RESULTS[outcome.severity], outcome.title, outcome.detail), outcome.severity.value)
            for outcome in self.outcomes
            if outcome.severity is not Severity.OK
        ]

    @property
    def causes(self) -> list[str]:
        """The codes of faults because of which new objects are not injected, either surely or probably."""
        faults = {outcome.code for outcome in self.outcomes if outcome.severity is Severity.FAULT}
        return sorted(faults & _STOP_INJECTION)

    def paragraphs(self, *, verbose: bool = False) -> Iterator[Paragraph]:
        """Yield the text for people: by group, findings first, and checks that are ok in one line at the end."""
        groups = defaultdict(list)
        skipped = [outcome for outcome in self.outcomes if outcome.lacks]
        # A note about a missing right is alone where a person lacks no other one, as in the Pod of helm test.
        if all(outcome.severity is Severity.NOTE for outcome in skipped):
            skipped = []
        for outcome in self.outcomes:
            if verbose or not (outcome.severity is Severity.OK or outcome in skipped):
                groups[group_of(outcome.code)].append(outcome)
        ranks = {name: min(_ORDER.index(outcome.severity) for outcome in outcomes) for name, outcomes in groups.items()}
        for name in sorted(groups, key=lambda name: (ranks[name], [*GROUPS.values()].index(name))):
            yield Paragraph("", name, "bold")
            folded = [outcome for outcome in groups[name] if self._follows(outcome) and not verbose]
            yield from _of_consequences(folded, self.causes)
            yield from _of_group([outcome for outcome in groups[name] if outcome not in folded])
            yield Paragraph("")
        if not verbose:
            yield from _of_rights(skipped)
        ok = Counter(group_of(outcome.code) for outcome in self.outcomes if outcome.severity is Severity.OK)
        if ok and not verbose:
            parts = ", ".join(f"{name} {number}" for name, number in ok.items())
            yield Paragraph(f"{parts} (-v lists them)", "ok:", Severity.OK.value)

    def _follows(self, outcome: CheckResult) -> bool:
        return outcome.severity is Severity.FAULT and outcome.code in _REHEARSALS and bool(self.causes)

    def document(self) -> dict[str, object]:
        """Return everything for programs."""
        return {
            "healthy": self.exit_code == 0,
            "checks": [
                {
                    "code": outcome.code,
                    "group": group_of(outcome.code),
                    "result": _NAMES[outcome.severity],
                    "title": outcome.title,
                    "detail": outcome.detail or None,
                    "advice": None if outcome.severity is Severity.OK else outcome.advice,
                    "command": outcome.command or None,
                    "link": link(outcome.code),
                }
                for outcome in self.outcomes
            ],
        }

    def summary(self) -> str:
        """Return the result as one line."""
        total = Counter(outcome.severity for outcome in self.outcomes)
        parts = [counted(total[Severity.FAULT], "finding"), f"{total[Severity.OK]} ok"]
        if total[Severity.NOTE]:
            parts.append(counted(total[Severity.NOTE], "note"))
        if total[Severity.UNKNOWN]:
            parts.append(f"{total[Severity.UNKNOWN]} could not be checked")
        return ", ".join(parts)


_REHEARSALS = ("PSW070", "PSW071")
"""The codes that try the injection itself: they repeat the fault of another code, if there is one."""

_STOP_INJECTION = frozenset({"PSW010", "PSW011", "PSW012", "PSW014", "PSW015", "PSW020", "PSW021", "PSW022", "PSW061"})

_ORDER = (Severity.FAULT, Severity.UNKNOWN, Severity.NOTE, Severity.OK)
_WIDTH = 5
"""Characters of the longest result and a space, to which the others are filled up."""

_RIGHTS_SHOWN = 5
"""Missing rights that are listed; ``-v`` shows the right that each check needs."""


def _of_group(outcomes: list[CheckResult]) -> Iterator[Paragraph]:
    """Yield the results of a group: the details of a code, then the advice for all of them, once."""
    results: dict[tuple[str, Severity], list[CheckResult]] = defaultdict(list)
    for outcome in outcomes:
        results[outcome.code, outcome.severity].append(outcome)
    for code, severity in sorted(results, key=lambda key: (_ORDER.index(key[1]), key[0])):
        code_outcomes = results[code, severity]
        yield Paragraph(
            f"{code} {code_outcomes[0].title}", RESULTS[severity].ljust(_WIDTH - 1), severity.value, indent=2
        )
        for outcome in code_outcomes:
            if outcome.detail:
                yield Paragraph(outcome.detail, indent=2 + _WIDTH)
            if outcome.command:
                yield Paragraph(outcome.command, colour="bold", indent=4 + _WIDTH, is_command=True)
        if severity is Severity.FAULT:
            yield Paragraph(code_outcomes[0].advice, "to do:", "bold", indent=2 + _WIDTH)
            yield Paragraph(link(code), "see:", "bold", indent=2 + _WIDTH)


def _of_consequences(outcomes: Sequence[CheckResult], causes: Sequence[str]) -> Iterator[Paragraph]:
    """Yield findings that another one explains: their subjects, and where to begin."""
    codes = {outcome.code: outcome.title for outcome in outcomes}
    for code, title in sorted(codes.items()):
        yield Paragraph(f"{code} {title}", RESULTS[Severity.FAULT].ljust(_WIDTH - 1), Severity.FAULT.value, indent=2)
    if codes:
        todo = f"Correct {listed(causes)} first, and check again; -v shows the details."
        yield Paragraph(todo, "to do:", "bold", indent=2 + _WIDTH)


def _of_rights(skipped: list[CheckResult]) -> Iterator[Paragraph]:
    """Yield the missing rights, each once, instead of every check that needs one of them."""
    if not skipped:
        return
    codes = len({outcome.code for outcome in skipped})
    yield Paragraph("", "rights that you lack", "bold")
    text = f"{counted(codes, 'check was', 'checks were')} skipped (-v lists them), because you lack the right to:"
    yield Paragraph(text, RESULTS[Severity.UNKNOWN].ljust(_WIDTH - 1), Severity.UNKNOWN.value, indent=2)
    rights = list(dict.fromkeys(outcome.lacks for outcome in skipped))
    for right in rights[:_RIGHTS_SHOWN]:
        yield Paragraph(right, indent=2 + _WIDTH)
    if len(rights) > _RIGHTS_SHOWN:
        yield Paragraph(f"and {len(rights) - _RIGHTS_SHOWN} more", indent=2 + _WIDTH)
    todo = "Ask for these rights, or ask a person who has them to run pullsecrets check."
    yield Paragraph(todo, "to do:", "bold", indent=2 + _WIDTH)
    yield Paragraph("")


def finding(code: str, detail: str, command: str = "") -> CheckResult:
    """Return a fault, with a command that shows more about it or corrects it."""
    return CheckResult(code, Severity.FAULT, detail, command)


def note(code: str, detail: str, lacks: str = "") -> CheckResult:
    """Return useful information, for example about a missing right that does not change the result."""
    return CheckResult(code, Severity.NOTE, detail, lacks=lacks)


def unknown(code: str, detail: str, lacks: str = "") -> CheckResult:
    """Return that a check was not possible, perhaps because a right is missing."""
    return CheckResult(code, Severity.UNKNOWN, detail, lacks=lacks)


def lacking(codes: Iterable[str], right: str) -> Iterator[CheckResult]:
    """Yield that checks were not possible without a right, such as ``list namespaces``."""
    for code in codes:
        yield unknown(code, f"you lack the right to {right}", right)
