"""Sources, copies and references: what sync would still have to write is what is not as it should be."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from webhook.core.actions import FindingReason
from webhook.core.credential import SourceReason
from webhook.core.preview.row import Effect, PreviewReason
from webhook.live.check.outcome import Check, Context, Outcome, finding, note, unknown
from webhook.live.obstacles import read_reports
from webhook.live.secrets import read_sources, read_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from webhook.core.preview.row import Row

SHOWN = 5
"""Of what is wrong in the same way; the others are counted."""

_SOURCES = frozenset(map(str, SourceReason))
_SENTENCES = {
    "PSW050": "the copy {0} is not there",
    "PSW051": "the copy {0} does not hold what its sources have now, or had last",
    "PSW052": "the Secret {0} was not made by this release, and is in the copy's place",
    "PSW053": "the ServiceAccount {0} lacks a reference that is due",
    "PSW054": "{0} should have been taken away, or a reference in it",
    "PSW055": "the ServiceAccount {0} enforces its references and may not be given one that its Pods get",
}


def _reports(context: Context) -> dict[str, str]:
    """Return by namespace the last cause that the controller has reported."""
    reports = sorted(read_reports(context.reader, None), key=lambda each: each.at)
    return {report.namespace: report.obstacle().why for report in reports if report.is_current(context.now)}


def _look(context: Context) -> Iterator[Outcome]:
    found: dict[str, list[str]] = defaultdict(list)
    for row in context.forecast().rows:
        if row.reason in _SOURCES:
            code = "PSW040" if row.reason == SourceReason.ABSENT else "PSW041"
            yield finding(code, f"{row.why} ({row.reason})")
        elif row.reason == PreviewReason.COPY_KEPT:
            yield note("PSW051", f"{row.title.partition('/')[2]}: {row.why}")
        elif row.reason == PreviewReason.COPY_NOT_SEEN:
            found["?"].append(_named(row))
        elif code := _code(row):
            found[code].append(_named(row))
    reports = _reports(context) if found else {}
    for code, names in sorted(found.items()):
        if code == "?":
            yield unknown("PSW050", f"Secrets may not be read: {_few(names)}")
        elif code == "PSW054" and read_state(context.reader, context.installed).held is not None:
            removals = "1 removal is" if len(names) == 1 else f"{len(names)} removals are"
            yield note(code, f"{removals} due; those that the configuration alone causes are held (PSW035)")
        else:
            yield from _findings(code, names, reports)


def _look_at_entries(context: Context) -> Iterator[Outcome]:
    sources = read_sources(context.reader, context.installed)
    for name in context.installed.configuration.source_names:
        credentials = sources.credentials(name)
        if credentials is None or not credentials.remark:
            continue
        detail = f'source Secret "{name}": {credentials.remark}'
        yield finding("PSW043", detail) if credentials.left_out else note("PSW043", detail)


def _code(row: Row) -> str:
    if row.removed or row.effect is Effect.DELETE:
        return "PSW054"
    if row.reason == FindingReason.COPY_CONFLICT and row.is_copy:
        return "PSW052"
    if row.reason == PreviewReason.COPY_OUTDATED:
        return "PSW051"
    if row.reason == FindingReason.SOURCE_UNAVAILABLE:
        return "PSW050" if row.is_copy else "PSW053"
    if row.reason == FindingReason.REFERENCE_REQUIRED:
        return "PSW055"
    if row.reason == FindingReason.REFERENCES_TOO_MANY:
        return "PSW053"
    return {Effect.CREATE: "PSW050", Effect.UPDATE: "PSW051", Effect.REFERENCES: "PSW053"}.get(row.effect, "")


def _findings(code: str, names: list[str], reports: Mapping[str, str]) -> Iterator[Outcome]:
    """Yield the first of them, each with what the controller has reported about its namespace."""
    for name in names[:SHOWN]:
        sentence, report = _SENTENCES[code].format(name), reports.get(name.partition("/")[0])
        yield finding(code, f"{sentence}: {report}" if report else sentence)
    if len(names) > SHOWN:
        yield finding(code, f"and {len(names) - SHOWN} more")


def _few(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def _named(row: Row) -> str:
    return f"{row.namespace}/{row.title.partition('/')[2]}"


COPIES = Check(("PSW040", "PSW041", "PSW050", "PSW051", "PSW052", "PSW053", "PSW054", "PSW055"), _look)

ENTRIES = Check(("PSW043",), _look_at_entries)
