"""Define the data of the status page: the state of the controller, and of each namespace with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from webhook.ops.sync_status import SyncStatus
    from webhook.rules.actions import Finding
    from webhook.rules.copy_status import CopyState
    from webhook.rules.expiry import Validity

NOT_SELECTED = "not selected"
"""The state of a namespace that has no copies and needs none."""

REFERENCES_ONLY = "references only"
"""The state of a selected namespace whose pull secrets all belong to it, so that it gets no copy."""

NOT_LOOKED_AT = "not checked yet"
"""The state of a selected namespace before the controller has checked it, or while another process leads."""


class CopyView(msgspec.Struct, frozen=True):
    """One copy of a namespace."""

    secret: str
    state: CopyState
    reason: str = ""


class NamespaceView(msgspec.Struct, frozen=True):
    """One namespace: the worst state of its copies, the reason id, and each copy.

    It is a struct because a page makes one for each namespace: a frozen dataclass takes twelve times as long.
    """

    name: str
    state: str
    reason: str
    copies: tuple[CopyView, ...] = ()
    mistyped: str = ""
    """A label of it, ``key=value``, that may be a misspelled opt-in label."""
    findings: tuple[Finding, ...] = ()
    """Objects in it that a person must change."""


class EventView(msgspec.Struct, frozen=True):
    """An Event that was sent, and its time."""

    at: datetime
    reason: str
    about: str
    message: str
    is_warning: bool
    namespace: str = ""


class CertificateView(msgspec.Struct, frozen=True):
    """Validity of the certificates in the Secrets; None if sync does not issue them, or has not yet."""

    serving: Validity | None
    authority: Validity | None


class PageData(msgspec.Struct, frozen=True):
    """All data of the page, at one moment."""

    now: datetime
    status: SyncStatus
    unready: str
    """The reason why the process is not ready, as in ``/readyz``; empty while it is ready."""
    namespaces: Sequence[NamespaceView]
    events: Sequence[EventView]
    certificate: CertificateView
    cluster: str = ""
    """The name of the cluster for people; empty if it was not given."""
    opt_in: str = ""
    """The label that opts a namespace in, or out if ``everywhere`` is True, as kubectl writes it."""
    everywhere: bool = False
    """True if the scope is ``All``: a namespace is selected unless it opts out."""
    confirm_command: str = ""
    """The command that confirms the held removals."""
    port: int = 0
    """The port of the page in the Pod; 0 outside a cluster."""


class PageQuery(msgspec.Struct, frozen=True):
    """The query of a URL: a part of a name, a state, the page of the result, and whether the page reloads itself."""

    text: str = ""
    state: str = ""
    page: int = 1
    reload: bool = False

    def names(self, namespace: NamespaceView) -> bool:
        """Return whether a namespace or one of its pull secrets matches the text."""
        return self.text.lower() in namespace.name or any(self.text == copy.secret for copy in namespace.copies)
