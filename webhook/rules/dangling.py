"""Find references to missing copies in namespaces that are no longer selected.

If a Secret with the name exists, a reference may be to that Secret. If none exists, the reference is removed if the
namespace was selected before. A namespace that was never selected keeps the references that a person has set.

It is unknown whether a Secret that belongs to the tenants exists. A reference to it is removed only from a list that
no person has written: in another list, it may be their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.rules.gates import selected_pull_secrets
from webhook.rules.ownership import Ownership

if TYPE_CHECKING:
    from collections.abc import Collection

    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import Namespace, NamespaceState, ServiceAccount


def dangling_names(state: NamespaceState, configuration: Configuration, lost: Collection[str]) -> tuple[str, ...]:
    """Return the ``lost`` names that are not due in a namespace and have no Secret there."""
    if not lost:
        return ()
    selected = {entry.name for entry in selected_pull_secrets(configuration, state.namespace)}
    return tuple(
        name
        for name in configuration.secret_names
        if name in lost and name not in selected and name not in state.copies
    )


def undue_tenant_names(namespace: Namespace, configuration: Configuration, lost: Collection[str]) -> tuple[str, ...]:
    """Return the ``lost`` names of tenants' Secrets that are not due in a namespace; see :func:`is_unwritten`."""
    names = [name for name in configuration.tenant_names if name in lost and name not in configuration.secret_names]
    if not names:
        return ()
    selected = {entry.name for entry in selected_pull_secrets(configuration, namespace)}
    return tuple(name for name in names if name not in selected)


def is_unwritten(account: ServiceAccount) -> bool:
    """Return whether no person has written the list of a ServiceAccount, so that all references in it are ours."""
    return not account.ownership.owners


def names_written_by_us(state: NamespaceState, configuration: Configuration) -> frozenset[str]:
    """Return the names in lists that only we have written, which proves that the namespace was selected.

    A ServiceAccount that only we wrote has an entry of our field manager while it has a reference of ours. The entry
    disappears when a person writes the list. See :mod:`webhook.rules.managed_fields`.
    """
    names = frozenset(configuration.reference_names)
    return frozenset(
        name
        for account in state.service_accounts
        if account.ownership.ours >= 0 and is_unwritten(account)
        for name in _names(account)
        if name in names
    )


def still_referenced(state: NamespaceState, configuration: Configuration, lost: Collection[str]) -> frozenset[str]:
    """Return the ``lost`` names that a ServiceAccount references, except those whose references stay."""
    foreign = {copy.name for copy in state.copies.values() if state.ownership(copy) is not Ownership.OURS}
    tenants = frozenset(configuration.tenant_names)
    return frozenset(
        name
        for account in state.service_accounts
        for name in _names(account)
        if name in lost and name not in foreign and (name not in tenants or is_unwritten(account))
    )


def _names(account: ServiceAccount) -> tuple[str, ...]:
    return account.references.names if account.references is not None else ()
