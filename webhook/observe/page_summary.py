"""The health of sync at a glance: a handful of things, each good, bad, or to be minded."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from webhook.core.standing import CopyState
from webhook.core.text import html_escaped as escape

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from webhook.observe.page_data import PageData
    from webhook.observe.sync_status import SyncStatus

WAITING_SECONDS = 60.0
"""A namespace that has been waiting for longer is worth a look: a write takes milliseconds."""

SHORT_LIVED = timedelta(days=7)
"""Remaining lifetime of a certificate that should have been renewed: a third of 30 days is more than that."""

_WRONG = (CopyState.FAILING, CopyState.CONFLICTING)
_Item = tuple[str, str, str]


def glance(data: PageData) -> str:
    """Return the list of what there is to see, as HTML."""
    items = (*_process(data), *_cluster(data), *_certificate(data))
    return f"<dl>{''.join(_item(*item) for item in items)}</dl>"


def _item(kind: str, term: str, text: str) -> str:
    words = {"good": "in order", "bad": "wrong", "mind": "to be minded"}
    return f'<div class="{kind}"><dt>{escape(term)} ({words[kind]})</dt><dd>{escape(text)}</dd></div>'


def _process(data: PageData) -> Iterator[_Item]:
    status, leader = data.status, data.status.leader
    yield ("bad", "Ready", data.unready) if data.unready else ("good", "Ready", "yes")
    if leader.leading:
        yield ("good", "Leader", "this process")
    else:
        yield ("mind" if leader.holder else "bad", "Leader", leader.holder or "nobody")
    down = [watch.of for watch in status.watches if not watch.connected]
    yield ("bad", "Watches", f"down: {', '.join(down)}") if down else ("good", "Watches", f"{len(status.watches)} open")
    if status.paused_seconds:
        yield ("mind", "Writes", f"paused for {status.paused_seconds:.0f} s: the API server has had enough")


def _cluster(data: PageData) -> Iterator[_Item]:
    status = data.status
    bad = [source.name for source in status.sources if source.valid is False]
    good = f"{len(status.sources)} valid"
    yield ("bad", "Sources", f"not usable: {', '.join(bad)}") if bad else ("good", "Sources", good)
    wrong = {state: sum(entry.copies.get(state, 0) for entry in status.pull_secrets) for state in CopyState}
    current, total = wrong[CopyState.CURRENT], sum(entry.selected_namespaces for entry in status.pull_secrets)
    kind = "bad" if any(wrong[state] for state in _WRONG) else "good" if current == total else "mind"
    yield (kind, "Copies", f"{current} of {total} current{''.join(_kept(status))}")
    if status.held_removals:
        text = f"the configuration would remove {status.held_removals} copies: correct it, or confirm it (Event)"
        yield ("bad", "Removals held", text)
    if status.failing_namespaces:
        yield ("bad", "Failing", f"{status.failing_namespaces} namespaces where a write fails")
    oldest = status.oldest_unreconciled
    if oldest is not None and oldest.seconds > WAITING_SECONDS:
        yield ("mind", "Waiting for longest", f"{oldest.namespace}, {oldest.seconds:.0f} s")
    contended = sum(status.contended_objects.values())
    if contended:
        yield ("mind", "Changed back by somebody", f"{contended} objects")


def _kept(status: SyncStatus) -> Iterator[str]:
    """Yield how many copies are kept, with the last good content or with one that is not known to be that."""
    for known, holding in ((True, "with the last good content"), (False, "as they are")):
        number = sum(entry.copies.get(CopyState.KEPT, 0) for entry in status.pull_secrets if entry.last_good is known)
        if number:
            yield f", {number} kept {holding}"


def _certificate(data: PageData) -> Iterator[_Item]:
    certificate = data.certificate
    if certificate.expiry is None:
        yield ("mind", "Serving certificate", "not issued here")
        return
    yield _clock("Serving certificate", certificate.expiry, data.now)
    if certificate.authority_expiry is not None:
        yield _clock("Certificate authority", certificate.authority_expiry, data.now)


def _clock(term: str, expiry: datetime, now: datetime) -> _Item:
    left = expiry - now
    if left < timedelta():
        return ("bad", term, f"expired {expiry:%Y-%m-%d %H:%M} UTC")
    kind = "mind" if left < SHORT_LIVED else "good"
    return (kind, term, f"{_span(left)} left, until {expiry:%Y-%m-%d %H:%M} UTC")


def _span(left: timedelta) -> str:
    if left.days:
        return f"{left.days} {'day' if left.days == 1 else 'days'}"
    hours, minutes = left.seconds // 3600, left.seconds % 3600 // 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
