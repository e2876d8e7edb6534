"""Render the status page of sync: one HTML document without scripts. ``/status`` has the same data for programs.

Filter and search are a form that requests the page again, so that it works in every browser, by keyboard and by screen
reader. All text from a cluster passes :func:`~webhook.core.text.html_escaped`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from webhook.core.catalog import CATALOG
from webhook.core.standing import CopyState
from webhook.core.text import html_escaped as escape
from webhook.observe.page_data import NOT_LOOKED_AT, NOT_SELECTED, Wish
from webhook.observe.page_style import STYLE
from webhook.observe.page_summary import glance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from webhook.observe.page_data import EventView, NamespaceView, PageData
    from webhook.observe.sync_status import PullSecretStatus, SourceStatus

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
