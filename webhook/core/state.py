"""Define the state of one namespace from which plans are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from webhook.core.dockerconfig import COPY_TYPE
from webhook.core.managedfields import SETTLED, ListOwnership
from webhook.core.ownership import Ownership, ownership_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook.core.inject import References
    from webhook.core.ownership import Mark
    from webhook.core.selection import Namespace


@dataclass(frozen=True, slots=True)
class Copy:
    """A Secret that has the name of a copy; ``mark`` is None when it lacks the labels of this release."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    mark: Mark | None
    content_hash: str
    type: str = COPY_TYPE
    immutable: bool = False
    terminating: bool = False
    finalizers: tuple[str, ...] = ()
    """The first few finalizers that block the deletion, while it is ``terminating``."""

    @property
    def replaceable_only(self) -> bool:
        """Return whether an update cannot fix it, because a type or an immutable Secret cannot be changed."""
        return self.immutable or self.type != COPY_TYPE


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """The fields of a ServiceAccount that the plan reads; ``references`` is None when the list is unreadable."""

    namespace: str
    name: str
    resource_version: str
    labels: Mapping[str, str]
    references: References | None
    terminating: bool = False
    enforces: bool = False
    """True if its Pods may reference only its own references; see :mod:`webhook.core.backfill`."""
    ownership: ListOwnership = SETTLED


@dataclass(frozen=True, slots=True)
class NamespaceState:
    """The state of one namespace: itself, the Secrets that have a copy's name, and its ServiceAccounts."""

    namespace: Namespace
    copies: Mapping[str, Copy] = field(default_factory=dict)
    service_accounts: Sequence[ServiceAccount] = ()

    def ownership(self, copy: Copy) -> Ownership:
        """Return the owner of a Secret in this namespace."""
        return ownership_of(copy.mark, self.namespace.uid)

    def is_foreign(self, copy: Copy) -> bool:
        """Return whether a Secret of this namespace must not be changed."""
        return self.ownership(copy) is Ownership.FOREIGN

    def is_proven(self, copy: Copy) -> bool:
        """Return whether a copy has the complete proof, so that at most its content has to be written."""
        return copy.mark is not None and copy.mark.written and copy.mark.namespace_uid == self.namespace.uid
