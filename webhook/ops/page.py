"""Render the status page of the controller: one HTML document without scripts; ``/status`` is the same as JSON.

Filter and search are a form that requests the page again. So they work in every browser, with a keyboard and with a
screen reader. The template has the markup; this module chooses what it shows. The style is in the page itself. Text has
a contrast of 7 to 1 or more, in light and in dark mode. Each state has a word, not only a color.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from webhook.ops.html import STYLE
from webhook.ops.html import render as render_template
from webhook.ops.page_data import NOT_LOOKED_AT, NOT_SELECTED, Wish
from webhook.report.reasons import CATALOG
from webhook.rules.copy_status import CopyState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from webhook.ops.page_data import NamespaceView, PageData
    from webhook.ops.sync_status import SyncStatus

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The browser runs no script and loads nothing, even if a name on the page is hostile."""

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


WAITING_SECONDS = 60.0
"""Seconds after which a waiting namespace is highlighted: a write takes milliseconds."""

SHORT_LIVED = timedelta(days=7)
"""Remaining lifetime below which a certificate should have been renewed: a third of 30 days is more than that."""

_WRONG = (CopyState.FAILING, CopyState.CONFLICTING)
_KINDS = {"good": "in order", "bad": "wrong", "mind": "to be minded"}
_MEANINGS = {reason: text.meaning.replace("`", "") for reason, text in CATALOG.items()}
_Item = tuple[str, str, str]
"""An entry of the summary list: its kind, its term and its text."""


def _glance(data: PageData) -> Iterator[_Item]:
    yield from _process(data)
    yield from _cluster(data)
    yield from _certificate(data)


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
    """Yield the number of kept copies: with the last good content, or with one that is not known to be that."""
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


_WORST_FIRST = {
    state: position
    for position, state in enumerate(
        (
            CopyState.FAILING,
            CopyState.CONFLICTING,
            CopyState.MISSING,
            CopyState.STALE,
            CopyState.LEAVING,
            NOT_LOOKED_AT,
            CopyState.KEPT,
            CopyState.CURRENT,
            NOT_SELECTED,
        )
    )
}
PER_PAGE = 100
"""Namespaces on one page: few enough to scan, and quick to read for a screen reader."""


def wish_of(query: Mapping[str, str]) -> Wish:
    """Return the search in the query of a URL; invalid values are ignored."""
    page = query.get("page", "")
    number = int(page) if page.isascii() and page.isdigit() and len(page) < 6 else 1  # noqa: PLR2004 - 99,999 pages
    return Wish(query.get("q", "").strip()[:253], query.get("state", ""), max(1, number))


def render(data: PageData, wish: Wish) -> str:
    """Return the page."""
    status = data.status
    return render_template(
        "status",
        release=f"{status.release_namespace}/{status.release}",
        status=status,
        now=data.now,
        glance=_glance(data),
        kinds=_KINDS,
        states=list(CopyState),
        sources={source.name: source for source in status.sources},
        meanings=_MEANINGS,
        query=wish,
        total=len(data.namespaces),
        counted=_counted(data.namespaces),
        found=_search(data.namespaces, wish),
        events=data.events,
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """One page of the namespaces that were searched for, with links to the pages before and after it."""

    caption: str
    shown: Sequence[NamespaceView]
    page: int
    pages: int
    links: Sequence[tuple[str, str]]


def _search(namespaces: Sequence[NamespaceView], wish: Wish) -> _Found:
    found = sorted(filter(wish.wants, namespaces), key=_severity)
    pages = max(1, -(-len(found) // PER_PAGE))
    page = min(wish.page, pages)
    shown = found[(page - 1) * PER_PAGE : page * PER_PAGE]
    begin = (page - 1) * PER_PAGE + 1 if shown else 0
    end = begin + len(shown) - 1 if shown else 0
    of_all = f" found, of {len(namespaces)}" if wish.text or wish.state else ""
    links = [
        (text, f"?{urlencode({'q': wish.text, 'state': wish.state, 'page': number})}#namespaces")
        for number, text in ((page - 1, "Previous"), (page + 1, "Next"))
        if 1 <= number <= pages
    ]
    caption = f"{begin} to {end} of {len(found)}{of_all} namespaces, problems first"
    return _Found(caption, shown, page, pages, links)


def _severity(namespace: NamespaceView) -> tuple[int, str]:
    order = _WORST_FIRST.get(namespace.state, 0)
    return order, namespace.name


def _counted(namespaces: Sequence[NamespaceView]) -> dict[str, int]:
    states: dict[str, int] = dict.fromkeys((*CopyState, NOT_SELECTED, NOT_LOOKED_AT), 0)
    for namespace in namespaces:
        states[namespace.state] = states.get(namespace.state, 0) + 1
    return states
