"""Track readiness as a set of named checks; both roles use it.

Each part that the process depends on owns a check by name and keeps it up to date. The process is ready when all checks
pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.rules.text import escaped

if TYPE_CHECKING:
    from collections.abc import Callable

STARTING = "starting"


class HealthCheck:
    """A named condition, safe to use from any thread. It fails as ``starting`` until it is set."""

    def __init__(self, name: str) -> None:
        self.name = name
        # No lock is needed, because each change is one assignment.
        self._problem: str | None = STARTING
        self._read_problem: Callable[[], str | None] | None = None
        self.note = ""
        """A remark that is shown although the check passes."""

    @property
    def problem(self) -> str | None:
        """Return why the check fails, or None while it passes."""
        return self._problem if self._read_problem is None else self._read_problem()

    def passes(self) -> None:
        self._problem = None

    def fails(self, problem: str) -> None:
        """Fail, with a short description. All clients that can reach the health port can read it."""
        self._problem = problem

    def follows(self, read_problem: Callable[[], str | None]) -> None:
        """Call ``read_problem`` for the problem on each query, for conditions that also change with time."""
        self._read_problem = read_problem

    @property
    def line(self) -> str:
        """Return the check in one line, as Kubernetes' own components print it with ``?verbose``."""
        if (problem := self.problem) is not None:
            return f"[-]{self.name} failed: {escaped(problem)}"
        return f"[+]{self.name} ok: {escaped(self.note)}" if self.note else f"[+]{self.name} ok"


class Health:
    """The checks of one process behind one endpoint: ``readyz``, or ``livez``."""

    def __init__(self, name: str = "readyz") -> None:
        self._name = name
        self._checks: dict[str, HealthCheck] = {}

    def check(self, name: str) -> HealthCheck:
        """Return the check of this name, and add it as a condition if it is new."""
        return self._checks.setdefault(name, HealthCheck(name))

    @property
    def ready(self) -> bool:
        """Return True while all checks pass."""
        # A copy, because another thread can add a check during the iteration.
        return all(check.problem is None for check in tuple(self._checks.values()))

    def report(self) -> str:
        """Return one line for each check, and the result."""
        lines = [check.line for check in tuple(self._checks.values())]
        return "\n".join([*lines, f"{self._name} check {'passed' if self.ready else 'failed'}"]) + "\n"
