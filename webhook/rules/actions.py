"""Define the actions in one namespace: the writes of a plan, and the findings that it leaves to a person."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from webhook.rules.copy_metadata import NO_METADATA

if TYPE_CHECKING:
    from collections.abc import Collection

    from webhook.rules.copy_metadata import CopyMetadata
    from webhook.rules.managed_fields import HandBackNeed
    from webhook.rules.objects import Copy, ServiceAccount


class ApplyCopy(msgspec.Struct, frozen=True):
    """Write the copy ``name``: over the Secret of ours that it ``updates``, or as a new one.

    ``replaces`` is a Secret of ours that must be deleted first, because no update can correct it.
    """

    name: str
    updates: Copy | None = None
    replaces: Copy | None = None
    metadata: CopyMetadata = NO_METADATA
    """Its configured labels and annotations."""
    only_metadata: bool = False
    """True if they are all that it lacks."""


class AddReferences(msgspec.Struct, frozen=True):
    """Add ``names`` to a ServiceAccount's imagePullSecrets."""

    service_account: ServiceAccount
    names: tuple[str, ...]


class RemoveReferences(msgspec.Struct, frozen=True):
    """Remove every entry that names one of ``names`` from a ServiceAccount's imagePullSecrets."""

    service_account: ServiceAccount
    names: tuple[str, ...]
    without_copy: tuple[str, ...] = ()
    """The names without a known Secret: before the write, the API server has to confirm that it does not exist."""


class HandBack(msgspec.Struct, frozen=True):
    """Leave the list of a ServiceAccount with its owners: see :mod:`webhook.rules.managed_fields`."""

    service_account: ServiceAccount
    need: HandBackNeed


class DeleteCopy(msgspec.Struct, frozen=True):
    """Delete exactly this Secret of ours."""

    copy: Copy


class FindingReason(StrEnum):
    """The stable ids of the findings about a namespace; Events carry them in CamelCase."""

    COPY_CONFLICT = "copy-conflict"
    SOURCE_UNAVAILABLE = "source-unavailable"
    REFERENCE_REQUIRED = "reference-required"
    REFERENCES_TOO_MANY = "references-too-many"
    COPY_TERMINATING = "copy-terminating"
    TOKEN_ACCOUNT_ABSENT = "token-account-absent"  # noqa: S105 - a reason id


class Finding(msgspec.Struct, frozen=True):
    """An object that the plan leaves as it is, and why: a copy, or a ServiceAccount's reference to it."""

    reason: FindingReason
    secret: str
    service_account: str = ""
    detail: str = ""


class NamespacePlan(msgspec.Struct, frozen=True):
    """The writes for one namespace, in the order in which they are made.

    Copies come before the references to them, and in removals references before the copies. So a ServiceAccount never
    references a Secret that does not exist. The exception is the ``required`` additions, to ServiceAccounts that
    enforce their references: without them the API server refuses Pods.
    """

    required: tuple[AddReferences, ...] = ()
    copies: tuple[ApplyCopy, ...] = ()
    additions: tuple[AddReferences, ...] = ()
    removals: tuple[RemoveReferences, ...] = ()
    deletions: tuple[DeleteCopy, ...] = ()
    hand_backs: tuple[HandBack, ...] = ()
    """For ServiceAccounts without another write. They change no list, so they wait for everything else."""
    findings: tuple[Finding, ...] = ()
    namespace_uid: str = ""
    """Goes into a label of each copy: see :mod:`webhook.rules.ownership`."""

    @property
    def number_of_writes(self) -> int:
        """The number of objects to write."""
        writes = (self.required, self.copies, self.additions, self.removals, self.deletions, self.hand_backs)
        return sum(map(len, writes))

    @property
    def copies_to_write(self) -> frozenset[str]:
        """The names of the copies to write or delete."""
        return frozenset((*(action.name for action in self.copies), *(action.copy.name for action in self.deletions)))

    @property
    def accounts_to_write(self) -> frozenset[str]:
        """The names of the ServiceAccounts to write."""
        actions: tuple[AddReferences | RemoveReferences | HandBack, ...] = (
            *self.required,
            *self.additions,
            *self.removals,
            *self.hand_backs,
        )
        return frozenset(action.service_account.name for action in actions)

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to write."""
        return not self.number_of_writes

    def without(
        self,
        *,
        copies: Collection[str] = (),
        additions_to: Collection[str] = (),
        removals_from: Collection[str] = (),
    ) -> NamespacePlan:
        """Return this plan without the writes of these copies and ServiceAccounts, and the writes that depend on them.

        A missing copy that is held back also holds back the references to it. A reference that is not removed holds
        back the deletion of its copy.
        """
        absent = {action.name for action in self.copies if action.name in copies and action.updates is None}
        held = [action for action in self.removals if action.service_account.name in removals_from]
        still_referenced = {name for action in held for name in action.names}
        return replace(
            self,
            required=_except_accounts(self.required, additions_to),
            copies=tuple(action for action in self.copies if action.name not in copies),
            additions=_except_secrets(_except_accounts(self.additions, additions_to), absent),
            removals=tuple(action for action in self.removals if action.service_account.name not in removals_from),
            deletions=tuple(action for action in self.deletions if action.copy.name not in still_referenced),
        )

    def without_removals_of(self, names: Collection[str]) -> NamespacePlan:
        """Return this plan without the removals of copies of these names, and of references to them."""
        if not names:
            return self
        kept = (
            replace(
                action,
                names=tuple(name for name in action.names if name not in names),
                without_copy=tuple(name for name in action.without_copy if name not in names),
            )
            for action in self.removals
        )
        return replace(
            self,
            removals=tuple(action for action in kept if action.names),
            deletions=tuple(action for action in self.deletions if action.copy.name not in names),
        )


def _except_accounts(actions: tuple[AddReferences, ...], accounts: Collection[str]) -> tuple[AddReferences, ...]:
    return tuple(action for action in actions if action.service_account.name not in accounts)


def _except_secrets(actions: tuple[AddReferences, ...], secrets: Collection[str]) -> tuple[AddReferences, ...]:
    kept = (replace(action, names=tuple(name for name in action.names if name not in secrets)) for action in actions)
    return tuple(action for action in kept if action.names)


EMPTY = NamespacePlan()
