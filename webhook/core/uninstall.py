"""Plan the removal of a release from one namespace: every copy of ours, and every reference of ours."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from webhook.core.actions import EMPTY, DeleteCopy, NamespacePlan
from webhook.core.dangling import marked
from webhook.core.gates import selected_pull_secrets
from webhook.core.model import PullSecret
from webhook.core.ownership import Ownership
from webhook.core.plan import hand_backs_to, removals_of

if TYPE_CHECKING:
    from webhook.core.model import Configuration
    from webhook.core.state import NamespaceState


def plan_uninstall(state: NamespaceState, configuration: Configuration) -> NamespacePlan:
    """Return the writes that remove everything of ours from a namespace.

    A reference is ours if the copy that it names is ours. If no Secret of that name exists, it is ours if the namespace
    is selected, or if the list shows that we wrote it: see :mod:`webhook.core.dangling`. If a foreign Secret has the
    name, the reference may be to that one and stays.
    """
    if state.namespace.terminating:
        return EMPTY
    ours = [copy for copy in state.copies.values() if state.ownership(copy) is Ownership.OURS]
    # A retired name no longer has a selector, so it may have gone to every opted-in namespace.
    retired = tuple(PullSecret(name, ()) for name in configuration.retired)
    all_of_them = replace(configuration, pull_secrets=configuration.pull_secrets + retired)
    due = marked(state, configuration).union(
        entry.name for entry in selected_pull_secrets(all_of_them, state.namespace)
    )
    absent = [name for name in configuration.secret_names if name in due and name not in state.copies]
    removals = tuple(removals_of(state.service_accounts, [copy.name for copy in ours], absent))
    written = {action.service_account.name for action in removals}
    return NamespacePlan(
        removals=removals,
        hand_backs=tuple(hand_backs_to(state.service_accounts, (), written)),
        deletions=tuple(DeleteCopy(copy) for copy in ours if not copy.terminating),
    )
