"""Summarize a preview of a cluster: problems first, then copies, references and Pods of each pull secret.

A Pod keeps its references for its whole life, so Pods without one are listed with the command that recreates them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from webhook.report.explain.commands import RESTARTED_KINDS
from webhook.report.preview.row import Effect
from webhook.report.protocol import Paragraph, Severity
from webhook.rules.text import counted, some

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from webhook.report.preview.preview import Preview
    from webhook.report.preview.row import Row

FEW_ROWS = 20
"""Up to this many rows are shown below the overview."""

MOST_COMMANDS = 10
"""Namespaces with a command of their own, for one pull secret; the others are counted."""

_NAMES = 5

_COPIES = {Effect.CREATE: "to create", Effect.UPDATE: "to update", Effect.DELETE: "to delete"}


def overview(preview: Preview, *, verbose: bool = False) -> Iterator[Paragraph]:
    """Yield the summary of a preview; nothing if no action is due."""
    problems = [row for row in preview.rows if row.effect is Effect.PROBLEM]
    most = len(problems) if verbose else FEW_ROWS
    for row in problems[:most]:
        yield Paragraph(f"{row.namespace}, {row.title}: {row.why} ({row.reason})", "!", Severity.FAULT.value)
    if len(problems) > most:
        yield Paragraph(f"and {counted(len(problems) - most, 'problem')} more (-v lists them)", indent=2)
    if preview.suspects and preview.namespaces > 1:
        named = "namespace" if len(preview.suspects) == 1 else "namespaces"
        text = f"{named} {some(preview.suspects, _NAMES)}: a label looks like the opt-in label with a typing error"
        yield Paragraph(text, "note:", Severity.NOTE.value)
    for name in sorted({name for row in preview.rows for name in _pull_secrets(row)}):
        yield Paragraph("", name, "bold")
        yield from _of_pull_secret(name, [row for row in preview.rows if name in _pull_secrets(row)], verbose=verbose)


def _pull_secrets(row: Row) -> tuple[str, ...]:
    """Return the pull secrets that an action on the row is about."""
    if row.effect in _COPIES:
        return (row.title.partition("/")[2],)
    return (*row.added, *row.removed)


def _of_pull_secret(name: str, rows: Sequence[Row], *, verbose: bool) -> Iterator[Paragraph]:
    effects = Counter(row.effect for row in rows)
    if copies := ", ".join(f"{effects[effect]:,} {words}" for effect, words in _COPIES.items() if effects[effect]):
        yield Paragraph(copies, "copies:", indent=2)
    changed = [row for row in rows if row.effect is Effect.REFERENCES]
    gain, lose = sum(name in row.added for row in changed), sum(name in row.removed for row in changed)
    parts = [f"{_accounts(number)} {verb}" for number, verb in ((gain, "to add it"), (lose, "to remove it")) if number]
    if parts:
        yield Paragraph(", ".join(parts), "references:", indent=2)
    if pods := [row for row in rows if row.effect is Effect.RECREATE]:
        run = "1 runs" if len(pods) == 1 else f"{len(pods):,} run"
        yield Paragraph(f"{run} without it, until recreated", "Pods:", indent=2)
        yield from _recreated(pods, verbose=verbose)


def _accounts(number: int) -> str:
    return "in 1 ServiceAccount" if number == 1 else f"in {number:,} ServiceAccounts"


def _recreated(pods: Sequence[Row], *, verbose: bool) -> Iterator[Paragraph]:
    """Yield the commands that recreate Pods, by namespace."""
    by_namespace: dict[str, list[Row]] = defaultdict(list)
    for row in pods:
        by_namespace[row.namespace].append(row)
    most = len(by_namespace) if verbose else MOST_COMMANDS
    for namespace in list(by_namespace)[:most]:
        yield from _recreated_in(namespace, by_namespace[namespace])
    if len(by_namespace) > most:
        yield Paragraph(f"and in {counted(len(by_namespace) - most, 'namespace')} more (-v lists them)", indent=4)


def _recreated_in(namespace: str, pods: Sequence[Row]) -> Iterator[Paragraph]:
    workloads = Counter(row.owner for row in pods)
    restarted = [owner for owner in workloads if owner.partition("/")[0].lower() in RESTARTED_KINDS]
    alone = [row.title.partition("/")[2] for row in pods if row.owner == row.title]
    others = [row.title.partition("/")[2] for row in pods if row.owner not in {row.title, *restarted}]
    if restarted:
        names = " ".join(f"{kind.lower()}/{name}" for kind, _, name in (owner.partition("/") for owner in restarted))
        yield _command(f"kubectl -n {namespace} rollout restart {names}")
    if others:
        yield _command(f"kubectl -n {namespace} delete pod {' '.join(others)}")
    if alone:
        named = f"Pod {alone[0]} has" if len(alone) == 1 else f"Pods {some(alone, _NAMES)} have"
        yield Paragraph(f"{named} no controller: create again from the manifest, in namespace {namespace}", indent=4)


def _command(text: str) -> Paragraph:
    return Paragraph(text, colour="bold", indent=4, is_command=True)
