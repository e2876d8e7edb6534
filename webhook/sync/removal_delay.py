"""Leaves references for a while in ServiceAccounts that enforce them.

A pull secret that is retired is injected for as long as a replica of the webhook does not know: a mounted ConfigMap
reaches one node later than another. Were the reference gone from such a ServiceAccount meanwhile, the API server would
refuse the Pods that still get it. See :mod:`webhook.rules.backfill`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.rules.actions import NamespacePlan

GRACE_SECONDS = 120.0
"""The kubelet looks at ConfigMaps once a minute and may be a minute behind; the webhook then reads the file at once."""


class RemovalDelay:
    """Since when references are to be taken out; one namespace is asked about by one worker at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[str, dict[str, float]] = {}

    def hold(self, namespace: str, plan: NamespacePlan) -> tuple[NamespacePlan, float]:
        """Return what of a plan is to be done now, and in how many seconds to look again; 0 for not at all."""
        leaving = [removal.service_account for removal in plan.removals if removal.service_account.enforces]
        before = self._since.pop(namespace, {})
        if not leaving:
            return plan, 0.0
        now = self._clock()
        since = self._since[namespace] = {account.name: before.get(account.name, now) for account in leaving}
        waits = {name: GRACE_SECONDS - (now - began) for name, began in since.items() if now - began < GRACE_SECONDS}
        return (plan.without(removals_from=waits), min(waits.values())) if waits else (plan, 0.0)
