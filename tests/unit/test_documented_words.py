"""Codes, Events and other words that a person may meet are documented, and no others."""

from __future__ import annotations

import re

from tests.unit.documented import DOCS, ROOT, first_column, texts
from webhook.live.check.codes import TITLES

CAMEL_CASE = re.compile(r"([A-Z][a-z]+){2,}")


def test_every_check_has_a_section_and_no_other_has() -> None:
    headings = re.findall(r"^## (PSW\d+): (.+)$", (DOCS / "check.md").read_text(), re.MULTILINE)
    assert headings == list(TITLES.items())


def test_every_section_of_a_check_says_what_to_do() -> None:
    sections = re.split(r"^## ", (DOCS / "check.md").read_text(), flags=re.MULTILINE)
    for text in sections:
        if text.startswith("PSW"):
            assert "\n**What to do:** " in text, text


def test_the_documented_events_are_those_that_sync_writes() -> None:
    modules = (ROOT / "webhook/sync").glob("*.py")
    written = {text for module in modules for text in texts(module) if CAMEL_CASE.fullmatch(text)}
    assert set(first_column("sync.md", "Events")) == written
