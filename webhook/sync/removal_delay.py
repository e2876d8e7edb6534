"""Delay the removal of references from ServiceAccounts that enforce them.

A retired pull secret is injected until every replica of the webhook has the new configuration: a mounted ConfigMap
reaches one node later than another. If such a ServiceAccount lost the reference in the meantime, the API server would
refuse the Pods that still get it. See :mod:`webhook.rules.backfill`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.rules.actions import NamespacePlan

GRACE_SECONDS = 120.0
"""Seconds of delay. The kubelet checks ConfigMaps once a minute and may be a minute behind; the webhook then reads the
file immediately."""


class RemovalDelay:
    """Start times of the delays; only one worker at a time may call it for one namespace."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[str, dict[str, float]] = {}

    def hold(self, namespace: str, plan: NamespacePlan) -> tuple[NamespacePlan, float]:
        """Return the part of a plan to do now, and the seconds until the next check; 0 for none."""
        leaving = [removal.service_account for removal in plan.removals if removal.service_account.enforces]
        before = self._since.pop(namespace, {})
        if not leaving:
            return plan, 0.0
        now = self._clock()
        since = self._since[namespace] = {account.name: before.get(account.name, now) for account in leaving}
        waits = {name: GRACE_SECONDS - (now - began) for name, began in since.items() if now - began < GRACE_SECONDS}
        return (plan.without(removals_from=waits), min(waits.values())) if waits else (plan, 0.0)
