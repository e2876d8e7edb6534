from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.rules.provider_protocol import parse_go_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12h0m0s", 43200.0),
        ("1.5h", 5400.0),
        (".5s", 0.5),
        ("1.s", 1.0),
        ("300ms", 0.3),
        ("5us", 5e-6),
        ("0", 0.0),
        ("-90s", -90.0),
        ("+1m", 60.0),
        ("2562047h", 2562047 * 3600.0),
    ],
)
def test_durations_of_go_are_read(text: str, seconds: float) -> None:
    assert parse_go_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "12", "h", "1d", "1h 5m", "1H", "--1s", "1e3s", ".s", "2562048h", "1" * 99 + "s"])
def test_text_that_go_refuses_is_no_duration(text: str) -> None:
    assert parse_go_duration(text) is None


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    found = parse_go_duration(text)
    assert found is None or isinstance(found, float)
