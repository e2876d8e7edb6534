"""Preview the changes to manifests in a cluster, with the same decisions as in the running system.

Pods and ServiceAccounts are decided as at admission, as if they were created now. Copies, including retired ones, are
planned as in the controller. Only the manifests are known, so a result that needs a missing namespace is undecided.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec

from webhook.report.explain.commands import RESTARTED_KINDS
from webhook.report.preview.cluster_view import NO_NAMESPACES, ClusterView, is_source, may_be_a_copy, survey
from webhook.report.preview.copies import copy_rows
from webhook.report.preview.deciding import (
    UNREADABLE,
    decide_in,
    removed_sentence,
    selected_sentence,
    sentence,
    stop_sentence,
)
from webhook.report.preview.objects import has_unknown_kind, is_subject, is_workload, read_namespace, read_subject
from webhook.report.preview.row import Effect, PreviewReason, Row
from webhook.report.preview.secrets import source_outcome
from webhook.report.protocol import RESULT, Paragraph, Severity
from webhook.rules.actions import FindingReason
from webhook.rules.configuration import Reason
from webhook.rules.expiry import ExpiryReason
from webhook.rules.gates import Case, decide_namespace
from webhook.rules.patch import POD_PATH, SERVICE_ACCOUNT_PATH, additions, apply, removals
from webhook.rules.text import counted, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from webhook.report.preview.manifest import Manifest
    from webhook.report.protocol import Line
    from webhook.rules.configuration import Configuration
    from webhook.rules.gates import Decision
    from webhook.rules.objects import Namespace, Subject

FEW_ROWS = 20
"""Up to this many rows are shown below the overview."""

MOST_COMMANDS = 10
"""Namespaces with a command of their own, for one pull secret; the others are counted."""

_NAMES = 5
_NOTES = frozenset({*map(str, ExpiryReason), PreviewReason.SOURCE_NAME_HASHED.value})
"""Reasons of rows about sources that can be copied, and that somebody has to look at nevertheless."""

_COPIES = {Effect.CREATE: "to create", Effect.UPDATE: "to update", Effect.DELETE: "to delete"}


@dataclass(frozen=True, slots=True)
class Preview:
    """The rows, in the order of the manifests, and each manifest as it would be stored; Secrets are unchanged.

    The rows of copies follow the row of their namespace. ``ignored`` counts the objects that the product never
    changes. ``unlisted`` counts the unchanged objects without a row.
    """

    rows: tuple[Row, ...]
    patched: tuple[Manifest, ...] = ()
    ignored: int = 0
    unlisted: int = 0
    copies: tuple[tuple[Namespace, frozenset[str]], ...] = field(default=(), repr=False)
    """In a preview of a whole cluster: the namespaces that have our copies, and the names of these."""
    namespaces: int = 0
    """Number of the namespaces of a cluster that were looked at; 0 for manifests."""
    suspects: tuple[str, ...] = ()
    """Those of them with a label that is probably meant to be the opt-in label."""
    is_complete: bool = True
    """False if a part of the cluster was not read, because a right is missing."""
    unseen_copies: tuple[str, ...] = ()
    """The names whose Secrets must not be listed, so that their copies are unknown."""
    unseen_accounts: tuple[str, ...] = ()
    """The namespaces whose ServiceAccounts must not be listed; an empty name stands for all namespaces."""

    @property
    def has_changes(self) -> bool:
        """Return whether the preview contains a write."""
        return any(row.effect.is_change for row in self.rows)

    @property
    def is_undecided(self) -> bool:
        """Return whether a row depends on unknown objects."""
        return self._count(Effect.UNDECIDED) > 0

    @property
    def has_problems(self) -> bool:
        """Return whether a person has to act."""
        return self._count(Effect.PROBLEM) > 0

    @property
    def is_in_order(self) -> bool:
        """Return whether every namespace of a cluster is known to be as it should be."""
        waiting = any(row.reason == FindingReason.SOURCE_UNAVAILABLE for row in self.rows)
        due = self.has_changes or self.is_undecided or self.has_problems or self._count(Effect.RECREATE) or waiting
        return self.is_complete and self.namespaces > 0 and not due and not self.suspects

    @property
    def columns(self) -> tuple[str, ...]:
        """The headings of the table."""
        return ("NAMESPACE", "OBJECT", RESULT, "REASON", "WHY")

    def lines(self) -> list[Line]:
        """Return the lines of the table."""
        return [row.line() for row in self.rows]

    @property
    def wide_columns(self) -> tuple[str, ...]:
        """The headings of the wider table."""
        return (*self.columns, "OWNER", "PULL SECRETS")

    def wide_lines(self) -> list[Line]:
        """Return the lines of the wider table."""
        return [row.wide_line() for row in self.rows]

    def titles(self) -> list[str]:
        """Return the objects and copies that would change, or that a person has to change."""
        rows = [row for row in self.rows if row.effect is not Effect.NONE and not row.is_summary]
        return list(dict.fromkeys(row.title for row in rows))

    def document(self) -> dict[str, object]:
        """Return everything for programs."""
        return {
            "rows": [row.document() for row in self.rows],
            "summary": {
                "objects": sum(not row.is_copy for row in self.rows) + self.unlisted,
                "copies": sum(row.is_copy for row in self.rows),
                "changes": sum(row.effect.is_change for row in self.rows),
                "undecided": self._count(Effect.UNDECIDED),
                "podsToRecreate": self._count(Effect.RECREATE),
                "podsToEvict": self._count(Effect.EVICT),
                "problems": self._count(Effect.PROBLEM),
                "notLookedAt": self.ignored,
            },
        }

    def summary(self) -> str:
        """Return one line with the numbers of objects and copies that would change."""
        if self.is_in_order:
            return f"All {self.namespaces:,} namespaces are as they should be." if self.namespaces > 1 else _ONE
        objects = [row for row in self.rows if not row.is_copy]
        changes = sum(row.effect.is_change for row in objects)
        parts = [f"{changes:,} of {counted(len(objects) + self.unlisted, 'object')} would change"]
        if evicted := self._count(Effect.EVICT):
            parts[0] += f" ({counted(evicted, 'Pod')} evicted by healing)"
        if written := self._count(Effect.CREATE, Effect.UPDATE):
            parts.append(f"{counted(written, 'copy', 'copies')} would be written")
        if deleted := self._count(Effect.DELETE):
            parts.append(f"{counted(deleted, 'copy', 'copies')} would be deleted")
        if without := self._count(Effect.RECREATE):
            parts.append(f"{counted(without, 'Pod')} would have to be recreated")
        if undecided := self._count(Effect.UNDECIDED):
            parts.append(f"{undecided:,} undecided")
        if problems := self._count(Effect.PROBLEM):
            parts.append(counted(problems, "problem"))
        if self.ignored:
            parts.append(f"{self.ignored:,} of other kinds skipped")
        return ", ".join(parts)

    def _count(self, *effects: Effect) -> int:
        return sum(row.effect in effects for row in self.rows)


_ONE = "The namespace is as it should be."


class _Outcome(msgspec.Struct, frozen=True):
    rows: tuple[Row, ...]
    patched: Manifest


def preview(
    manifests: Sequence[Manifest],
    configuration: Configuration,
    release_namespace: str,
    now: datetime,
    namespaces: Mapping[str, Namespace] = NO_NAMESPACES,
) -> Preview:
    """Return the preview of ``manifests`` at this time. Sources are from ``release_namespace``, if it is known.

    ``namespaces`` are known from elsewhere; a Namespace in the manifests overrides them.
    """
    cluster = survey(manifests, configuration, release_namespace, namespaces)
    last = {manifest.identity: manifest for manifest in manifests}
    outcomes = [_outcome(manifest, cluster, now, counts=last[manifest.identity] is manifest) for manifest in manifests]
    return Preview(
        rows=tuple(row for outcome in outcomes for row in outcome.rows),
        patched=tuple(outcome.patched for outcome in outcomes),
        ignored=sum(not outcome.rows and not may_be_a_copy(outcome.patched, configuration) for outcome in outcomes),
    )


def _outcome(manifest: Manifest, cluster: ClusterView, now: datetime, *, counts: bool) -> _Outcome:
    """Return the result for one manifest. Copies belong to the Namespace that ``counts``, the last one of its name."""
    if manifest.is_core("Namespace"):
        copies = _copies(manifest.name, cluster) if counts else ()
        return _Outcome((_namespace_row(manifest, cluster), *copies), manifest)
    if is_subject(manifest):
        return _subject_outcome(manifest, cluster)
    if is_source(manifest, cluster.configuration, cluster.release_namespace):
        return _Outcome((_source_row(manifest, cluster, now),), manifest)
    if (
        manifest.is_core("Secret")
        and manifest.namespace == cluster.release_namespace
        and manifest.name in cluster.hashed
    ):
        return _Outcome((_hashed_row(manifest, cluster),), manifest)
    return _Outcome((), manifest)


def _row(manifest: Manifest, effect: Effect, reason: str, message: str) -> Row:
    return Row(manifest.namespace, manifest.title, effect, reason, message, origin=manifest.origin)


def _namespace_row(manifest: Manifest, cluster: ClusterView) -> Row:
    namespace = read_namespace(manifest)
    if namespace is None:
        return _row(
            manifest, Effect.PROBLEM, Reason.OBJECT_UNREADABLE, "its labels and annotations must be text: quote them"
        )
    reason, message = judged(namespace, cluster.configuration)
    return _row(manifest, Effect.NONE, reason, message)


def judged(namespace: Namespace, configuration: Configuration) -> tuple[str, str]:
    """Return the reason id for a namespace as a whole, and a sentence."""
    decision = decide_namespace(namespace, configuration)
    if decision.reason is Reason.INJECTED:
        return PreviewReason.NAMESPACE_SELECTED, selected_sentence(decision)
    return decision.reason, stop_sentence(decision.reason, Case(configuration, namespace.name, namespace), decision)


def _copies(namespace: str, cluster: ClusterView) -> Iterable[Row]:
    if namespace not in cluster.states:
        return ()
    return copy_rows(cluster.states[namespace], cluster.plans[namespace], cluster.configuration, cluster.expected)


def _source_row(manifest: Manifest, cluster: ClusterView, now: datetime) -> Row:
    return _row(manifest, *source_outcome(manifest.name, cluster.sources.read[manifest.name], now))


def _hashed_row(manifest: Manifest, cluster: ClusterView) -> Row:
    source = cluster.hashed[manifest.name]
    message = (
        f'source Secret "{source}" is not among the files; this Secret has its name with a hash, which changes with '
        "the content"
    )
    return _row(manifest, Effect.UNDECIDED, PreviewReason.SOURCE_NAME_HASHED, message)


def _subject_outcome(manifest: Manifest, cluster: ClusterView) -> _Outcome:
    subject = read_subject(manifest)
    if subject is None:
        return _Outcome((_row(manifest, Effect.PROBLEM, Reason.OBJECT_UNREADABLE, UNREADABLE),), manifest)
    decision = decide_in(cluster.namespace(subject.namespace), subject, cluster.configuration)
    removed = cluster.removed(subject)
    message = _message(subject, decision, removed, cluster.configuration)
    row = Row(
        namespace=manifest.namespace,
        title=manifest.title,
        effect=_effect(decision, removed),
        reason=decision.reason,
        message=_of_pods(manifest, message) if is_workload(manifest) else message,
        added=decision.added,
        removed=removed,
        gates=decision.gates,
        origin=manifest.origin,
    )
    return _Outcome((row,), manifest if is_workload(manifest) else _patched(manifest, subject, row))


def _of_pods(manifest: Manifest, message: str) -> str:
    if has_unknown_kind(manifest):
        group = manifest.group or manifest.api_version  # the core group has no name
        return f"kind {manifest.kind} of {group} is unknown; for Pods from its spec.template: {message}"
    return f"its Pods: {message}"


def _effect(decision: Decision, removed: tuple[str, ...]) -> Effect:
    if decision.reason is Reason.NAMESPACE_UNKNOWN:
        return Effect.UNDECIDED
    return Effect.REFERENCES if decision.added or removed else Effect.NONE


def _message(subject: Subject, decision: Decision, removed: tuple[str, ...], configuration: Configuration) -> str:
    message = sentence(decision.reason, subject, configuration, decision)
    return f"{message}; {removed_sentence(removed, configuration)}" if removed else message


def _patched(manifest: Manifest, subject: Subject, row: Row) -> Manifest:
    path = POD_PATH if subject.kind == "Pod" else SERVICE_ACCOUNT_PATH
    patch = [*additions(path, subject.references, row.added), *removals(path, subject.references, row.removed)]
    return replace(manifest, body=apply(manifest.body, patch)) if patch else manifest


def overview(preview: Preview, *, verbose: bool = False) -> Iterator[Paragraph]:
    """Yield the summary of a preview; nothing if no action is due."""
    problems = [row for row in preview.rows if row.effect is Effect.PROBLEM]
    most = len(problems) if verbose else FEW_ROWS
    for row in problems[:most]:
        yield Paragraph(f"{row.namespace}, {row.title}: {row.message} ({row.reason})", "!", Severity.FAULT.value)
        if row.is_copy:
            # A row about all copies of a pull secret is in the release namespace, which is always excluded.
            command = "pullsecrets check" if row.is_summary else f"pullsecrets explain ns/{row.namespace}"
            yield Paragraph(command, colour="bold", indent=2, is_command=True)
    if len(problems) > most:
        yield Paragraph(f"and {counted(len(problems) - most, 'problem')} more (-v lists them)", indent=2)
    for row in preview.rows:
        if row.effect is Effect.NONE and row.reason in _NOTES:
            yield Paragraph(f"{row.namespace}, {row.title}: {row.message} ({row.reason})", "note:", Severity.NOTE.value)
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
        lack = "1 lacks" if len(pods) == 1 else f"{len(pods):,} lack"
        yield Paragraph(f"{lack} it, until recreated", "Pods:", indent=2)
        yield from _recreated(pods, verbose=verbose)
    if evicted := effects[Effect.EVICT]:
        yield Paragraph(f"{counted(evicted, 'Pod')} to evict, to be recreated with it", "healing:", indent=2)


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
