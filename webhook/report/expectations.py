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
    message: str = ""

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
        return sum(comparison.severity is Severity.FAULT for comparison in self.comparisons)

    @property
    def columns(self) -> tuple[str, ...]:
        """The headings of the table."""
        return ("NAMESPACE", "OBJECT", RESULT, "EXPECTED", "FOUND")

    def lines(self) -> list[Line]:
        """Return the lines of the table."""
        return [
            Line(
                (
                    comparison.namespace,
                    comparison.title,
                    RESULTS[comparison.severity],
                    f"{comparison.field}: {comparison.expected}",
                    _found(comparison),
                ),
                comparison.severity.value,
            )
            for comparison in self.comparisons
        ]

    def document(self) -> dict[str, object]:
        """Return everything for programs."""
        return {
            "passed": len(self.comparisons) - self.failed,
            "failed": self.failed,
            "results": [
                {
                    "namespace": comparison.namespace,
                    "object": comparison.title,
                    "field": comparison.field,
                    "expected": comparison.expected,
                    "found": comparison.found,
                    "result": _NAMES[comparison.severity],
                    "why": comparison.message or None,
                }
                for comparison in self.comparisons
            ],
        }

    def summary(self) -> str:
        """Return the result as one line."""
        passed = len(self.comparisons) - self.failed
        return f"{counted(passed, 'expectation')} passed, {self.failed} failed"


def _found(comparison: Comparison) -> str:
    if comparison.severity is Severity.OK:
        return "as expected"
    return f"{comparison.found}: {comparison.message}" if comparison.message else comparison.found


def compare(expectations: Sequence[Expectation], preview: Preview, coverage: Coverage | None = None) -> Comparisons:
    """Return the comparison of each expected value with the preview, and with the coverage of running workloads.

    Of repeated objects, the last row counts.
    """
    rows = {(row.namespace, row.title): row for row in preview.rows}
    images: dict[tuple[str, str], list[ImageExposure]] = {}
    for image in coverage.images if coverage else ():
        images.setdefault((image.namespace, image.workload), []).append(image)
    comparisons: list[Comparison] = []
    for expectation in expectations:
        comparisons += _compared(expectation, rows.get((expectation.namespace, expectation.title)))
        if expectation.coverage is not None:
            comparisons.append(
                _compared_images(
                    expectation, expectation.coverage, images.get((expectation.namespace, expectation.title), ())
                )
            )
    return Comparisons(tuple(comparisons))


def _compared_images(expectation: Expectation, expected: str, images: Sequence[ImageExposure]) -> Comparison:
    """Return the comparison with the image whose pull is the least certain."""
    worst = max(images, key=lambda image: _WORST_LAST.index(image.severity), default=None)
    actual, message = (
        (ABSENT, "no Pod of it runs") if worst is None else (worst.exposure, f"{worst.image}: {worst.message}")
    )
    return Comparison(expectation.namespace, expectation.title, COVERAGE, expected, actual, message)


def _compared(expectation: Expectation, row: Row | None) -> Iterator[Comparison]:
    values = {} if row is None else _values(row)
    missing = "there is no such copy" if expectation.copy is not None else "there is no such object"
    message = missing if row is None else row.message
    for field, expected in _expected(expectation):
        value = values.get(field, ABSENT)
        yield Comparison(expectation.namespace, expectation.title, field, expected, value, message)


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
