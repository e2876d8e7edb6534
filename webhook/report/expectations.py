"""Compare a preview with what a person expects of it: the pure part of ``pullsecrets test``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from webhook.report.coverage import RESULTS as COVERED
from webhook.report.preview.row import Effect
from webhook.report.protocol import RESULT, Line, Severity
from webhook.rules.text import counted, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from webhook.report.coverage import Coverage, ImageExposure
    from webhook.report.preview.preview import Preview
    from webhook.report.preview.row import Row

ABSENT = "absent"
COPY_STATES: Mapping[str, str] = {
    Effect.CREATE: "created",
    Effect.UPDATE: "updated",
    Effect.DELETE: "deleted",
    Effect.NONE: "unchanged",
    Effect.PROBLEM: "problem",
    Effect.UNDECIDED: "undecided",
}
"""The state of a copy, by the effect on it; a copy without a row is :data:`ABSENT`."""

COVERAGE = "coverage"
COVERAGE_RESULTS = tuple(COVERED.values())
"""The results of a workload: that of its worst image."""

RESULTS = {Severity.OK: "PASS", Severity.FAULT: "FAIL"}
_WORST_LAST = (Severity.OK, Severity.UNKNOWN, Severity.FAULT)
_NAMES = {Severity.OK: "passed", Severity.FAULT: "failed"}


class Expectation(msgspec.Struct, frozen=True):
    """The expected result for one object; None for parts that do not matter.

    ``injected`` and ``removed`` are all names that its imagePullSecrets gain and lose. ``reasons`` has the expected
    reason of single pull secrets. ``copy`` is one of :data:`COPY_STATES`, or absent. ``coverage`` is one of
    :data:`COVERAGE_RESULTS`.
    """

    namespace: str
    title: str
    injected: tuple[str, ...] | None = None
    removed: tuple[str, ...] | None = None
    reason: str | None = None
    reasons: tuple[tuple[str, str], ...] = ()
    copy: str | None = None
    coverage: str | None = None


class Comparison(msgspec.Struct, frozen=True):
    """One expected value of one object, and the value that was found."""

    namespace: str
    title: str
    field: str
    expected: str
    found: str
    why: str = ""

    @property
    def severity(self) -> Severity:
        """OK if they are equal, else FAULT."""
        return Severity.OK if self.expected == self.found else Severity.FAULT


class Comparisons(msgspec.Struct, frozen=True):
    """All comparisons, in the order of the expectations."""

    comparisons: tuple[Comparison, ...]

    @property
    def failed(self) -> int:
        """The number of comparisons with a difference."""
        return sum(each.severity is Severity.FAULT for each in self.comparisons)

    @property
    def columns(self) -> tuple[str, ...]:
        """The headings of the table."""
        return ("NAMESPACE", "OBJECT", RESULT, "EXPECTED", "FOUND")

    def lines(self) -> list[Line]:
        """Return the lines of the table."""
        return [
            Line(
                (each.namespace, each.title, RESULTS[each.severity], f"{each.field}: {each.expected}", _found(each)),
                each.severity.value,
            )
            for each in self.comparisons
        ]

    def document(self) -> dict[str, object]:
        """Return everything for programs."""
        return {
            "passed": len(self.comparisons) - self.failed,
            "failed": self.failed,
            "results": [
                {
                    "namespace": each.namespace,
                    "object": each.title,
                    "field": each.field,
                    "expected": each.expected,
                    "found": each.found,
                    "result": _NAMES[each.severity],
                    "why": each.why or None,
                }
                for each in self.comparisons
            ],
        }

    def summary(self) -> str:
        """Return the result as one line."""
        passed = len(self.comparisons) - self.failed
        return f"{counted(passed, 'expectation')} passed, {self.failed} failed"


def _found(comparison: Comparison) -> str:
    if comparison.severity is Severity.OK:
        return "as expected"
    return f"{comparison.found}: {comparison.why}" if comparison.why else comparison.found


def compare(expectations: Sequence[Expectation], preview: Preview, coverage: Coverage | None = None) -> Comparisons:
    """Return the comparison of each expected value with the preview, and with the coverage of running workloads.

    Of repeated objects, the last row counts.
    """
    rows = {(row.namespace, row.title): row for row in preview.rows}
    images: dict[tuple[str, str], list[ImageExposure]] = {}
    for image in coverage.images if coverage else ():
        images.setdefault((image.namespace, image.workload), []).append(image)
    found: list[Comparison] = []
    for each in expectations:
        found += _compared(each, rows.get((each.namespace, each.title)))
        if each.coverage is not None:
            found.append(_compared_images(each, each.coverage, images.get((each.namespace, each.title), ())))
    return Comparisons(tuple(found))


def _compared_images(expectation: Expectation, expected: str, images: Sequence[ImageExposure]) -> Comparison:
    """Return the comparison with the image whose pull is the least certain."""
    worst = max(images, key=lambda image: _WORST_LAST.index(image.severity), default=None)
    found, why = (ABSENT, "no Pod of it runs") if worst is None else (worst.exposure, f"{worst.image}: {worst.why}")
    return Comparison(expectation.namespace, expectation.title, COVERAGE, expected, found, why)


def _compared(expectation: Expectation, row: Row | None) -> Iterator[Comparison]:
    found = {} if row is None else _values(row)
    missing = "there is no such copy" if expectation.copy is not None else "there is no such object"
    why = missing if row is None else row.why
    for field, expected in _expected(expectation):
        value = found.get(field, ABSENT)
        yield Comparison(expectation.namespace, expectation.title, field, expected, value, why)


def _expected(expectation: Expectation) -> Iterator[tuple[str, str]]:
    if expectation.copy is not None:
        yield "copy", expectation.copy
    if expectation.injected is not None:
        yield "injected", _names(expectation.injected)
    if expectation.removed is not None:
        yield "removed", _names(expectation.removed)
    if expectation.reason is not None:
        yield "reason", expectation.reason
    for name, reason in expectation.reasons:
        yield f"reason of {name}", reason


def _values(row: Row) -> dict[str, str]:
    return {
        "copy": COPY_STATES.get(row.effect, str(row.effect)),
        "injected": _names(row.added) if row.effect is not Effect.UNDECIDED else "undecided",
        "removed": _names(row.removed) if row.effect is not Effect.UNDECIDED else "undecided",
        "reason": str(row.reason),
        **{f"reason of {name}": str(reason) for name, reason in row.gates},
    }


def _names(names: Sequence[str]) -> str:
    return listed(sorted(names)) or "no names"
