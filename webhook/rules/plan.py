"""Plan the writes for one namespace: towards the configuration, or for an uninstallation.

The functions are pure. The controller carries a plan out, and ``pullsecrets plan`` prints it. If a plan is applied to
the state that it was made from, the plan of the new state is empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from webhook.rules.actions import (
    EMPTY,
    ApplyCopy,
    DeleteCopy,
    Finding,
    FindingReason,
    HandBack,
    NamespacePlan,
    RemoveReferences,
)
from webhook.rules.backfill import additions_after_copies, hand_back_need, required_additions, withheld_references
from webhook.rules.configuration import PullSecret
from webhook.rules.dangling import dangling_names, is_unwritten, names_written_by_us, undue_tenant_names
from webhook.rules.gates import selected_pull_secrets
from webhook.rules.namespace_tokens import TO_BE_ISSUED, absent_accounts, expected_hash
from webhook.rules.ownership import Ownership

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import Copy, Namespace, NamespaceState, ServiceAccount


def plan_namespace(
    state: NamespaceState,
    configuration: Configuration,
    hashes: Mapping[str, str | None],
    injected: Configuration | None = None,
    lost: Collection[str] = (),
    now: datetime | None = None,
    entries: Sequence[PullSecret] | None = None,
) -> NamespacePlan:
    """Return the writes that bring a namespace in line with the configuration.

    ``hashes`` gives for each configured pull secret the content hash that its copies must have. None means that sources
    are missing or invalid: then existing copies stay unchanged (fail static), and new ones are not made.
    ``configuration`` may be the part of ``injected`` that can be decided already; ``injected`` is in force at
    admission. ``lost`` are the names for which the namespace was selected before; references to them are removed even
    without a copy. With ``now``, tokens of the namespace that are due for renewal are renewed. ``entries`` are the pull
    secrets of ``configuration`` that select the namespace, if they are known already.
    """
    if state.namespace.terminating:
        return EMPTY
    if entries is None:
        entries = selected_pull_secrets(configuration, state.namespace)
    selected = tuple([entry.name for entry in entries])
    copies, findings, usable = _plan_copies(state, entries, hashes, now)
    injected = injected or configuration
    leaving = leaving_copies(state, configuration, [entry.name for entry in entries if not entry.tenant_owned])
    required = tuple(required_additions(state, injected, usable))
    additions = tuple(additions_after_copies(state, configuration, usable))
    absent = dangling_names(state, configuration, lost)
    tenants = undue_tenant_names(state.namespace, configuration, lost)
    # A copy from before the pull secret belonged to the tenants leaves, and the references to its name stay due.
    gone = [copy.name for copy in leaving if copy.name not in selected]
    removals = tuple(removals_of(state.service_accounts, gone, absent, tenants))
    written = {action.service_account.name for action in (*required, *additions)}
    written.update(action.service_account.name for action in removals)
    due = frozenset(selected if injected == configuration else _selected_names(injected, state.namespace))
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
    state: NamespaceState, selected: Iterable[PullSecret], hashes: Mapping[str, str | None], now: datetime | None
) -> tuple[list[ApplyCopy], list[Finding], set[str]]:
    """Return the copies to write, the findings, and the names that may be referenced afterwards."""
    writes: list[ApplyCopy] = []
    findings: list[Finding] = []
    usable: set[str] = set()
    for entry in selected:
        name = entry.name
        if entry.tenant_owned:
            usable.add(name)
            continue
        copy, content_hash = state.copies.get(name), hashes.get(name)
        if copy is not None and state.is_foreign(copy):
            # The name does not become usable: a reference would lead Pods to the foreign Secret.
            findings.append(Finding(FindingReason.COPY_CONFLICT, name))
            continue
        reason, account = FindingReason.SOURCE_UNAVAILABLE, ""
        if entry.tokens and content_hash is not None:
            reason, account = FindingReason.TOKEN_ACCOUNT_ABSENT, _absent_account(entry, state)
            content_hash = None if account else _hash_with_tokens(entry, copy, content_hash, state, now)
        if content_hash is None:
            findings.append(Finding(reason, name, account))
        elif (write := _copy_write(entry, copy, content_hash, state)) is not None:
            writes.append(write)
        # An outdated copy is usable, too: without its source it stays, and so do references to it.
        if copy is not None or content_hash is not None:
            usable.add(name)
    return writes, findings, usable


def _copy_write(entry: PullSecret, copy: Copy | None, content_hash: str, state: NamespaceState) -> ApplyCopy | None:
    """Return the write that gives a namespace the copy with this content; None if none is due."""
    if copy is None:
        return ApplyCopy(entry.name, metadata=entry.copies)
    if copy.replaceable_only:
        # While it is being deleted, the watch reports the deletion, and a new one is written.
        return None if copy.terminating else ApplyCopy(entry.name, replaces=copy, metadata=entry.copies)
    if copy.content_hash != content_hash or not state.is_proven(copy):
        return ApplyCopy(entry.name, updates=copy, metadata=entry.copies)
    if copy.metadata != entry.copies.stored:
        return ApplyCopy(entry.name, updates=copy, metadata=entry.copies, only_metadata=True)
    return None


def _absent_account(entry: PullSecret, state: NamespaceState) -> str:
    """Return a ServiceAccount that the namespace lacks for a token; empty if it has all, or if that is not known."""
    absent = absent_accounts(entry, state.token_accounts) if state.token_accounts is not None else ()
    return next(iter(absent), "")


def _hash_with_tokens(
    entry: PullSecret, copy: Copy | None, basis: str, state: NamespaceState, now: datetime | None
) -> str:
    if state.token_accounts is not None:
        return expected_hash(entry, copy, basis, state.token_accounts, now)
    # Without the ServiceAccounts, an existing copy cannot be judged.
    return TO_BE_ISSUED if copy is None else copy.content_hash


def kept_copies(state: NamespaceState, configuration: Configuration) -> Iterator[Finding]:
    """Yield our copies that are being deleted but kept by a foreign finalizer.

    Pods still pull with such a copy, so its content is updated like that of any other.
    """
    for name in configuration.secret_names:
        copy = state.copies.get(name)
        if copy is not None and copy.finalizers and state.ownership(copy) is Ownership.OURS:
            yield Finding(FindingReason.COPY_TERMINATING, name, detail=", ".join(copy.finalizers))


def leaving_copies(state: NamespaceState, configuration: Configuration, selected: Collection[str]) -> list[Copy]:
    """Return our copies that do not belong here: opted out, no longer selected, or retired.

    ``selected`` are the names of the pull secrets that the namespace is selected for. Excluded namespaces, including
    the release namespace, are treated the same: a copy of ours there is from an earlier time.
    """
    configured = set(configuration.secret_names)
    return [
        copy
        for copy in state.copies.values()
        if copy.name in configured and copy.name not in selected and state.ownership(copy) is Ownership.OURS
    ]


def removals_of(
    accounts: Iterable[ServiceAccount], leaving: Sequence[str], absent: Sequence[str] = (), tenants: Sequence[str] = ()
) -> Iterable[RemoveReferences]:
    """Yield the references to remove, so that no ServiceAccount names any of ``leaving`` and ``absent``.

    The names in ``leaving`` have a copy of ours, those in ``absent`` have no Secret. Those of ``tenants`` belong to the
    namespaces, and leave only lists that no person has written.
    """
    for account in accounts:
        if account.references is None or account.terminating:
            continue
        without = tuple(name for name in absent if name in account.references.names)
        ours = (*leaving, *tenants) if is_unwritten(account) else leaving
        names = tuple(name for name in ours if name in account.references.names)
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


def plan_uninstall(state: NamespaceState, configuration: Configuration) -> NamespacePlan:
    """Return the writes that remove everything of ours from a namespace.

    A reference is ours if the copy that it names is ours. If no Secret of that name exists, it is ours if the namespace
    is selected, or if the list shows that we wrote it: see :mod:`webhook.rules.dangling`. If a foreign Secret has the
    name, the reference may be to that one and stays.
    """
    if state.namespace.terminating:
        return EMPTY
    ours = [copy for copy in state.copies.values() if state.ownership(copy) is Ownership.OURS]
    # A retired name no longer has a selector, so it may have gone to every opted-in namespace.
    retired = tuple(PullSecret(name, ()) for name in configuration.retired)
    with_retired = replace(configuration, pull_secrets=configuration.pull_secrets + retired)
    due = names_written_by_us(state, configuration).union(
        entry.name for entry in selected_pull_secrets(with_retired, state.namespace)
    )
    absent = [name for name in configuration.secret_names if name in due and name not in state.copies]
    tenants = [name for name in configuration.tenant_names if name in due and name not in configuration.secret_names]
    removals = tuple(removals_of(state.service_accounts, [copy.name for copy in ours], absent, tenants))
    written = {action.service_account.name for action in removals}
    return NamespacePlan(
        removals=removals,
        hand_backs=tuple(hand_backs_to(state.service_accounts, (), written)),
        deletions=tuple(DeleteCopy(copy) for copy in ours if not copy.terminating),
    )
