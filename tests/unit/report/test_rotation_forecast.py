"""Predictions of rotations: durations, and what is not known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from webhook.report.rotation_forecast import (
    BREAK_SECONDS,
    SHORTEST_SECONDS,
    Pace,
    RotationForecast,
    duration_text,
    measured_pace,
    size_text,
)
from webhook.rules.configuration import ProofSettings, RolloutSettings

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def forecast(settings: RolloutSettings | None, pace: Pace | None, copies: int = 1001, canary: int = 0) -> str:
    """Return the predicted seconds and the sentence about them."""
    made = RotationForecast("registry", copies, canary, 5_000_000, settings, pace)
    *_, duration = made.paragraphs()
    return f"{made.seconds}: {duration.text}"


QUICK = Pace(1000, NOON, after(SHORTEST_SECONDS - 1))
TEN_A_SECOND = Pace(1001, NOON, after(100))
CANARY = RolloutSettings(canary=("staging-*",), soak=300.0)


@pytest.mark.parametrize(
    ("settings", "pace", "canary", "start"),
    [
        (None, None, 0, "None: not known, because no rotation has reached most"),
        (None, QUICK, 0, "None: not known, because the last rotation changed 1,000 copies in less than 5 s"),
        (None, TEN_A_SECOND, 0, "100.0: 1 min 40 s, if it is as fast as the last one (1,001 copies in 1 min 40 s"),
        (RolloutSettings(max_per_second=5), None, 0, "200.0: 3 min 20 s, at 5 copies a second (maxPerSecond)"),
        (RolloutSettings(max_per_second=1), None, 0, "1000.0: 16 min 40 s, at 1 copy a second (maxPerSecond)"),
        (RolloutSettings(max_per_second=5), TEN_A_SECOND, 0, "200.0: 3 min 20 s, at 5 copies a second"),
        (RolloutSettings(max_per_second=50), TEN_A_SECOND, 0, "100.0: 1 min 40 s, if it is as fast as the last one"),
        (CANARY, None, 0, "None: the rotation is held until a selected namespace matches"),
        (CANARY, None, 1, "None: not known"),
        (CANARY, TEN_A_SECOND, 1, "399.9: 6 min 40 s, if it is as fast"),
        (CANARY, None, 1001, "300.0: 5 min; that includes the soak of 5 min"),
    ],
)
def test_the_duration_follows_from_the_limit_and_from_the_last_rotation(
    settings: RolloutSettings | None, pace: Pace | None, canary: int, start: str
) -> None:
    assert forecast(settings, pace, canary=canary).startswith(start)


def test_a_limit_that_was_not_reached_is_named_with_the_measured_speed() -> None:
    assert forecast(RolloutSettings(max_per_second=50), TEN_A_SECOND) == (
        "100.0: 1 min 40 s, if it is as fast as the last one (1,001 copies in 1 min 40 s until 2026-01-01 12:01:40 "
        "UTC); maxPerSecond allows 50 copies a second"
    )


def test_the_answers_of_the_registries_are_not_predicted() -> None:
    assert "the registries are asked before" in forecast(RolloutSettings(prove=ProofSettings()), TEN_A_SECOND)


def test_a_rotation_is_measured_without_later_changes_of_single_copies() -> None:
    rotation = [after(number / 10) for number in range(101)]
    later = [after(5000), after(9000)]
    assert measured_pace([*later, *rotation]) == Pace(101, NOON, after(10))


def test_two_rotations_are_told_apart_and_the_last_one_counts() -> None:
    first = [after(number) for number in range(10)]
    second = [after(10 + BREAK_SECONDS + number) for number in range(20)]
    pace = measured_pace([*first, *second])
    assert pace is not None
    assert (pace.copies, pace.first) == (20, second[0])


def test_changes_without_a_rotation_are_not_measured() -> None:
    assert measured_pace([after(1000 * number) for number in range(9)]) is None
    assert measured_pace([]) is None


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (2_612_345, "2.61 MB"),
        (120_000_000, "120 MB"),
        (999_999_999, "1 GB"),
    ],
)
def test_sizes_are_short(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(8, "8 s"), (60, "1 min"), (310, "5 min 10 s"), (3600, "1 h"), (7500, "2 h 5 min")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
