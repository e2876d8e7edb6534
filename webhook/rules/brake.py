"""Decide whether a configuration change removes so many copies that a person has to confirm it.

One edit can remove every copy: a typing error in ``optIn.label`` is enough. So a change that removes more than
:func:`max_removals` is held: the copies and references that only this change would remove stay. Removals with another
cause pass: a retired pull secret, the label of a namespace, an uninstallation.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from webhook.rules.gates import selected_pull_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import Namespace

CONFIRM_ANNOTATION = "pullsecrets.webhook/confirm-removals"
"""On the state Secret: the digest of the configuration whose removals a person confirms."""

ALWAYS_ALLOWED = 20
"""In copies, so that a small cluster does not need a confirmation for each change."""

LARGEST_SHARE = 0.3
"""The share of all copies."""

WINDOW = timedelta(hours=1)
"""Removals by several changes within this time are counted together."""

_DIGEST_LETTERS = 12


class PastRemoval(msgspec.Struct, frozen=True):
    """A change that was let through: its time and the number of copies it removed."""

    time: datetime
    copies: int


class Removals(msgspec.Struct, frozen=True):
    """The number of copies that a change would remove, and the number of all copies."""

    copies: int
    total: int

    def exceeds(self, past: Sequence[PastRemoval]) -> bool:
        """Return whether a person has to confirm it, including recent removals by other changes."""
        before = sum(removal.copies for removal in past)
        # Removed copies are gone from the total, so they are added again. The share is then that of the hour's
        # beginning.
        return self.copies > 0 and self.copies + before > max_removals(self.total + before)


def max_removals(copies: int) -> int:
    """Return how many of ``copies`` may be removed without a confirmation."""
    return max(ALWAYS_ALLOWED, int(copies * LARGEST_SHARE))


def recent(past: Sequence[PastRemoval], now: datetime) -> tuple[PastRemoval, ...]:
    """Return the removals that still count."""
    return tuple(removal for removal in past if now - removal.time < WINDOW)


def lost_by_change(accepted: Configuration | None, proposed: Configuration, namespace: Namespace) -> frozenset[str]:
    """Return the pull secrets that a namespace loses only because of a configuration change.

    If the accepted configuration does not select a name here either, it is lost for another reason: the namespace has
    opted out. If the accepted configuration is unknown, each name that the proposed one does not select may be lost by
    it.
    """
    selected = {entry.name for entry in selected_pull_secrets(proposed, namespace)}
    names = {entry.name for entry in proposed.pull_secrets} - selected
    if accepted is None or not names:
        return frozenset(names)
    return frozenset(names.intersection(entry.name for entry in selected_pull_secrets(accepted, namespace)))


def encode_configuration(configuration: Configuration) -> bytes:
    """Return a configuration as JSON; equal configurations give equal bytes."""
    return msgspec.json.encode(configuration, order="deterministic")


def digest(configuration: Configuration) -> str:
    """Return a short digest of a configuration, so that a person confirms exactly this one."""
    return hashlib.sha256(encode_configuration(configuration)).hexdigest()[:_DIGEST_LETTERS]


def confirm_command(namespace: str, secret: str, configuration_digest: str) -> str:
    """Return the command that confirms the removals of a configuration."""
    return (
        f"kubectl --namespace {namespace} annotate --overwrite secret {secret} "
        f"{CONFIRM_ANNOTATION}={configuration_digest}"
    )
