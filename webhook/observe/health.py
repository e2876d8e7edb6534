"""Readiness, as a set of named checks; both roles use it.

Whoever is responsible for something that must hold before the process is of use takes a check by name, and keeps it up
to date. The process is ready when all of them pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.core.text import escaped

if TYPE_CHECKING:
    from collections.abc import Callable

STARTING = "starting"


class Check:
    """One named condition; it fails, as ``starting``, until it is told otherwise. Safe to use from any thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._problem: str | None = STARTING
        self._look: Callable[[], str | None] | None = None
        self.note = ""
        """A remark that is shown although the check passes."""

    @property
    def problem(self) -> str | None:
        """Why it fails, None while it passes."""
        return self._problem if self._look is None else self._look()

    def passes(self) -> None:
        self._problem = None

    def fails(self, problem: str) -> None:
        """Fail, with a short description that anyone who can reach the health port may read."""
        self._problem = problem

    def follows(self, look: Callable[[], str | None]) -> None:
        """Have ``look`` say, whenever somebody asks, what the problem is: for what also changes by time alone."""
        self._look = look

    @property
    def line(self) -> str:
        """The check in one line, as Kubernetes' own components print it with ``?verbose``."""
        if (problem := self.problem) is not None:
            return f"[-]{self.name} failed: {escaped(problem)}"
        return f"[+]{self.name} ok: {escaped(self.note)}" if self.note else f"[+]{self.name} ok"


class Health:
    """The checks of one process that one question is about: ``readyz``, or ``livez``."""

    def __init__(self, name: str = "readyz") -> None:
        self._name = name
        self._checks: dict[str, Check] = {}

    def check(self, name: str) -> Check:
        """Return the check of this name, which from now on is a condition."""
        return self._checks.setdefault(name, Check(name))

    @property
    def ready(self) -> bool:
        """True while all checks pass."""
        return all(check.problem is None for check in self._checks.values())

    def report(self) -> str:
        """Return one line for each check, and the verdict."""
        lines = [check.line for check in tuple(self._checks.values())]
        return "\n".join([*lines, f"{self._name} check {'passed' if self.ready else 'failed'}"]) + "\n"
