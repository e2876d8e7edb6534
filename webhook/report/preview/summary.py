"""Summarize copies that cannot be made, so that one missing source is one row and not one for each namespace."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from webhook.report.preview.row import Effect, Row
from webhook.rules.actions import FindingReason
from webhook.rules.configuration import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from webhook.report.preview.preview import Preview


def summarized(preview: Preview, release_namespace: str, is_listed: Callable[[str], bool]) -> Preview:
    """Return a preview with one row for all that waits for the sources of a pull secret.

    The row is in the release namespace, after all others. Rows of namespaces that a person named (``is_listed``) stay.
    """
    waiting: dict[str, list[Row]] = defaultdict(list)
    kept = []
    for row in preview.rows:
        if row.reason != FindingReason.SOURCE_UNAVAILABLE or is_listed(row.namespace):
            kept.append(row)
            continue
        for name in _pull_secrets(row):
            waiting[name].append(row)
    accounts = len(preview.rows) - len(kept) - sum(row.is_copy for rows in waiting.values() for row in rows)
    return replace(preview, rows=(*kept, *_summaries(waiting, release_namespace)), unlisted=preview.unlisted + accounts)


def _pull_secrets(row: Row) -> Sequence[str]:
    """Return what a copy is a copy of, or what is due in a ServiceAccount."""
    if row.is_copy:
        return (row.title.partition("/")[2],)
    return [name for name, reason in row.gates if reason == Reason.INJECTED]


def _summaries(waiting: Mapping[str, Sequence[Row]], where: str) -> Iterator[Row]:
    for name, rows in waiting.items():
        copies = sum(row.is_copy for row in rows)
        accounts = len(rows) - copies
        missing = "1 copy is missing" if copies == 1 else f"{copies} copies are missing"
        lacking = (
            "1 ServiceAccount lacks the reference"
            if accounts == 1
            else f"{accounts} ServiceAccounts lack the reference"
        )
        parts = [part for number, part in ((copies, missing), (accounts, lacking)) if number]
        why = f"{' and '.join(parts)}: {rows[0].why}"
        yield Row(where, f"PullSecret/{name}", Effect.PROBLEM, FindingReason.SOURCE_UNAVAILABLE, why)
