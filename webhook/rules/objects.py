"""Define the parts of Kubernetes objects that decisions and plans read.

A :class:`Namespace` and a :class:`Subject` (a Pod or a ServiceAccount) are enough to decide. A plan also needs the
:class:`NamespaceState`: the copies and the ServiceAccounts of one namespace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from webhook.rules.configuration import DECLINE_ANNOTATION
from webhook.rules.copy_metadata import NOTHING_STORED, StoredMetadata
from webhook.rules.dockerconfig import COPY_TYPE
from webhook.rules.managed_fields import SETTLED, ListOwnership
from webhook.rules.ownership import Ownership, ownership_of
from webhook.rules.references import References  # noqa: TC001 - msgspec evaluates the annotation
from webhook.rules.renewing import NOT_ISSUED, IssuedState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook.rules.ownership import Mark


class Namespace(msgspec.Struct, frozen=True):
    """The fields of a namespace that a decision reads."""

    name: str
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    terminating: bool = False
    declined: frozenset[str] = frozenset()
    """The pull secrets that it declines; used only if the configuration lets namespaces decline."""
    uid: str = ""
    """Distinguishes it from an earlier namespace with the same name. Empty if a manifest has none."""


def declined_names(annotations: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the pull secrets that a namespace with these annotations declines."""
    text = annotations.get(DECLINE_ANNOTATION)
    return frozenset(filter(None, (name.strip() for name in text.split(",")))) if text else frozenset()


class Subject(msgspec.Struct, frozen=True):
    """The fields of a Pod or a ServiceAccount that a decision reads.

    It is a struct like its neighbours, because each review makes one of each; a frozen dataclass takes four times as
    long.
    """

    kind: Literal["Pod", "ServiceAccount"]
    name: str
    namespace: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    references: References
    service_account: str = ""
    images: tuple[str, ...] = ()
    generate_name: str = ""
    """Only for people: it identifies the Pod, because most Pods do not have a name yet."""


class Copy(msgspec.Struct, frozen=True):
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
    issued: IssuedState = NOT_ISSUED
    """When and for what the tokens in it were issued; empty for a copy without tokens of its namespace."""
    sources: str = ""
    """The versions of the sources that it was made from: see :func:`webhook.rules.versions.decode_sources`."""

    metadata: StoredMetadata = NOTHING_STORED
    """The configured labels and annotations that it has."""

    @property
    def replaceable_only(self) -> bool:
        """Return whether an update cannot fix it, because a type or an immutable Secret cannot be changed."""
        return self.immutable or self.type != COPY_TYPE


class ServiceAccount(msgspec.Struct, frozen=True):
    """The fields of a ServiceAccount that the plan reads; ``references`` is None when the list is unreadable."""

    namespace: str
    name: str
    resource_version: str
    labels: Mapping[str, str]
    references: References | None
    terminating: bool = False
    enforces: bool = False
    """True if its Pods may reference only its own references; see :mod:`webhook.rules.backfill`."""
    ownership: ListOwnership = SETTLED
    uid: str = ""
    """Only of those that tokens are issued of: see :mod:`webhook.rules.namespace_tokens`."""


class NamespaceState(msgspec.Struct, frozen=True):
    """The state of one namespace: itself, the Secrets that have a copy's name, and its ServiceAccounts."""

    namespace: Namespace
    copies: Mapping[str, Copy] = msgspec.field(default_factory=dict)
    service_accounts: Sequence[ServiceAccount] = ()
    token_accounts: Mapping[str, str] | None = None
    """The UIDs by name of the ServiceAccounts that tokens are issued of; None if they are not known."""

    def ownership(self, copy: Copy) -> Ownership:
        """Return the owner of a Secret in this namespace."""
        return ownership_of(copy.mark, self.namespace.uid)

    def is_foreign(self, copy: Copy) -> bool:
        """Return whether a Secret of this namespace must not be changed."""
        return self.ownership(copy) is Ownership.FOREIGN

    def is_proven(self, copy: Copy) -> bool:
        """Return whether a copy has the complete proof, so that at most its content has to be written."""
        return copy.mark is not None and copy.mark.written and copy.mark.namespace_uid == self.namespace.uid
