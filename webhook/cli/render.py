"""Print a preview: as a table, as JSON or YAML, or as the resulting manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.cli.output import Form, Output, write_document
from webhook.cli.table import Table
from webhook.files.yaml_writer import dump
from webhook.report.preview.row import Effect

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TextIO

    from webhook.report.preview.preview import Preview
    from webhook.report.preview.row import Row

HEADER = ("NAMESPACE", "OBJECT", "RESULT", "REASON", "WHY")

_RESULTS = {
    Effect.NONE: "=",
    Effect.CREATE: "+ copy",
    Effect.UPDATE: "~ copy",
    Effect.DELETE: "- copy",
    Effect.PROBLEM: "!",
    Effect.UNDECIDED: "?",
    Effect.RECREATE: "(recreate)",
}
_COLOURS = {
    Effect.REFERENCES: "green",
    Effect.CREATE: "green",
    Effect.UPDATE: "yellow",
    Effect.DELETE: "red",
    Effect.PROBLEM: "bold red",
    Effect.UNDECIDED: "yellow",
    Effect.RECREATE: "yellow",
}


def render(preview: Preview, output: Output, file: TextIO) -> None:
    """Write ``preview`` to ``file``. Raises UsageError for manifests that YAML cannot represent."""
    writers: Mapping[Output, Callable[[Preview, TextIO], None]] = {
        Output.TABLE: _write_table,
        Output.JSON: _write_json,
        Output.YAML: lambda preview, file: dump([_document(preview)], file),
        Output.MANIFESTS: _write_manifests,
    }
    writers[output](preview, file)


def summary(preview: Preview) -> str:
    """Return one line with the numbers of objects and copies that would change."""
    objects = [row for row in preview.rows if not row.is_copy]
    copies = [row for row in preview.rows if row.is_copy]
    parts = [f"{_changes(objects)} of {_count(len(objects) + preview.unlisted, 'object')} would change"]
    if written := sum(row.effect in (Effect.CREATE, Effect.UPDATE) for row in copies):
        parts.append(f"{_count(written, 'copy', 'copies')} would be written")
    if deleted := sum(row.effect is Effect.DELETE for row in copies):
        parts.append(f"{_count(deleted, 'copy', 'copies')} would be deleted")
    if without := sum(row.effect is Effect.RECREATE for row in objects):
        parts.append(f"{_count(without, 'Pod')} would have to be recreated")
    if undecided := sum(row.effect is Effect.UNDECIDED for row in preview.rows):
        parts.append(f"{undecided} undecided")
    if problems := sum(row.effect is Effect.PROBLEM for row in preview.rows):
        parts.append(_count(problems, "problem"))
    if preview.not_looked_at:
        parts.append(f"{preview.not_looked_at} of other kinds skipped")
    return ", ".join(parts)


def _changes(rows: Sequence[Row]) -> int:
    return sum(row.effect.is_change for row in rows)


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def _result(row: Row) -> str:
    if row.effect is not Effect.REFERENCES:
        return _RESULTS[row.effect]
    signed = (("+", row.added), ("-", row.removed))
    return " ".join(f"{sign} {', '.join(names)}" for sign, names in signed if names)


def _write_table(preview: Preview, file: TextIO) -> None:
    Table(
        header=HEADER,
        rows=[(row.namespace, row.title, _result(row), row.reason, row.why) for row in preview.rows],
        colours=[_COLOURS.get(row.effect, "") for row in preview.rows],
        coloured=2,
        identity=2,
    ).write(file)


def _document(preview: Preview) -> dict[str, object]:
    return {
        "rows": [_fields(row) for row in preview.rows],
        "summary": {
            "objects": sum(not row.is_copy for row in preview.rows) + preview.unlisted,
            "copies": sum(row.is_copy for row in preview.rows),
            "changes": _changes(preview.rows),
            "undecided": sum(row.effect is Effect.UNDECIDED for row in preview.rows),
            "podsToRecreate": sum(row.effect is Effect.RECREATE for row in preview.rows),
            "problems": sum(row.effect is Effect.PROBLEM for row in preview.rows),
            "notLookedAt": preview.not_looked_at,
        },
    }


def _fields(row: Row) -> dict[str, object]:
    return {
        "namespace": row.namespace,
        "object": row.title,
        "effect": str(row.effect),
        "added": list(row.added),
        "removed": list(row.removed),
        "reason": str(row.reason),
        "why": row.why,
        "pullSecrets": [{"name": name, "reason": str(reason)} for name, reason in row.gates],
        "origin": row.origin or None,
    }


def _write_json(preview: Preview, file: TextIO) -> None:
    write_document(_document(preview), Form.JSON, file)


def _write_manifests(preview: Preview, file: TextIO) -> None:
    dump((manifest.body for manifest in preview.patched if not manifest.is_core("Secret")), file)
