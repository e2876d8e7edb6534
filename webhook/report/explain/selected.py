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


class Selected(msgspec.Struct, frozen=True):
    """The explanations of objects of one kind, those that need attention first."""

    kind: str
    explanations: tuple[Explanation, ...]

    @property
    def needing_attention(self) -> tuple[Explanation, ...]:
        """The objects that lack something that is due."""
        return tuple(each for each in self.explanations if each.verdict.severity is Severity.FAULT)

    def document(self) -> list[dict[str, object]]:
        """Return everything for programs."""
        return [each.document() for each in self.explanations]

    def summary(self) -> str:
        """Return the number of objects with each result, as one line."""
        numbers = Counter(each.verdict.severity for each in self.explanations)
        total, faults = len(self.explanations), numbers[Severity.FAULT]
        parts = [f"{numbers[severity]:,} {RESULTS[severity]}" for severity in _ORDER if numbers[severity]]
        detail = f": {', '.join(parts)}" if parts else ""
        objects = self.kind if total == 1 else f"{self.kind}s"
        return f"{faults:,} of {total:,} {objects} {'needs' if 1 in (faults, total) else 'need'} attention{detail}"


def selected(kind: str, explanations: Iterable[Explanation]) -> Selected:
    """Return explanations by severity, then by namespace and name."""
    return Selected(kind, tuple(sorted(explanations, key=_place)))


def _place(found: Explanation) -> tuple[int, str, str]:
    return _ORDER.index(found.verdict.severity), found.namespace, found.title
