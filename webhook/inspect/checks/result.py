"""The values of a check."""

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
    """How one check came out."""

    OK = "ok"
    FINDING = "FAIL"
    NOTE = "note"
    """Worth knowing, and nothing wrong."""
    UNKNOWN = "?"
    """It could not be checked."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One result of one check; a check that finds several things has several."""

    code: str
    state: State
    detail: str

    @property
    def title(self) -> str:
        """What the check is about."""
        return TITLES[self.code]


@dataclass(frozen=True, slots=True)
class Context:
    """What checks look at, and when; ``forecast()`` tells once what sync would still have to write."""

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
    """One look that can tell about several codes; what it does not speak of is in order."""

    codes: tuple[str, ...]
    look: Callable[[Context], Iterator[Outcome]]


@dataclass(frozen=True, slots=True)
class Report:
    """All outcomes, in the order of the codes."""

    outcomes: tuple[Outcome, ...]

    @property
    def exit_code(self) -> int:
        """0 healthy, 1 there is something to do, 2 not everything could be checked."""
        states = {outcome.state for outcome in self.outcomes}
        return 1 if State.FINDING in states else 2 if State.UNKNOWN in states else 0


def finding(code: str, detail: str) -> Outcome:
    """Return that something is wrong."""
    return Outcome(code, State.FINDING, detail)


def note(code: str, detail: str) -> Outcome:
    """Return what is worth knowing."""
    return Outcome(code, State.NOTE, detail)


def unknown(code: str, detail: str) -> Outcome:
    """Return that something could not be checked."""
    return Outcome(code, State.UNKNOWN, detail)
