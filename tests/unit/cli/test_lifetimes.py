from __future__ import annotations

from datetime import timedelta

import pytest

from certs.lifetimes import Lifetimes
from webhook.cli.lifetimes import parse_duration, parse_lifetimes
from webhook.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("365d", timedelta(days=365)),
        ("12h", timedelta(hours=12)),
        ("1h30m", timedelta(minutes=90)),
        ("90s", timedelta(seconds=90)),
        ("250ms", timedelta(milliseconds=250)),
        ("1m500ms", timedelta(seconds=60.5)),
        ("0s", timedelta()),
    ],
)
def test_a_duration_is_days_hours_minutes_and_seconds(text: str, expected: timedelta) -> None:
    assert parse_duration(text, "--x") == expected


@pytest.mark.parametrize("text", ["", "30", "30 days", "1y", "-1d", "1.5h", "d", "1d ", "9999999d", "1e9d", "P30D"])
def test_anything_else_is_one_sentence(text: str) -> None:
    with pytest.raises(UsageError, match=r"--ca-lifetime .* is not a duration: write it like 365d, 1h30m or 90s"):
        parse_duration(text, "--ca-lifetime")


def test_the_defaults_of_the_flags_are_those_of_the_values() -> None:
    assert parse_lifetimes("365d", "30d", "10s") == Lifetimes()


@pytest.mark.parametrize(
    ("authority", "leaf", "settling", "sentence"),
    [
        (
            "30d",
            "31d",
            "10s",
            "--tls-lifetime 31d is longer than --ca-lifetime 30d",
        ),
        ("30d", "2s", "0s", "--tls-lifetime 2s is too short to renew in time: give at least 3s"),
        ("3651d", "30d", "10s", "--ca-lifetime 3651d is too long: give at most 3650d"),
        ("1h", "1m", "16s", "--ca-settle 16s is more than a quarter of --tls-lifetime 1m"),
    ],
)
def test_lifetimes_that_cannot_work_are_refused(authority: str, leaf: str, settling: str, sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_lifetimes(authority, leaf, settling)
    assert str(refused.value).startswith(sentence)


def test_the_shortest_and_the_longest_work() -> None:
    assert parse_lifetimes("3650d", "3s", "750ms").settling == timedelta(milliseconds=750)
    assert parse_lifetimes("30d", "30d", "7d12h").leaf == timedelta(days=30)
