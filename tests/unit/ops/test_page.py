"""The status page as text; how a browser shows it is in tests/integration/test_status_page.py."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from tests.unit.ops.statuses import PULL, STATUS, status
from webhook.ops.html import STYLE
from webhook.ops.page import CONTENT_SECURITY_POLICY, PER_PAGE, render, wish_of
from webhook.ops.page_data import (
    NOT_SELECTED,
    CertificateView,
    CopyView,
    EventView,
    NamespaceView,
    PageData,
    Wish,
)
from webhook.ops.sync_status import LeaderStatus
from webhook.rules.copy_status import CopyState

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
    events=[EventView(NOW, "CopyConflict", "Namespace team-b/team-b", "it is in the way", is_warning=True)],
    certificate=CertificateView(NOW + timedelta(days=20, hours=1), NOW + timedelta(days=300)),
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
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append(tag)
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
        if tag in ("input", "select"):
            assert "label" in self.open
        if tag == "th":
            assert attributes.get("scope") in ("row", "col")
        if tag == "html":
            assert attributes.get("lang") == "en"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style"} & set(self.open):
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def page(data: PageData = DATA, **wish: object) -> Page:
    return Page(render(data, Wish(**wish)))  # type: ignore[arg-type]


def test_it_is_one_document_without_scripts_that_reads_well() -> None:
    found = page()
    assert {"script", "img", "link", "iframe"} & set(found.tags) == set()
    assert found.headings == [1, 2, 2, 2, 2]
    assert found.tags.count("caption") == found.tags.count("table") == 3
    assert {"header", "main", "form", "title"} <= set(found.tags)
    assert found.links[0] == "#namespaces"
    assert "namespaces" in found.ids


def test_everything_that_matters_is_in_words() -> None:
    words = page().words
    for expected in (
        "release psw-system/psw",
        "Leader (in order) this process",
        "Sources (wrong) not usable: ghcr",
        "Copies (wrong) 1 of 15 current",
        "Watches (wrong) down: secrets named registry",
        "Failing (wrong) 1 namespaces where a write fails",
        "Changed back by somebody (to be minded) 1 objects",
        "Serving certificate (in order) 20 days left, until 2026-01-21 01:00 UTC",
        "team-b conflicting copy-conflict registry: conflicting",
        "kube-system not selected namespace-excluded –",
        "1 to 3 of 3 namespaces, problems first",
        "CopyConflict Namespace team-b/team-b it is in the way",
        "harbor: valid, 2 registries",
    ):
        assert expected in words, expected


@pytest.mark.parametrize(
    ("wish", "names"),
    [
        ({"text": "TEAM"}, ["team-b", "team-a"]),
        ({"text": "registry"}, ["team-b", "team-a"]),
        ({"state": "conflicting"}, ["team-b"]),
        ({"text": "team", "state": "not selected"}, []),
        ({"state": "not selected"}, ["kube-system"]),
        ({"page": 99}, ["team-b", "team-a", "kube-system"]),
    ],
)
def test_what_is_looked_for_is_shown(wish: dict[str, object], names: list[str]) -> None:
    text = render(DATA, Wish(**wish))  # type: ignore[arg-type]
    table = text[text.index('id="namespaces"') : text.index("Recent events")]
    assert re.findall(r'<th scope="row">([^<]+)</th>', table) == names


def test_many_are_shown_page_by_page_with_what_is_looked_for_kept() -> None:
    many = [replace(NAMESPACES[0], name=f"team-{number:04}") for number in range(5000)]
    data = replace(DATA, namespaces=many)
    found = page(data, text="team-", state="current", page=2)
    assert f"{PER_PAGE + 1} to {2 * PER_PAGE} of 5000 found, of 5000 namespaces" in found.words
    assert "Page 2 of 50" in found.words
    queries = [parse_qs(urlsplit(link).query) for link in found.links if "page=" in link]
    assert queries == [{"q": ["team-"], "state": ["current"], "page": [number]} for number in ("1", "3")]
    assert len(render(data, Wish())) < 100_000


@pytest.mark.parametrize("where", ["namespace", "event", "source", "wish", "holder"])
def test_whatever_a_name_is_it_is_text(where: str) -> None:
    data, wish = DATA, Wish()
    match where:
        case "namespace":
            data = replace(DATA, namespaces=[replace(NAMESPACES[0], name=EVIL, reason=EVIL, state=EVIL)])
        case "event":
            data = replace(DATA, events=[EventView(NOW, EVIL, EVIL, EVIL, is_warning=False)])
        case "source":
            data = replace(DATA, status=status(release=EVIL, release_namespace=EVIL, version=EVIL))
        case "wish":
            wish = Wish(EVIL, EVIL)
        case _:
            data = replace(DATA, status=status(leader=LeaderStatus(leading=False, holder=EVIL)))
    text = render(data, wish)
    assert "<script" not in text
    assert Page(text).tags.count("script") == 0


def test_who_stands_by_says_whose_page_to_look_at() -> None:
    data = replace(DATA, status=status(leader=LeaderStatus(leading=False, holder="psw-sync-1")), events=[])
    words = page(data).words
    assert "This process is a standby and does not track copies; the leader does. Leader: psw-sync-1." in words
    assert "Leader (to be minded) psw-sync-1" in words
    assert "This process has not sent Events" in words


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (timedelta(days=-1), "(wrong) expired 2025-12-31 00:00 UTC"),
        (timedelta(minutes=5), "(to be minded) 5 min left"),
        (timedelta(hours=30), "(to be minded) 1 day left"),
        (timedelta(hours=3, minutes=2), "(to be minded) 3 h 2 min left"),
    ],
)
def test_the_clock_of_the_certificate(left: timedelta, expected: str) -> None:
    data = replace(DATA, certificate=CertificateView(NOW + left, None))
    assert f"Serving certificate {expected}" in page(data).words


def test_without_a_certificate_of_its_own_it_says_so() -> None:
    data = replace(DATA, certificate=CertificateView(None, None), unready="[-]caches failed: starting")
    words = page(data).words
    assert "Serving certificate (to be minded) not issued here" in words
    assert "Ready (wrong) [-]caches failed: starting" in words


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, Wish()),
        ({"q": " team ", "state": "current", "page": "3"}, Wish("team", "current", 3)),
        ({"page": "0"}, Wish()),
        ({"page": "-1"}, Wish()),
        ({"page": "9" * 5000}, Wish()),
        ({"page": "²"}, Wish()),
        ({"q": "x" * 1000}, Wish("x" * 253)),
    ],
)
def test_a_query_that_makes_no_sense_asks_for_nothing(query: dict[str, str], expected: Wish) -> None:
    assert wish_of(query) == expected


def test_the_browser_is_told_to_fetch_and_run_nothing() -> None:
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'; style-src 'sha256-")
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


def test_copies_are_kept_with_the_last_good_content_only_where_that_is_known() -> None:
    kept = dict.fromkeys(CopyState, 0) | {CopyState.KEPT: 2}
    known = msgspec.structs.replace(PULL, copies=kept, last_good=True)
    unknown = msgspec.structs.replace(PULL, copies=kept, last_good=False)
    data = replace(DATA, status=msgspec.structs.replace(STATUS, pull_secrets=(known, unknown)))
    assert ", 2 kept with the last good content, 2 kept as they are" in page(data).words
