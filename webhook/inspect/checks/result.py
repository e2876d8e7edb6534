"""Define the values of a check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from webhook.inspect.checks.codes import TITLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from webhook.inspect.reader import Reader
    from webhook.inspect.release import Installed
    from webhook.report.preview.preview import Preview


class State(StrEnum):
    """The result of one check."""

    OK = "ok"
    FINDING = "FAIL"
    NOTE = "note"
    """Useful information without a fault."""
    UNKNOWN = "?"
    """The check was not possible."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One result of one check; a check that finds several faults has several."""

    code: str
    state: State
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
class Report:
    """All outcomes, in the order of the codes."""

    outcomes: tuple[Outcome, ...]

    @property
    def exit_code(self) -> int:
        """0 if healthy, 1 if there is something to do, 2 if not everything could be checked."""
        states = {outcome.state for outcome in self.outcomes}
        return 1 if State.FINDING in states else 2 if State.UNKNOWN in states else 0


def finding(code: str, detail: str) -> Outcome:
    """Return a fault."""
    return Outcome(code, State.FINDING, detail)


def note(code: str, detail: str) -> Outcome:
    """Return useful information."""
    return Outcome(code, State.NOTE, detail)


def unknown(code: str, detail: str) -> Outcome:
    """Return that a check was not possible."""
    return Outcome(code, State.UNKNOWN, detail)
