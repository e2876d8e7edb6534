"""One namespace as it is, as far as plans are made from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from webhook.core.dockerconfig import COPY_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook.core.inject import References
    from webhook.core.selection import Namespace


@dataclass(frozen=True, slots=True)
class Copy:
    """A Secret that has the name of a copy; ``ours`` when it carries this release's labels."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    ours: bool
    content_hash: str
    type: str = COPY_TYPE
    immutable: bool = False
    terminating: bool = False

    @property
    def replaceable_only(self) -> bool:
        """Whether no update can make it right: the API server refuses to change a type or an immutable Secret."""
        return self.immutable or self.type != COPY_TYPE


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """What the plan reads of a ServiceAccount; ``references`` is None when the list cannot be read."""

    namespace: str
    name: str
    resource_version: str
    labels: Mapping[str, str]
    references: References | None
    terminating: bool = False
    enforces: bool = False
    """Whether its Pods may reference only what it references itself; see :mod:`webhook.core.backfill`."""


@dataclass(frozen=True, slots=True)
class NamespaceState:
    """One namespace as it is: itself, the Secrets that have a copy's name, and its ServiceAccounts."""

    namespace: Namespace
    copies: Mapping[str, Copy] = field(default_factory=dict)
    service_accounts: Sequence[ServiceAccount] = ()
