"""The status page as text; how a browser shows it is in tests/integration/test_status_page.py."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from msgspec import structs
from msgspec.structs import replace

from tests.unit.ops.statuses import PULL, STATUS, status
from webhook.ops.html import ICON, SCRIPT, STYLE
from webhook.ops.page import CONTENT_SECURITY_POLICY, PER_PAGE, parse_query, render
from webhook.ops.page_data import (
    NOT_SELECTED,
    CertificateView,
    CopyView,
    EventView,
    NamespaceView,
    PageData,
    PageQuery,
)
from webhook.ops.sync_status import LeaderStatus
from webhook.report.explain.commands import rename_command
from webhook.rules.copy_status import CopyState
from webhook.rules.expiry import Validity

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVIL = '<script>alert("x")</script>'
VOID = {"meta", "input", "br", "link"}

NAMESPACES = [
    NamespaceView("team-a", CopyState.CURRENT, "copy-current", (CopyView("registry", CopyState.CURRENT),)),
    NamespaceView("team-b", CopyState.CONFLICTING, "copy-conflict", (CopyView("registry", CopyState.CONFLICTING),)),
    NamespaceView("kube-system", NOT_SELECTED, "namespace-excluded"),
]
DATA = PageData(
    now=NOW,
    status=STATUS,
    unready="",
    namespaces=NAMESPACES,
    events=[EventView(NOW, "CopyConflict", "Namespace team-b", "it is in the way", is_warning=True)],
    certificate=CertificateView(
        Validity(NOW - timedelta(days=10), NOW + timedelta(days=20, hours=1)),
        Validity(NOW - timedelta(days=65), NOW + timedelta(days=300)),
    ),
    cluster="prod-eu",
    opt_in="pullsecrets.webhook/inject=enabled",
    confirm_command="kubectl annotate secret psw-state confirm=0123456789ab",
)


class Page(HTMLParser):
    """Reads the page as a browser does, and refuses what a person with a screen reader would stumble over."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.headings: list[int] = []
        self.text: list[str] = []
        self.tags: list[str] = []
        self.feed(text.replace("<wbr>", ""))  # only a place to continue in the next line
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append(tag)
        if tag == "link":
            # The icon is in the page itself, so the browser does not load it.
            assert attributes == {"rel": "icon", "href": ICON}
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "src")]
        if tag not in VOID:
            self.open.append(tag)
        if identity := attributes.get("id"):
            assert identity not in self.ids
            self.ids.append(identity)
        if tag == "a":
            self.links.append(attributes.get("href") or "")
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        if tag in ("input", "select") and attributes.get("type") != "hidden":
            assert "label" in self.open
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or (attributes["role"] == "img" and attributes["aria-label"])
        if tag == "th":
            assert attributes.get("scope") in ("row", "col")
        if tag == "html":
            assert attributes.get("lang") == "en"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            assert data == SCRIPT
        elif "style" not in self.open:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def page(data: PageData = DATA, **query: object) -> Page:
    return Page(render(data, PageQuery(**query)))  # type: ignore[arg-type]


def test_it_is_one_document_that_loads_nothing_and_reads_well() -> None:
    found = page()
    assert {"img", "iframe", "object", "embed"} & set(found.tags) == set()
    assert found.tags.count("script") == 1
    assert found.headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(found.headings))
    assert found.tags.count("caption") == found.tags.count("table") == 2
    assert {"header", "main", "form", "title"} <= set(found.tags)
    assert found.links[0] == "#namespaces"
    assert "namespaces" in found.ids


def test_everything_that_matters_is_in_words() -> None:
    words = page().words
    for expected in (
        "cluster prod-eu release psw-system/psw",
        "3 namespaces and 4 other findings need attention",
        "1 of 15 copies are current.",
        "Problem Source ghcr It does not exist.",
        "kubectl -n psw-system create secret docker-registry ghcr",
        "About source-absent",
        "Problem The watches 1 watch is not open: secrets named registry. It is reopened regularly.",
        "Problem Namespace team-b Secret registry was not made by this release",
        " ".join(rename_command("team-b", "registry").split()),
        "would remove 60 copies, so it is held",
        "kubectl annotate secret psw-state confirm=0123456789ab",
        "Another writer keeps changing 1 object back",
        "kubectl -n a get serviceaccount default -o jsonpath='{.metadata.managedFields}'",
        "1 current 2 stale 3 kept 4 missing 5 conflicting 6 failing 7 leaving",
        "Content first seen 2 h ago; the rotation reached all copies in 4.2 s.",
        "Stage of the rotation since 2025-12-31 23:00 UTC: canary.",
        "2 of 3 canary namespaces have the new content.",
        "harbor valid ghcr.io, registry.example.com 30 days ago",
        "ghcr not usable source-absent",
        "quay not read yet",
        "Serving certificate OK 20 days left, until 2026-01-21 01:00 UTC",
        "Leader OK this process",
        "all 3 conflicting 1 current 1 not selected 1",
        "team-b conflicting copy-conflict registry: conflicting",
        "kube-system not selected namespace-excluded –",
        "1 to 3 of 3 namespaces, problems first",
        "kubectl pullsecrets explain replicaset/web -n team-a",
        "Healing Warning 2 Pods to evict now, 4 later; 3 of 20 evictions of the last minute used; 7 evicted since",
        "CopyConflict 1 Event, the last just now Namespace team-b : it is in the way",
    ):
        assert expected in words, expected


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"text": "TEAM"}, ["team-b", "team-a"]),
        ({"text": "registry"}, ["team-b", "team-a"]),
        ({"state": "conflicting"}, ["team-b"]),
        ({"text": "team", "state": "not selected"}, []),
        ({"state": "not selected"}, ["kube-system"]),
        ({"page": 99}, ["team-b", "team-a", "kube-system"]),
    ],
)
def test_what_is_looked_for_is_shown(query: dict[str, object], names: list[str]) -> None:
    text = render(DATA, PageQuery(**query))  # type: ignore[arg-type]
    table = text[text.index('id="namespaces"') : text.index("<h2>Events</h2>")]
    assert re.findall(r'<th scope="row">([^<]+)</th>', table) == names


def test_many_are_shown_page_by_page_with_what_is_looked_for_kept() -> None:
    many = [structs.replace(NAMESPACES[0], name=f"team-{number:04}") for number in range(5000)]
    data = replace(DATA, namespaces=many)
    found = page(data, text="team-", state="current", page=2)
    assert f"{PER_PAGE + 1} to {2 * PER_PAGE} of 5,000 found, of 5,000 namespaces" in found.words
    assert "Page 2 of 50" in found.words
    queries = [parse_qs(urlsplit(link).query) for link in found.links if "page=" in link and "#" in link]
    assert queries == [{"q": ["team-"], "state": ["current"], "page": [number]} for number in ("1", "3")]
    assert len(render(data, PageQuery())) < 100_000


@pytest.mark.parametrize("where", ["namespace", "event", "source", "query", "holder"])
def test_whatever_a_name_is_it_is_text(where: str) -> None:
    data, query = DATA, PageQuery()
    match where:
        case "namespace":
            data = replace(DATA, namespaces=[structs.replace(NAMESPACES[0], name=EVIL, reason=EVIL, state=EVIL)])
        case "event":
            data = replace(DATA, events=[EventView(NOW, EVIL, EVIL, EVIL, is_warning=False)])
        case "source":
            data = replace(DATA, status=status(release=EVIL, release_namespace=EVIL, version=EVIL))
        case "query":
            query = PageQuery(EVIL, EVIL)
        case _:
            data = replace(DATA, status=status(leader=LeaderStatus(leading=False, holder=EVIL)))
    text = render(data, query)
    assert text.count("<script") == 1
    assert Page(text).tags.count("script") == 1


def test_who_stands_by_says_whose_page_to_look_at() -> None:
    data = replace(DATA, status=status(leader=LeaderStatus(leading=False, holder="psw-sync-1")), events=[])
    words = page(data).words
    assert "This process does not track copies; only a leader does. Leader: psw-sync-1." in words
    assert "Leader Warning psw-sync-1" in words
    assert "This process has not sent Events" in words


@pytest.mark.parametrize(
    ("leader", "told"),
    [
        (LeaderStatus(leading=False, taking_over=True), "Warning this process, as soon as it has read its sources"),
        (LeaderStatus(leading=False, lease="psw-sync", identity="me"), "Problem none"),
        (LeaderStatus(leading=False, lease="psw-sync", identity="me", problem="403"), "Problem unknown"),
        (
            LeaderStatus(leading=False, lease="psw-sync", identity="me", holder="you", problem="403"),
            "Warning you, when the Lease was last read",
        ),
        (
            LeaderStatus(leading=False, lease="psw-sync", identity="me", holder="me"),
            "Problem unknown since the term of this process ended",
        ),
    ],
)
def test_the_leader_is_told_as_far_as_it_is_known(leader: LeaderStatus, told: str) -> None:
    assert f"Leader {told}" in page(replace(DATA, status=status(leader=leader))).words


@pytest.mark.parametrize(
    ("left", "expected", "is_told"),
    [
        (timedelta(days=-1), "Problem expired, until 2025-12-31 00:00 UTC", True),
        (timedelta(minutes=5), "Warning 5 min left", True),
        (timedelta(hours=30), "Warning 1 day left", True),
        (timedelta(hours=3, minutes=2), "Warning 3 h 2 min left", True),
        (timedelta(days=7, hours=12), "OK 7 days left", False),
    ],
)
def test_the_clock_of_the_certificate(left: timedelta, expected: str, *, is_told: bool) -> None:
    validity = Validity(NOW + left - timedelta(days=30), NOW + left)
    data = replace(DATA, certificate=CertificateView(validity, None))
    assert f"Serving certificate {expected}" in page(data).words
    assert ("The serving certificate It should have been renewed" in page(data).words) is is_told


@pytest.mark.parametrize(
    ("left", "expected", "is_told"),
    [(timedelta(minutes=3), "OK 3 min left", False), (timedelta(minutes=2), "Warning 2 min left", True)],
)
def test_a_short_certificate_is_overdue_in_its_own_last_quarter(
    left: timedelta, expected: str, *, is_told: bool
) -> None:
    validity = Validity(NOW + left - timedelta(minutes=10), NOW + left)
    words = page(replace(DATA, certificate=CertificateView(None, validity))).words
    assert f"Certificate authority {expected}" in words
    assert ("The certificate authority It should have been renewed" in words) is is_told


def test_without_a_certificate_of_its_own_it_says_so() -> None:
    report = "[-]caches failed: starting\n[+]lease ok"
    data = replace(DATA, certificate=CertificateView(None, None), unready=report)
    words = page(data).words
    assert "Serving certificate not issued here" in words
    assert "This replica is not ready" in words
    assert "It is not ready: caches failed: starting." in words


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, PageQuery()),
        ({"q": " team ", "state": "current", "page": "3"}, PageQuery("team", "current", 3)),
        ({"page": "0"}, PageQuery()),
        ({"page": "-1"}, PageQuery()),
        ({"page": "9" * 5000}, PageQuery()),
        ({"page": "²"}, PageQuery()),
        ({"q": "x" * 1000}, PageQuery("x" * 253)),
    ],
)
def test_a_query_that_makes_no_sense_asks_for_nothing(query: dict[str, str], expected: PageQuery) -> None:
    assert parse_query(query) == expected


def test_the_browser_is_told_to_fetch_and_run_nothing() -> None:
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'; style-src 'sha256-")
    assert CONTENT_SECURITY_POLICY.count("'sha256-") == 2
    assert "img-src data:; " in CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def test_the_colours_have_contrast_enough_in_light_and_dark() -> None:
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w+)", block)) for block in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    )
    for colours in (light, dark):
        for name in ("ink", "faint", "good", "bad", "mind"):
            for ground in ("paper", "band"):
                assert contrast(colours[name], colours[ground]) >= 7, (name, ground)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours (WCAG 2.2, 1.4.6)."""
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    ("is_known", "expected"), [(True, "the last good content"), (False, "the content that is there")]
)
def test_copies_are_kept_with_the_last_good_content_only_where_that_is_known(*, is_known: bool, expected: str) -> None:
    kept = dict.fromkeys(CopyState, 0) | {CopyState.KEPT: 2}
    pull = msgspec.structs.replace(PULL, copies=kept, sources=("ghcr",), last_good=is_known)
    assert f"2 copies of registry keep {expected}." in page(replace(DATA, status=status(pull_secrets=(pull,)))).words
