"""Patterns and registries as the regular expressions of policies; RE2 and Python read alike what is written there."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.rules import cel
from webhook.rules.images import matches, parse

NAME = st.text(cel.NAME_CHARACTERS, max_size=6)
PATTERN = st.text("ab.*?[]!-", min_size=1, max_size=8)
LITERAL = re.compile(r'\.matches\(r"(.*?)"\)', re.DOTALL)


def expression(condition: str) -> re.Pattern[str]:
    """Return the expression of a condition; Python has no ``\\x{…}``."""
    (found,) = LITERAL.findall(condition)
    return re.compile(found.replace(cel.NOTHING, "(?!)"))


@given(st.lists(PATTERN, min_size=1, max_size=3), st.text("ab.-", max_size=6))
def test_a_pattern_stands_for_the_names_that_it_stands_for_to_the_core(patterns: list[str], name: str) -> None:
    found = expression(cel.matches_any("name", patterns)).search(name) is not None
    assert found is any(fnmatchcase(name, pattern) for pattern in patterns)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("ci-*", r"ci\-.*"),
        ("a.b", r"a\.b"),
        ("ci-?", r"ci\-."),
        ("[0-2]", "[012]"),
        ("[!a-z0-9-]", r"[\.]"),
        ("[]d]x", "[d]x"),
        ("[!]", r"\[!\]"),
        ("[z-a]", cel.NOTHING),
    ],
)
def test_a_pattern_is_written_with_what_its_classes_stand_for(pattern: str, expected: str) -> None:
    assert cel.matches_any("name", [pattern]) == f'name.matches(r"^(?:{expected})$")'


@pytest.mark.parametrize(
    ("registry", "image"),
    [
        (registry, image)
        for registry in ("docker.io", "docker.io/org", "*.example.com", "*", "*:5000", "[::1]:5000", "ghcr.io/org")
        for image in (
            "nginx",
            "org/app",
            "orgs/app",
            "eu.example.com/a",
            "a.b.example.com/a",
            "registry-1.docker.io/org/a",
        )
    ]
    + [
        ("*", "[::1]/app"),
        ("*:5000", "[::1]:5000/app"),
        ("[::1]:5000", "[::1]:5000/app"),
        ("ghcr.io/org", "ghcr.io/org"),
    ],
)
def test_a_registry_covers_the_names_that_it_covers_for_the_core(registry: str, image: str) -> None:
    found = expression(cel.from_registries([registry]).split("exists(name, ")[1])
    assert (found.search(parse(image).name) is not None) is matches(image, [registry])
