"""Forecast the controller's writes in a namespace of a cluster, and find Pods without a due reference.

Copies that cannot be made are summarized, so that one missing source is one row and not one for each namespace.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from webhook.report.preview.copies import copy_rows, hashes_for
from webhook.report.preview.deciding import decide_in, removed_sentence, sentence
from webhook.report.preview.preview import judged
from webhook.report.preview.row import Effect, PreviewReason, Row
from webhook.rules.actions import FindingReason, RemoveReferences
from webhook.rules.backfill import subject_of
from webhook.rules.configuration import Reason
from webhook.rules.dangling import names_written_by_us
from webhook.rules.plan import plan_namespace
from webhook.rules.references import References
from webhook.rules.text import counted, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from webhook.report.preview.preview import Preview
    from webhook.report.preview.secrets import Expected
    from webhook.rules.actions import NamespacePlan
    from webhook.rules.configuration import Configuration
    from webhook.rules.gates import Decision
    from webhook.rules.objects import Namespace, NamespaceState, ServiceAccount, Subject

ORIGIN = "cluster"


class Forecaster:
    """Forecasts changes to namespaces under a configuration and the present content of its sources.

    For the ``unseen`` names, the existing copies are unknown.
    """

    def __init__(
        self, configuration: Configuration, expected: Mapping[str, Expected], unseen: Collection[str] = ()
    ) -> None:
        self.configuration = configuration
        self._expected = expected
        self._unseen = frozenset(unseen)

    def of_namespace(self, state: NamespaceState) -> Iterator[Row]:
        """Yield a row for the namespace, for each of its copies and for each of its ServiceAccounts."""
        namespace, plan = state.namespace, self._plan(state)
        reason, message = judged(namespace, self.configuration)
        yield Row(namespace.name, f"Namespace/{namespace.name}", Effect.NONE, reason, message, origin=ORIGIN)
        yield from copy_rows(state, plan, self.configuration, self._expected, self._unseen)
        for account in state.service_accounts:
            yield self._of_account(namespace, account, plan)

    def of_pod(self, subject: Subject, namespace: Namespace) -> Row:
        """Return whether an existing Pod lacks a reference that it would get if it were created now."""
        decision = decide_in(namespace, subject, self.configuration)
        effect, reason = Effect.NONE, str(decision.reason)
        message = sentence(decision.reason, subject, self.configuration, decision)
        # It is not known whether a Secret that belongs to the namespace exists, so a Pod may not need it.
        tenants = self.configuration.tenant_names
        lacking = tuple(name for name in decision.added if name not in tenants)
        if lacking:
            effect, reason = Effect.RECREATE, PreviewReason.POD_WITHOUT_REFERENCE
            message = f"it lacks the reference to {listed(lacking)}: recreate it"
        title = f"Pod/{subject.name}"
        return Row(subject.namespace, title, effect, reason, message, lacking, gates=decision.gates, origin=ORIGIN)

    def _plan(self, state: NamespaceState) -> NamespacePlan:
        hashes, lost = hashes_for(self._expected, state), names_written_by_us(state, self.configuration)
        return plan_namespace(state, self.configuration, hashes, lost=lost)

    def _of_account(self, namespace: Namespace, account: ServiceAccount, plan: NamespacePlan) -> Row:
        subject = subject_of(account, namespace)
        written, removal = _added(plan, account), _removal(plan, account)
        removed = removal.names
        decision = decide_in(namespace, subject, self.configuration)
        added = written
        if written or removed or any(hand_back.service_account is account for hand_back in plan.hand_backs):
            # The controller's write passes the webhook, which adds all due references with or without a copy.
            added = (*written, *self._added_at_admission(namespace, subject, written, removed))
        effect, reason, message = (
            _changed(added, removal, self.configuration)
            if added or removed
            else self._unchanged(account, subject, decision, plan)
        )
        return Row(
            namespace=namespace.name,
            title=f"ServiceAccount/{account.name}",
            effect=effect,
            reason=reason,
            message=message,
            added=added,
            removed=removed,
            gates=decision.gates,
            origin=ORIGIN,
        )

    def _added_at_admission(
        self, namespace: Namespace, subject: Subject, added: Sequence[str], removed: Sequence[str]
    ) -> tuple[str, ...]:
        names = (*(name for name in subject.references.names if name not in removed), *added)
        written = msgspec.structs.replace(subject, references=References(present=True, names=names))
        return decide_in(namespace, written, self.configuration).added

    def _unchanged(
        self, account: ServiceAccount, subject: Subject, decision: Decision, plan: NamespacePlan
    ) -> tuple[Effect, str, str]:
        if account.references is None:
            return Effect.PROBLEM, Reason.OBJECT_UNREADABLE, "its imagePullSecrets cannot be read"
        finding = next((finding for finding in plan.findings if finding.service_account == account.name), None)
        if finding is not None:
            message = f"it enforces its references and opts out: its Pods that get {finding.secret} are refused"
            if finding.reason is FindingReason.REFERENCES_TOO_MANY:
                message = f"it has {account.references.count:,} references, too many to add {finding.secret}"
            return Effect.PROBLEM, finding.reason, message
        if decision.added:
            waiting = [finding.reason for finding in plan.findings if finding.secret in decision.added]
            reason = waiting[0] if waiting else PreviewReason.COPY_NOT_SEEN
            waits = (
                "is due as soon as its copy exists"
                if len(decision.added) == 1
                else "are due as soon as their copies exist"
            )
            return Effect.NONE, reason, f"{listed(decision.added)} {waits}"
        return Effect.NONE, decision.reason, sentence(decision.reason, subject, self.configuration, decision)


def _added(plan: NamespacePlan, account: ServiceAccount) -> tuple[str, ...]:
    actions = (*plan.required, *plan.additions)
    return tuple(name for action in actions if action.service_account is account for name in action.names)


def _removal(plan: NamespacePlan, account: ServiceAccount) -> RemoveReferences:
    removals = (removal for removal in plan.removals if removal.service_account is account)
    return next(removals, RemoveReferences(account, ()))


def _changed(added: Sequence[str], removal: RemoveReferences, configuration: Configuration) -> tuple[Effect, str, str]:
    due = f"{listed(added)} {'is' if len(added) == 1 else 'are'} due here and not yet referenced" if added else ""
    gone = removed_sentence(removal.names, configuration, removal.without_copy)
    reason = Reason.INJECTED if added else PreviewReason.COPY_NOT_WANTED
    return Effect.REFERENCES, reason, "; ".join(filter(None, (due, gone)))


def summarized(preview: Preview, release_namespace: str, is_listed: Callable[[str], bool]) -> Preview:
    """Return a preview with one row for all that waits for the sources of a pull secret.

    The row is in the release namespace, after all others. Rows of namespaces that a person named (``is_listed``) stay.
    """
    waiting: dict[str, list[Row]] = defaultdict(list)
    kept = []
    missing = {
        (row.namespace, row.title.partition("/")[2])
        for row in preview.rows
        if row.is_copy and row.reason == FindingReason.SOURCE_UNAVAILABLE
    }
    for row in preview.rows:
        if row.reason != FindingReason.SOURCE_UNAVAILABLE or is_listed(row.namespace):
            kept.append(row)
            continue
        for name in _pull_secrets(row, missing):
            waiting[name].append(row)
    accounts = len(preview.rows) - len(kept) - sum(row.is_copy for rows in waiting.values() for row in rows)
    return replace(preview, rows=(*kept, *_summaries(waiting, release_namespace)), unlisted=preview.unlisted + accounts)


def _pull_secrets(row: Row, missing: Collection[tuple[str, str]]) -> Sequence[str]:
    """Return what a copy is a copy of, or what is due in a ServiceAccount and ``missing``, by namespace and name."""
    if row.is_copy:
        return (row.title.partition("/")[2],)
    due = [name for name, reason in row.gates if reason == Reason.INJECTED]
    # Without the right to read the copies, it is not known which of them are missing.
    return [name for name in due if (row.namespace, name) in missing] or due


def _summaries(waiting: Mapping[str, Sequence[Row]], where: str) -> Iterator[Row]:
    for name, rows in waiting.items():
        copies = sum(row.is_copy for row in rows)
        accounts = len(rows) - copies
        missing = counted(copies, "copy is missing", "copies are missing")
        lacking = counted(accounts, "ServiceAccount lacks the reference", "ServiceAccounts lack the reference")
        parts = [part for number, part in ((copies, missing), (accounts, lacking)) if number]
        message = f"{' and '.join(parts)}: {rows[0].message}"
        yield Row(where, f"PullSecret/{name}", Effect.PROBLEM, FindingReason.SOURCE_UNAVAILABLE, message)
