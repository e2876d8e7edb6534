"""Render the status page of the controller: one HTML document that loads nothing; ``/status`` is the same as JSON.

Filters are links and a form that request the page again. So they work in every browser, without scripts, with a
keyboard and with a screen reader. The one script adds buttons that copy the commands. The templates have the markup;
this module chooses what they show. The style is in the page itself. Text has a contrast of 7 to 1 or more, in light and
in dark mode. Each state has a word, not only a color.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec

from webhook.ops.attention import (
    KIND_WORDS,
    MOST_ITEMS,
    Kind,
    certificate_kind,
    find_attention,
    judge,
    remaining,
    sentence,
    span,
)
from webhook.ops.html import SCRIPT, STYLE, stack
from webhook.ops.html import render as render_template
from webhook.ops.page_data import NOT_LOOKED_AT, NOT_SELECTED, REFERENCES_ONLY, PageQuery
from webhook.report.reasons import CATALOG, WRITE_RESULTS
from webhook.rules.copy_status import CopyState
from webhook.rules.expiry import describe
from webhook.rules.healing import AWAITING, HealingReason
from webhook.rules.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from webhook.ops.page_data import EventView, NamespaceView, PageData
    from webhook.ops.sync_status import HealingStatus, LeaderStatus, PullSecretStatus, RolloutStatus, SyncStatus


def _hash_source(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src {_hash_source(STYLE)}; script-src {_hash_source(SCRIPT)}; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The browser runs no other script and loads nothing, even if a name on the page is hostile."""

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

PER_PAGE = 100
"""Namespaces on one page: few enough to scan, and quick to read for a screen reader."""

RELOAD_SECONDS = 30
"""Seconds after which the page reloads, if that is wanted."""

MOST_ENTRIES = 10
"""Pull secrets and sources on one page, those with problems first; the others are counted."""

MOST_NAMED = 3
"""Names that are listed in one place; the others are counted."""

LONGEST_MESSAGE = 300
"""Characters of one message."""

_STATE_KINDS = {
    CopyState.FAILING: Kind.BAD,
    CopyState.CONFLICTING: Kind.BAD,
    CopyState.MISSING: Kind.MIND,
    CopyState.STALE: Kind.MIND,
    CopyState.LEAVING: Kind.MIND,
    NOT_LOOKED_AT: Kind.MIND,
    CopyState.KEPT: Kind.MIND,
    CopyState.CURRENT: Kind.GOOD,
    REFERENCES_ONLY: Kind.GOOD,
    NOT_SELECTED: "",
}
"""The class of each state of a namespace, the worst first."""

_WORST_FIRST = {state: position for position, state in enumerate(_STATE_KINDS)}


def parse_query(query: Mapping[str, str]) -> PageQuery:
    """Return the query of a URL; invalid values are ignored."""
    page = query.get("page", "")
    # isdigit() alone is true for a superscript, which int() refuses.
    number = int(page) if page.isascii() and page.isdigit() and len(page) < 6 else 1  # noqa: PLR2004 - 99,999 pages
    reload = query.get("reload", "") == str(RELOAD_SECONDS)
    # Cut, because each link of the page repeats the text, and names have at most 253 characters.
    return PageQuery(query.get("q", "").strip()[:253], query.get("state", ""), max(1, number), reload)


def render(data: PageData, query: PageQuery) -> str:
    """Return the page."""
    status, items = data.status, find_attention(data)
    # sorted() is stable, so entries of the same kind keep their order.
    pull_secrets = sorted(status.pull_secrets, key=lambda entry: not (entry.problem or _is_wrong(entry)))
    sources = sorted(status.sources, key=lambda source: source.valid is True)
    return render_template(
        "status",
        release=f"{status.release_namespace}/{status.release}",
        cluster=data.cluster,
        status=status,
        now=data.now,
        verdict=judge(data, items),
        kind_words=KIND_WORDS,
        items=items[:MOST_ITEMS],
        more_items=len(items) - MOST_ITEMS,
        pull_secrets=[
            (entry, stack(entry.copies, _STATE_KINDS), _rotation(entry, data.now))
            for entry in pull_secrets[:MOST_ENTRIES]
        ],
        sources=sources[:MOST_ENTRIES],
        most_entries=MOST_ENTRIES,
        most_named=MOST_NAMED,
        known_reasons=CATALOG.keys() | WRITE_RESULTS.keys(),
        state_kinds=_STATE_KINDS,
        query=query,
        link=lambda **changes: _link(query, **changes),
        chips=_chips(data.namespaces, query),
        found=_search(data.namespaces, query),
        event_groups=_group(data.events),
        certificates=list(_certificates(data)),
        controller=list(_controller(status)),
        leader=_leader(status.leader)[1],
        count=counted,
        time_of=datetime.fromisoformat,
        ago=lambda time: _ago(time, data.now),
        expiry=lambda time: describe(time, data.now),
        cut=_cut,
        reload_seconds=RELOAD_SECONDS,
    )


def render_reasons() -> str:
    """Return the page that explains each reason id and each result of a write."""
    return render_template("reasons", reasons=CATALOG, results=WRITE_RESULTS, sentence=_plain_sentence)


def _plain_sentence(text: str) -> str:
    return sentence(text.replace("`", ""))


def _is_wrong(entry: PullSecretStatus) -> bool:
    return bool(entry.copies.get(CopyState.FAILING, 0) or entry.copies.get(CopyState.CONFLICTING, 0))


def _rotation(entry: PullSecretStatus, now: datetime) -> str:
    """Return a sentence about the last change of the content, as far as it is known; empty if it is not."""
    stage = _stage(entry.rollout) if entry.rollout is not None else ""
    if not entry.content_since:
        return stage
    text = f"Content first seen {_ago(datetime.fromisoformat(entry.content_since), now)}"
    if entry.rotation_seconds is not None:
        text = f"{text}; the rotation reached all copies in {_duration(entry.rotation_seconds)}"
    return f"{text}. {stage}".strip()


def _stage(rollout: RolloutStatus) -> str:
    """Return a sentence about the stage of a rotation; empty if none is under way."""
    if not rollout.message:
        return ""
    return (
        f"Stage of the rotation since {rollout.since:%Y-%m-%d %H:%M} UTC: {rollout.stage}. {sentence(rollout.message)}"
    )


def _duration(seconds: float) -> str:
    minute = 60
    return f"{seconds:.1f} s" if seconds < minute else span(timedelta(seconds=seconds))


def _ago(time: datetime, now: datetime) -> str:
    return f"{span(now - time)} ago" if now - time >= timedelta(seconds=1) else "just now"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}…"


class _SearchPage(msgspec.Struct, frozen=True):
    """One page of the namespaces that were searched for, with links to the pages before and after it."""

    caption: str
    shown: Sequence[NamespaceView]
    page: int
    pages: int
    links: Sequence[tuple[str, str]]


class _Chip(msgspec.Struct, frozen=True):
    """A link to the namespaces in one state, with their number; ``state`` is empty for all."""

    state: str
    kind: str
    number: int
    link: str
    is_chosen: bool


def _link(query: PageQuery, *, reload: bool | None = None, **changes: str | int) -> str:
    """Return the URL of the page with some of its query changed."""
    parts: dict[str, str | int] = {"q": query.text, "state": query.state, **changes}
    parts["reload"] = RELOAD_SECONDS if (query.reload if reload is None else reload) else ""
    return f"?{urlencode({name: value for name, value in parts.items() if value != ''})}"


def _chips(namespaces: Sequence[NamespaceView], query: PageQuery) -> Sequence[_Chip]:
    states: dict[str, int] = dict.fromkeys(_STATE_KINDS, 0)
    for namespace in filter(query.names, namespaces):
        states[namespace.state] = states.get(namespace.state, 0) + 1
    numbers = {"": sum(states.values())} | {state: number for state, number in states.items() if number}
    if query.state:
        # The chosen state stays visible without a namespace, so that the filter can be seen.
        numbers.setdefault(query.state, 0)
    return [
        _Chip(
            state,
            _STATE_KINDS.get(state, ""),
            number,
            f"{_link(query, state=state)}#namespaces",
            state == query.state,
        )
        for state, number in numbers.items()
    ]


def _search(namespaces: Sequence[NamespaceView], query: PageQuery) -> _SearchPage:
    matches = (namespace for namespace in namespaces if query.state in ("", namespace.state) and query.names(namespace))
    results = sorted(matches, key=_severity)
    pages = max(1, -(-len(results) // PER_PAGE))
    page = min(query.page, pages)
    shown = results[(page - 1) * PER_PAGE : page * PER_PAGE]
    begin = (page - 1) * PER_PAGE + 1 if shown else 0
    end = begin + len(shown) - 1 if shown else 0
    of_all = f" found, of {len(namespaces):,}" if query.text or query.state else ""
    links = [
        (text, f"{_link(query, page=number)}#namespaces")
        for number, text in ((page - 1, "Previous"), (page + 1, "Next"))
        if 1 <= number <= pages
    ]
    caption = f"{begin:,} to {end:,} of {len(results):,}{of_all} namespaces, problems first"
    return _SearchPage(caption, shown, page, pages, links)


def _severity(namespace: NamespaceView) -> tuple[int, str]:
    # An unknown state comes first, so that it is noticed.
    order = _WORST_FIRST.get(namespace.state, 0)
    return order, namespace.name


class _EventGroup(msgspec.Struct, frozen=True):
    """The Events with one reason, the latest first."""

    reason: str
    is_warning: bool
    events: Sequence[EventView]


def _group(events: Sequence[EventView]) -> Sequence[_EventGroup]:
    groups: dict[str, list[EventView]] = {}
    for event in events:
        groups.setdefault(event.reason, []).append(event)
    return [_EventGroup(reason, any(event.is_warning for event in group), group) for reason, group in groups.items()]


def _certificates(data: PageData) -> Iterator[tuple[Kind, str, str]]:
    for title, validity in (
        ("Serving certificate", data.certificate.serving),
        ("Certificate authority", data.certificate.authority),
    ):
        if validity is not None:
            text = f"{remaining(validity.end, data.now)}, until {validity.end:%Y-%m-%d %H:%M} UTC"
            yield (certificate_kind(validity, data.now), title, text)


def _leader(leader: LeaderStatus) -> tuple[Kind, str]:
    """Return the leader, as far as this process knows it."""
    if leader.leading:
        return Kind.GOOD, "this process"
    if leader.taking_over:
        return Kind.MIND, "this process, as soon as it has read its sources and lists"
    if leader.holder == leader.identity != "":
        return Kind.BAD, "unknown since the term of this process ended"
    if leader.holder:
        return Kind.MIND, f"{leader.holder}, when the Lease was last read" if leader.problem else leader.holder
    return Kind.BAD, "unknown" if leader.problem else "none"


def _controller(status: SyncStatus) -> Iterator[tuple[Kind, str, str]]:
    """Yield the facts about the process: each with its kind, its term and its text."""
    kind, text = _leader(status.leader)
    yield (kind, "Leader", text)
    kind = Kind.BAD if status.watches_down else Kind.GOOD
    yield (kind, "Watches", f"{len(status.watches) - status.watches_down} of {len(status.watches)} open")
    queue = status.queue
    retried = f", {queue.backing_off:,} retried later" if queue.backing_off else ""
    kind = Kind.MIND if queue.backing_off else Kind.GOOD
    yield (kind, "Queue", f"{queue.waiting:,} waiting, {queue.working:,} in progress{retried}")
    if status.leader.leading:
        yield (Kind.GOOD, "Last full check", _ago_seconds(status.last_full_pass_seconds))
        yield from _healing(status.evictions)


def _healing(evictions: HealingStatus | None) -> Iterator[tuple[Kind, str, str]]:
    """Yield the facts about healing; none while it is off."""
    if evictions is None:
        return
    due = evictions.pods.get(HealingReason.DUE, 0)
    later = sum(evictions.pods.get(reason, 0) for reason in AWAITING)
    text = (
        f"{counted(due, 'Pod')} to evict now, {later:,} later; {evictions.used:,} of {evictions.per_minute:,} "
        f"evictions of the last minute used; {evictions.evicted:,} evicted since this process started"
    )
    stopped = f"; stopped at {counted(evictions.stopped_owners, 'controller')}" if evictions.stopped_owners else ""
    kind = Kind.MIND if evictions.message or stopped else Kind.GOOD
    yield (kind, "Healing", f"{text}{stopped}")


def _ago_seconds(seconds: float) -> str:
    return f"{span(timedelta(seconds=max(1.0, seconds)))} ago"
