"""Every namespace with its state and its reason, for the status page: looked at when somebody asks, and only then."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from webhook.core.actions import FindingReason
from webhook.core.gates import decide_namespace
from webhook.core.mistyped import mistyped_opt_in
from webhook.core.model import Reason
from webhook.core.preview.row import PreviewReason
from webhook.core.standing import CopyState
from webhook.observe.page_data import (
    NOT_LOOKED_AT,
    NOT_SELECTED,
    CertificateView,
    CopyView,
    EventView,
    NamespaceView,
    PageData,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from webhook.kube.events import EventRecorder
    from webhook.observe.certificate_metrics import IssuedCertificateMetrics
    from webhook.observe.health import Health
    from webhook.observe.sync_status import SyncStatus
    from webhook.sync.loop import SyncLoop
    from webhook.sync.outcome import Result

_WORST_FIRST = (
    CopyState.FAILING,
    CopyState.CONFLICTING,
    CopyState.MISSING,
    CopyState.STALE,
    CopyState.LEAVING,
    CopyState.KEPT,
    CopyState.CURRENT,
)
_REASONS: Mapping[CopyState, str] = {
    CopyState.CONFLICTING: "copy-conflict",
    CopyState.MISSING: PreviewReason.COPY_DUE,
    CopyState.STALE: PreviewReason.COPY_DUE,
    CopyState.KEPT: PreviewReason.COPY_KEPT,
    CopyState.LEAVING: PreviewReason.COPY_NOT_WANTED,
}
_WAITING: Mapping[CopyState, str] = {
    CopyState.MISSING: FindingReason.SOURCE_UNAVAILABLE,
    CopyState.STALE: PreviewReason.COPY_OUTDATED,
}
"""Reasons of copies that are not written until a source can be used again."""


def overview(
    loop: SyncLoop,
    status: SyncStatus,
    health: Health,
    recorder: EventRecorder,
    certificates: IssuedCertificateMetrics,
) -> PageData:
    """Return what the status page shows."""
    return PageData(
        now=datetime.now(UTC),
        status=status,
        unready="" if health.ready else health.report(),
        namespaces=list(_namespaces(loop)),
        events=[
            EventView(
                at,
                notice.reason,
                f"{notice.regarding.kind} {notice.regarding.namespace}/{notice.regarding.name}",
                notice.message,
                notice.type == "Warning",
            )
            for at, notice in recorder.recent()
        ],
        certificate=CertificateView(certificates.expiry, certificates.authority_expiry),
    )


def _namespaces(loop: SyncLoop) -> Iterator[NamespaceView]:
    hashes = {name: content.hash for name, content in loop.sources.contents().items()}
    leading = loop.leading_for is not None
    last_good = loop.sources.last_good_hashes()
    copies = loop.ledger.standings(hashes, last_good) if leading else {}
    failing = loop.ledger.failing() if leading else {}
    for name in sorted(loop.caches.namespaces.names()):
        namespace = loop.caches.namespaces.get(name)
        if namespace is None:
            continue
        reason = decide_namespace(namespace, loop.configuration).reason
        there = tuple(CopyView(*standing) for standing in copies.get(name, ()))
        mistyped = mistyped_opt_in(namespace.labels, loop.configuration.opt_in)
        typed = "" if mistyped is None else "=".join(mistyped)
        yield NamespaceView(name, *_state(there, reason, failing.get(name), partial(_waits, loop, name)), there, typed)


def _waits(loop: SyncLoop, namespace: str, pull_secret: str) -> bool:
    """Return whether nothing is written to a copy until its sources can be used again."""
    return loop.sources.is_waiting(pull_secret, loop.caches.copy(namespace, pull_secret))


def _state(
    copies: tuple[CopyView, ...], reason: Reason, failure: Result | None, waits: Callable[[str], bool]
) -> tuple[str, str]:
    """Return the state of a namespace, and its reason id; ``waits`` tells of a pull secret that no copy is written."""
    if failure is not None:
        return CopyState.FAILING, str(failure)
    states = {copy.state for copy in copies}
    worst = next((state for state in _WORST_FIRST if state in states), None)
    if worst is None:
        if reason is Reason.INJECTED:
            return NOT_LOOKED_AT, PreviewReason.NAMESPACE_SELECTED
        return NOT_SELECTED, reason
    if worst is CopyState.CURRENT:
        return worst, PreviewReason.COPY_CURRENT
    of_worst = [copy for copy in copies if copy.state is worst]
    if worst in _WAITING and all(waits(copy.secret) for copy in of_worst):
        return worst, _WAITING[worst]
    return worst, _REASONS.get(worst) or of_worst[0].reason
