"""What has to go from one namespace when the release goes: every copy of ours, and every reference that is."""

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
    """Return the writes that leave nothing of ours in a namespace.

    A reference is ours where the copy that it names is. It is ours also where no Secret of that name exists, if the
    namespace is selected, or if the list shows that we wrote it: see :mod:`webhook.core.dangling`. Where a foreign
    Secret has the name, the reference may be to that one, and stays.
    """
    if state.namespace.terminating:
        return EMPTY
    ours = [copy for copy in state.copies.values() if state.ownership(copy) is Ownership.OURS]
    # A retired name no longer has a selector: it may have gone to every namespace that has opted in.
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
