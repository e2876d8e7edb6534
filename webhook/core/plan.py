"""Plan the writes that bring one namespace in line with the configuration.

The plan is pure: the controller carries it out, ``pullsecrets plan`` prints it. Applied to the state it was made from,
it leads to a state whose plan is empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.core.actions import (
    EMPTY,
    ApplyCopy,
    DeleteCopy,
    Finding,
    FindingReason,
    HandBack,
    NamespacePlan,
    RemoveReferences,
)
from webhook.core.backfill import additions_after_copies, hand_back_need, required_additions, withheld_references
from webhook.core.dangling import without_copy
from webhook.core.gates import selected_pull_secrets
from webhook.core.ownership import Ownership

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from webhook.core.model import Configuration
    from webhook.core.selection import Namespace
    from webhook.core.state import Copy, NamespaceState, ServiceAccount


def plan_namespace(
    state: NamespaceState,
    configuration: Configuration,
    hashes: Mapping[str, str | None],
    injected: Configuration | None = None,
    lost: Collection[str] = (),
) -> NamespacePlan:
    """Return the writes that bring a namespace in line with the configuration.

    ``hashes`` gives for each configured pull secret the content hash that its copies must have. None means that sources
    are missing or invalid: then existing copies stay unchanged (fail static), and new ones are not made.
    ``configuration`` may be the part of ``injected`` that can be decided already; ``injected`` is in force at
    admission. ``lost`` are the names for which the namespace was selected before; references to them are removed even
    without a copy.
    """
    if state.namespace.terminating:
        return EMPTY
    wanted = _selected_names(configuration, state.namespace)
    copies, findings, usable = _plan_copies(state, wanted, hashes)
    injected = injected or configuration
    leaving = leaving_copies(state, configuration, wanted)
    required = tuple(required_additions(state, injected, usable))
    additions = tuple(additions_after_copies(state, configuration, usable))
    absent = without_copy(state, configuration, lost)
    removals = tuple(removals_of(state.service_accounts, [copy.name for copy in leaving], absent))
    written = {action.service_account.name for action in (*required, *additions)}
    written.update(action.service_account.name for action in removals)
    due = frozenset(wanted if injected == configuration else _selected_names(injected, state.namespace))
    return NamespacePlan(
        required=required,
        copies=tuple(copies),
        additions=additions,
        removals=removals,
        hand_backs=tuple(hand_backs_to(state.service_accounts, due, written)),
        deletions=tuple(DeleteCopy(copy) for copy in leaving if not copy.terminating),
        findings=(*findings, *withheld_references(state, injected), *kept_copies(state, configuration)),
        namespace_uid=state.namespace.uid,
    )


def _selected_names(configuration: Configuration, namespace: Namespace) -> tuple[str, ...]:
    return tuple(entry.name for entry in selected_pull_secrets(configuration, namespace))


def _plan_copies(
    state: NamespaceState, wanted: Iterable[str], hashes: Mapping[str, str | None]
) -> tuple[list[ApplyCopy], list[Finding], set[str]]:
    """Return the copies to write, the findings, and the names that may be referenced afterwards."""
    writes: list[ApplyCopy] = []
    findings: list[Finding] = []
    usable: set[str] = set()
    for name in wanted:
        copy, content_hash = state.copies.get(name), hashes.get(name)
        if copy is not None and state.is_foreign(copy):
            findings.append(Finding(FindingReason.COPY_CONFLICT, name))
            continue
        if content_hash is None:
            findings.append(Finding(FindingReason.SOURCE_UNAVAILABLE, name))
        elif copy is None:
            writes.append(ApplyCopy(name))
        elif copy.replaceable_only:
            if not copy.terminating:  # else the watch reports the deletion, and a new one is written
                writes.append(ApplyCopy(name, replaces=copy))
        elif copy.content_hash != content_hash or not state.is_proven(copy):
            writes.append(ApplyCopy(name, updates=copy))
        if copy is not None or content_hash is not None:
            usable.add(name)
    return writes, findings, usable


def kept_copies(state: NamespaceState, configuration: Configuration) -> Iterator[Finding]:
    """Yield our copies that are being deleted but kept by a foreign finalizer.

    Pods still pull with such a copy, so its content is updated like that of any other.
    """
    for name in configuration.secret_names:
        copy = state.copies.get(name)
        if copy is not None and copy.finalizers and state.ownership(copy) is Ownership.OURS:
            yield Finding(FindingReason.COPY_TERMINATING, name, detail=", ".join(copy.finalizers))


def leaving_copies(state: NamespaceState, configuration: Configuration, wanted: Collection[str]) -> list[Copy]:
    """Return our copies that do not belong here: opted out, no longer selected, or retired.

    ``wanted`` are the names of the pull secrets that the namespace is selected for. Excluded namespaces, including the
    release namespace, are treated the same: a copy of ours there is from an earlier time.
    """
    known = set(configuration.secret_names)
    return [
        copy
        for copy in state.copies.values()
        if copy.name in known and copy.name not in wanted and state.ownership(copy) is Ownership.OURS
    ]


def removals_of(
    accounts: Iterable[ServiceAccount], leaving: Sequence[str], absent: Sequence[str] = ()
) -> Iterable[RemoveReferences]:
    """Yield the references to remove, so that no ServiceAccount names any of ``leaving`` and ``absent``.

    The names in ``leaving`` have a copy of ours, those in ``absent`` have no Secret.
    """
    for account in accounts:
        if account.references is None or account.terminating:
            continue
        without = tuple(name for name in absent if name in account.references.names)
        names = tuple(name for name in leaving if name in account.references.names)
        if names or without:
            yield RemoveReferences(account, names + without, without)


def hand_backs_to(
    accounts: Iterable[ServiceAccount], due: Collection[str], written: Collection[str]
) -> Iterable[HandBack]:
    """Yield the ownership to hand back in ServiceAccounts that are not ``written``; names in ``due`` may be ours."""
    for account in accounts:
        need = None if account.name in written else hand_back_need(account, due)
        if need is not None:
            yield HandBack(account, need)
