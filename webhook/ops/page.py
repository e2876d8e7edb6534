"""Render the status page of the controller: one HTML document without scripts; ``/status`` is the same as JSON.

Filter and search are a form that requests the page again. So they work in every browser, with a keyboard and with a
screen reader. Text from the cluster passes :func:`~webhook.rules.text.html_escaped`. The style is in the page itself.
Text has a contrast of 7 to 1 or more, in light and in dark mode. Each state has a word, not only a color.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from webhook.ops.page_data import NOT_LOOKED_AT, NOT_SELECTED, Wish
from webhook.report.reasons import CATALOG
from webhook.rules.copy_status import CopyState
from webhook.rules.text import html_escaped as escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from webhook.ops.page_data import EventView, NamespaceView, PageData
    from webhook.ops.sync_status import PullSecretStatus, SourceStatus, SyncStatus

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --faint: #4a525c; --line: #c9ced6; --band: #f3f5f8;
  --good: #0b5d2a; --bad: #8f0f1d; --mind: #6b4700; }
@media (prefers-color-scheme: dark) { :root { --ink: #eceff3; --paper: #14171b; --faint: #b9c0c9; --line: #434a54;
  --band: #1e2329; --good: #7fe0a2; --bad: #ffa3ab; --mind: #f3cd7d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 75rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--paper); }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .25rem 0; } .faint { color: var(--faint); }
a { color: inherit; } a:focus, input:focus, select:focus, button:focus { outline: 3px solid currentColor; }
.skip { position: absolute; left: -100rem; } .skip:focus { position: static; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .5rem; margin: 1rem 0; }
dl div { border: 1px solid var(--line); border-left-width: .4rem; border-radius: .3rem; padding: .5rem .75rem; }
dt { color: var(--faint); font-size: .9rem; } dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
.good { border-left-color: var(--good); } .bad { border-left-color: var(--bad); }
.mind { border-left-color: var(--mind); }
.state-current { color: var(--good); } .state-failing, .state-conflicting { color: var(--bad); font-weight: 600; }
.state-missing, .state-stale, .state-kept, .state-leaving { color: var(--mind); font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; } caption { text-align: left; color: var(--faint); padding: .25rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
thead th { background: var(--band); } tbody th { font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
form { display: flex; flex-wrap: wrap; gap: .75rem; align-items: end; margin: .5rem 0; }
label { display: grid; gap: .2rem; font-size: .9rem; }
input, select, button { font: inherit; min-height: 2.4rem; padding: .35rem .6rem; color: inherit;
  background: var(--paper); border: 1px solid var(--faint); border-radius: .3rem; }
nav ul { display: flex; gap: 1rem; list-style: none; padding: 0; margin: .75rem 0; }
"""

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
_Item = tuple[str, str, str]


def glance(data: PageData) -> str:
    """Return the summary list as HTML."""
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
    release = escape(f"{status.release_namespace}/{status.release}")
    return "".join(
        (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>pull-secret-webhook: {release}</title><style>{STYLE}</style></head><body>",
            '<a class="skip" href="#namespaces">To the namespaces</a><header>',
            f"<h1>pull-secret-webhook, release {release}</h1>",
            f'<p class="faint">Version {escape(status.version)}, as of {_time(data)}. <a href="">Reload</a></p>',
            "</header><main>",
            "<h2>At a glance</h2>",
            glance(data),
            *_pull_secrets(status.pull_secrets, status.sources),
            *_namespaces(data, wish),
            *_events(data.events),
            "</main></body></html>\n",
        )
    )


def _time(data: PageData) -> str:
    return f'<time datetime="{data.now.isoformat()}">{data.now:%Y-%m-%d %H:%M:%S} UTC</time>'


def _pull_secrets(pull_secrets: Iterable[PullSecretStatus], sources: Iterable[SourceStatus]) -> Iterator[str]:
    yield "<h2>Pull secrets</h2>"
    known = {source.name: source for source in sources}
    rows = [
        (
            f'<th scope="row">{escape(entry.name)}{" (retired)" if entry.retired else ""}</th>',
            f"<td>{'<br>'.join(_source(known.get(name), name) for name in entry.sources) or '–'}</td>",
            f'<td class="number">{entry.selected_namespaces}</td>',
            *(f'<td class="number">{entry.copies.get(state, 0)}</td>' for state in CopyState),
        )
        for entry in pull_secrets
    ]
    columns = ("Pull secret", "Sources", "Namespaces", *CopyState)
    yield _table("Copies of each pull secret, by state", columns, rows, numbers_from=2)


def _source(source: SourceStatus | None, name: str) -> str:
    if source is None or source.valid is None:
        return f"{escape(name)}: not read yet"
    if source.valid:
        number = source.registries
        return f"{escape(name)}: valid, {number} {'registry' if number == 1 else 'registries'}"
    return f'{escape(name)}: <span class="state-failing">{_reason(source.reason)}</span>'


def _namespaces(data: PageData, wish: Wish) -> Iterator[str]:
    found = sorted(filter(wish.wants, data.namespaces), key=_severity)
    pages = max(1, -(-len(found) // PER_PAGE))
    page = min(wish.page, pages)
    shown = found[(page - 1) * PER_PAGE : page * PER_PAGE]
    yield '<h2 id="namespaces">Namespaces</h2>'
    yield _form(data.namespaces, wish)
    if not data.status.leader.leading:
        holder = escape(data.status.leader.holder or "none")
        yield f"<p>This process is a standby and does not track copies; the leader does. Leader: {holder}.</p>"
    rows = [
        (
            f'<th scope="row">{escape(each.name)}</th>',
            f'<td class="state-{escape(each.state.replace(" ", "-"))}">{escape(each.state)}</td>',
            f"<td>{_reason(each.reason)}{_mistyped(each)}</td>",
            f"<td>{', '.join(f'{escape(copy.secret)}: {copy.state}' for copy in each.copies) or '–'}</td>",
        )
        for each in shown
    ]
    begin = (page - 1) * PER_PAGE + 1 if shown else 0
    end = begin + len(shown) - 1 if shown else 0
    everything = len(data.namespaces)
    of_all = f" found, of {everything}" if wish.text or wish.state else ""
    caption = f"{begin} to {end} of {len(found)}{of_all} namespaces, problems first"
    yield _table(caption, ("Namespace", "State", "Reason", "Copies"), rows)
    yield from _pages(wish, page, pages)


def _mistyped(namespace: NamespaceView) -> str:
    return f": the label {escape(namespace.mistyped)} may have a typing error" if namespace.mistyped else ""


def _severity(namespace: NamespaceView) -> tuple[int, str]:
    order = _WORST_FIRST.get(namespace.state, 0)
    return order, namespace.name


def _form(namespaces: Sequence[NamespaceView], wish: Wish) -> str:
    states = dict.fromkeys((*CopyState, NOT_SELECTED, NOT_LOOKED_AT), 0)
    for namespace in namespaces:
        states[namespace.state] = states.get(namespace.state, 0) + 1
    options = "".join(_option(state, number, chosen=state == wish.state) for state, number in states.items())
    return (
        '<form method="get" action="#namespaces" role="search">'
        f'<label>Name contains <input type="search" name="q" value="{escape(wish.text)}"></label>'
        f'<label>State <select name="state"><option value="">any ({len(namespaces)})</option>{options}</select></label>'
        '<button type="submit">Show</button></form>'
    )


def _option(state: str, number: int, *, chosen: bool) -> str:
    return f'<option value="{escape(state)}"{" selected" if chosen else ""}>{escape(state)} ({number})</option>'


def _pages(wish: Wish, page: int, pages: int) -> Iterator[str]:
    if pages == 1:
        return
    yield '<nav aria-label="Pages of namespaces"><ul>'
    for number, text in ((page - 1, "Previous"), (page + 1, "Next")):
        if 1 <= number <= pages:
            query = urlencode({"q": wish.text, "state": wish.state, "page": number})
            yield f'<li><a href="?{escape(query)}#namespaces">{text}</a></li>'
    yield f'<li aria-current="page">Page {page} of {pages}</li></ul></nav>'


def _events(events: Sequence[EventView]) -> Iterator[str]:
    yield "<h2>Recent events</h2>"
    rows = [
        (
            f'<td><time datetime="{each.at.isoformat()}">{each.at:%Y-%m-%d %H:%M:%S}</time></td>',
            f'<td class="state-{"failing" if each.is_warning else "current"}">{escape(each.reason)}</td>',
            f"<td>{escape(each.about)}</td>",
            f"<td>{escape(each.message)}</td>",
        )
        for each in events
    ]
    if rows:
        caption = "Events of this process, the latest first"
        yield _table(caption, ("When", "What", "About", "Message"), rows)
    else:
        yield "<p>This process has not sent Events since it became the leader.</p>"


def _reason(reason: str) -> str:
    """Return a reason id, with its meaning as a tooltip and for screen readers."""
    if reason not in CATALOG:
        return escape(reason) or "–"
    return f'<abbr title="{escape(CATALOG[reason].meaning.replace("`", ""))}">{escape(reason)}</abbr>'


def _table(caption: str, columns: Iterable[str], rows: Iterable[Iterable[str]], numbers_from: int = 99) -> str:
    head = "".join(
        f'<th scope="col"{" class=number" if position >= numbers_from else ""}>{escape(str(column))}</th>'
        for position, column in enumerate(columns)
    )
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
