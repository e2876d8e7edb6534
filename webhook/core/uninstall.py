"""What has to go from one namespace when the release goes: every copy of ours, and every reference that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.core.actions import EMPTY, DeleteCopy, NamespacePlan
from webhook.core.gates import selected_pull_secrets
from webhook.core.ownership import Ownership
from webhook.core.plan import hand_backs_to, removals_of

if TYPE_CHECKING:
    from webhook.core.model import Configuration
    from webhook.core.state import NamespaceState


def plan_uninstall(state: NamespaceState, configuration: Configuration) -> NamespacePlan:
    """Return the writes that leave nothing of ours in a namespace.

    A reference is ours where the copy that it names is; and in a selected namespace also where no Secret of that name
    is there at all, because the webhook adds references that have no copy yet. Where a foreign Secret has the name, the
    reference may be to that one, and stays.
    """
    if state.namespace.terminating:
        return EMPTY
    ours = [copy for copy in state.copies.values() if state.ownership(copy) is Ownership.OURS]
    dangling = [
        entry.name for entry in selected_pull_secrets(configuration, state.namespace) if entry.name not in state.copies
    ]
    removals = tuple(removals_of(state.service_accounts, [copy.name for copy in ours] + dangling))
    written = {action.service_account.name for action in removals}
    return NamespacePlan(
        removals=removals,
        hand_backs=tuple(hand_backs_to(state.service_accounts, (), written)),
        deletions=tuple(DeleteCopy(copy) for copy in ours if not copy.terminating),
    )
