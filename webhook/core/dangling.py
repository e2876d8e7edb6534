"""Find the references to copies that are not there, in namespaces that have lost their place.

Where a Secret of the name exists, a reference may be to that Secret. Where none exists, the reference is to nothing,
and it goes if the namespace was selected before. A namespace that was never selected keeps what a person has set there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.core.gates import selected_pull_secrets
from webhook.core.ownership import Ownership

if TYPE_CHECKING:
    from collections.abc import Collection

    from webhook.core.model import Configuration
    from webhook.core.state import NamespaceState, ServiceAccount


def without_copy(state: NamespaceState, configuration: Configuration, lost: Collection[str]) -> tuple[str, ...]:
    """Return those of the ``lost`` names that are not due in a namespace and have no Secret there."""
    if not lost:
        return ()
    wanted = {entry.name for entry in selected_pull_secrets(configuration, state.namespace)}
    return tuple(
        name for name in configuration.secret_names if name in lost and name not in wanted and name not in state.copies
    )


def marked(state: NamespaceState, configuration: Configuration) -> frozenset[str]:
    """Return the names in lists that only we have written: evidence that the namespace was selected.

    While a ServiceAccount that nobody else wrote has a reference of ours, it has an entry of our field manager. The
    entry goes when a person writes the list. See :mod:`webhook.core.managedfields`.
    """
    names = frozenset(configuration.secret_names)
    return frozenset(
        name
        for account in state.service_accounts
        if account.ownership.ours >= 0 and not account.ownership.owners
        for name in _names(account)
        if name in names
    )


def left_over(state: NamespaceState, lost: Collection[str]) -> frozenset[str]:
    """Return those of the ``lost`` names that a ServiceAccount references, without those of foreign Secrets."""
    foreign = {copy.name for copy in state.copies.values() if state.ownership(copy) is not Ownership.OURS}
    return frozenset(
        name for account in state.service_accounts for name in _names(account) if name in lost and name not in foreign
    )


def _names(account: ServiceAccount) -> tuple[str, ...]:
    return account.references.names if account.references is not None else ()
