"""Order and count the explanations of all objects of a kind."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from webhook.report.explain.step import RESULTS
from webhook.report.protocol import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from webhook.report.explain.step import Explanation

_ORDER = (Severity.FAULT, Severity.UNKNOWN, Severity.NOTE, Severity.SKIPPED, Severity.OK)


class Explanations(msgspec.Struct, frozen=True):
    """The explanations of objects of one kind, those that need attention first."""

    kind: str
    explanations: tuple[Explanation, ...]

    @property
    def needing_attention(self) -> tuple[Explanation, ...]:
        """The objects that lack something that is due."""
        return tuple(explanation for explanation in self.explanations if explanation.verdict.severity is Severity.FAULT)

    def document(self) -> list[dict[str, object]]:
        """Return everything for programs."""
        return [explanation.document() for explanation in self.explanations]

    def summary(self) -> str:
        """Return the number of objects with each result, as one line."""
        numbers = Counter(explanation.verdict.severity for explanation in self.explanations)
        total, faults = len(self.explanations), numbers[Severity.FAULT]
        parts = [f"{numbers[severity]:,} {RESULTS[severity]}" for severity in _ORDER if numbers[severity]]
        detail = f": {', '.join(parts)}" if parts else ""
        objects = self.kind if total == 1 else f"{self.kind}s"
        return f"{faults:,} of {total:,} {objects} {'needs' if 1 in (faults, total) else 'need'} attention{detail}"


def selected(kind: str, explanations: Iterable[Explanation]) -> Explanations:
    """Return explanations by severity, then by namespace and name."""
    return Explanations(kind, tuple(sorted(explanations, key=_place)))


def _place(explanation: Explanation) -> tuple[int, str, str]:
    return _ORDER.index(explanation.verdict.severity), explanation.namespace, explanation.title
