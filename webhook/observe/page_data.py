"""Data of the status page: the state of the loop, and of each namespace with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from webhook.core.standing import CopyState
    from webhook.observe.sync_status import SyncStatus

NOT_SELECTED = "not selected"
"""The state of a namespace in which no copy is or should be."""

NOT_LOOKED_AT = "not looked at yet"
"""The state of one that is selected, while the loop has not come to it, or another process leads."""


@dataclass(frozen=True, slots=True)
class CopyView:
    """One copy of a namespace."""

    secret: str
    state: CopyState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NamespaceView:
    """One namespace: the worst state of its copies, the reason id, and each copy."""

    name: str
    state: str
    reason: str
    copies: tuple[CopyView, ...] = ()
    mistyped: str = ""
    """A label of it that may be a typing error of the opt-in label."""


@dataclass(frozen=True, slots=True)
class EventView:
    """Something that was told by an Event, and when."""

    at: datetime
    reason: str
    about: str
    message: str
    is_warning: bool


@dataclass(frozen=True, slots=True)
class CertificateView:
    """When what is in the Secrets expires; None where sync does not issue it, or has not yet."""

    expiry: datetime | None
    authority_expiry: datetime | None


@dataclass(frozen=True, slots=True)
class PageData:
    """All of it, at one moment."""

    now: datetime
    status: SyncStatus
    unready: str
    """Why the process is not ready, as ``/readyz`` says it; empty while it is."""
    namespaces: Sequence[NamespaceView]
    events: Sequence[EventView]
    certificate: CertificateView


@dataclass(frozen=True, slots=True)
class Wish:
    """A search by a person: a part of a name, a state, and the page of the result."""

    text: str = ""
    state: str = ""
    page: int = 1

    def wants(self, namespace: NamespaceView) -> bool:
        """Return whether a namespace matches the search."""
        named = self.text.lower() in namespace.name or any(self.text == copy.secret for copy in namespace.copies)
        return named and self.state in ("", namespace.state)
