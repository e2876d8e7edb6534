from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.registries.login import Challenge, parse_challenges


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io"',
            [Challenge("bearer", {"realm": "https://auth.docker.io/token", "service": "registry.docker.io"})],
        ),
        ('Basic realm="Harbor"', [Challenge("basic", {"realm": "Harbor"})]),
        ("Basic", [Challenge("basic", {})]),
        ("BEARER Realm=abc , Service = x", [Challenge("bearer", {"realm": "abc", "service": "x"})]),
        (
            'Bearer realm="a\\"b,c", Basic realm="x"',
            [Challenge("bearer", {"realm": 'a"b,c'}), Challenge("basic", {"realm": "x"})],
        ),
        ('Bearer scope="repository:a:pull,push"', [Challenge("bearer", {"scope": "repository:a:pull,push"})]),
        (
            'Bearer realm="",scope="a b", error="", Basic',
            [Challenge("bearer", {"realm": "", "scope": "a b", "error": ""}), Challenge("basic")],
        ),
        ('realm="x", Basic realm="y"', [Challenge("basic", {"realm": "y"})]),
        ("", []),
        ("=,=", []),
        ("Bearer " + "x" * 10_000, []),
    ],
)
def test_challenges_are_read(header: str, expected: list[Challenge]) -> None:
    assert parse_challenges([header]) == expected


def test_a_challenge_after_a_token_or_after_what_cannot_be_read_is_found() -> None:
    for header in ('Negotiate YIIG==, Basic realm="x"', 'Negotiate YIIG/+, Basic realm="x"', '%%, Basic realm="x"'):
        assert Challenge("basic", {"realm": "x"}) in parse_challenges([header])


def test_several_headers_are_several_challenges() -> None:
    assert [each.scheme for each in parse_challenges(['Basic realm="a"', 'Bearer realm="b"'])] == ["basic", "bearer"]


@given(st.text())
def test_whatever_a_header_holds_it_is_read_or_passed_over(header: str) -> None:
    for challenge in parse_challenges([header]):
        assert challenge.scheme == challenge.scheme.lower()
