from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from webhook.rules.expiry import EXPIRES_ANNOTATION, ISSUED_ANNOTATION
from webhook.rules.renewal_schedule import (
    RETRY_CAP,
    SHORTEST_ATTEMPT,
    SHORTEST_PAUSE,
    attempt_seconds,
    next_renewal,
    retry_seconds,
)
from webhook.rules.renewing import (
    ISSUED_BY_LABEL,
    RENEW,
    RENEWED,
    CredentialProvider,
    IssuedState,
    RenewingSource,
    ServiceAccountToken,
    TokenForProvider,
    describe_previous,
    format_time,
    issued_state,
    settings_digest,
)

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
STATE = IssuedState("psw", NOW, NOW + timedelta(hours=12), "digest")


def test_a_credential_is_renewed_shortly_before_half_of_its_lifetime() -> None:
    due = next_renewal("ecr", STATE, "digest", NOW)

    assert NOW + timedelta(hours=4.8) < due.time <= NOW + timedelta(hours=6)
    assert due == next_renewal("ecr", STATE, "digest", NOW + timedelta(hours=1)), "every process computes the same"


def test_sources_of_one_moment_are_renewed_one_by_one() -> None:
    times = {next_renewal(f"source-{number}", STATE, "digest", NOW).time for number in range(50)}

    assert max(times) - min(times) > timedelta(minutes=30)


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        (None, "no issued credential"),
        (replace(STATE, expires_at=None), "no issued credential"),
        (replace(STATE, issued_at=None), "no issued credential"),
        (replace(STATE, issued_for="other"), "settings have changed"),
        (replace(STATE, renew="1"), "a person has requested it"),
        (replace(STATE, renew="2", renewed="1"), "a person has requested it"),
        (replace(STATE, issued_at=NOW + timedelta(hours=1)), "clock has jumped"),
    ],
)
def test_some_causes_renew_it_immediately(state: IssuedState | None, cause: str) -> None:
    due = next_renewal("ecr", state, "digest", NOW)

    assert due.time <= NOW
    assert cause in due.cause


@pytest.mark.parametrize(
    ("expires_at", "told"),
    [
        (None, "it is not known when the one in its Secret expires"),
        (NOW + timedelta(seconds=1), "the previous one expires at 2026-05-01T12:00:01Z"),
        (NOW, "the previous one expired at 2026-05-01T12:00:00Z"),
    ],
)
def test_a_failure_reports_whether_the_previous_credential_has_expired(expires_at: datetime | None, told: str) -> None:
    assert describe_previous(expires_at, NOW) == told


def test_a_fulfilled_request_is_not_fulfilled_again() -> None:
    assert next_renewal("ecr", replace(STATE, renew="1", renewed="1"), "digest", NOW).time > NOW


@given(
    lifetime=st.timedeltas(min_value=timedelta(days=-5), max_value=timedelta(days=30)),
    name=st.text(max_size=10),
)
def test_a_renewal_is_due_before_the_expiry_and_never_in_a_busy_loop(lifetime: timedelta, name: str) -> None:
    state = replace(STATE, expires_at=NOW + lifetime)

    due = next_renewal(name, state, "digest", NOW).time

    assert due >= NOW + SHORTEST_PAUSE
    assert due <= max(NOW + lifetime / 2, NOW + SHORTEST_PAUSE)


def test_attempts_after_failures_fit_many_times_into_the_rest_of_the_lifetime() -> None:
    for lifetime in (timedelta(seconds=60), timedelta(minutes=15), timedelta(hours=12)):
        rest, attempts = lifetime.total_seconds() / 2, 0
        while (rest := rest - retry_seconds(attempts + 1, 0.0, lifetime)) > 0:
            attempts += 1
        assert attempts >= 8
    assert retry_seconds(1000, 0.0, None) == RETRY_CAP


@pytest.mark.parametrize(
    ("left", "seconds"),
    [(None, 60), (-10, 60), (0, 60), (6 * 3600, 60), (120, 60), (30, 15), (5, 2.5), (1, SHORTEST_ATTEMPT)],
)
def test_an_attempt_leaves_half_of_the_time_to_the_next_one(left: float | None, seconds: float) -> None:
    expires_at = None if left is None else NOW + timedelta(seconds=left)

    assert attempt_seconds(expires_at, NOW, 60.0) == seconds


def test_the_annotations_of_a_secret_are_its_state() -> None:
    labels = {ISSUED_BY_LABEL: "psw"}
    annotations = {
        ISSUED_ANNOTATION: "2026-05-01T12:00:00Z",
        EXPIRES_ANNOTATION: "2026-05-02T02:00:00+02:00",
        RENEW: "1",
        RENEWED: "0",
    }

    state = issued_state(labels, annotations)

    assert state == IssuedState("psw", NOW, NOW + timedelta(hours=12), "", "1", "0")
    assert state.is_requested


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-05-01T12:00:00", "0001-01-01T00:00:00+14:00", "9" * 1000])
def test_a_time_that_cannot_be_read_is_absent(text: str) -> None:
    assert issued_state({}, {EXPIRES_ANNOTATION: text}).expires_at is None


def test_times_are_written_as_kubernetes_writes_them() -> None:
    assert format_time(NOW + timedelta(milliseconds=7)) == "2026-05-01T12:00:00Z"


def test_every_setting_is_part_of_the_digest() -> None:
    provider = CredentialProvider("ecr", "psw-issued-ecr", "ecr-credential-provider", ("a.example.com",))
    token = ServiceAccountToken("zot", "psw-issued-zot", "zot.example.com", "jwt", "zot", "puller")
    changed: list[RenewingSource] = [
        dataclasses.replace(provider, command="other"),
        dataclasses.replace(provider, images=("b.example.com",)),
        dataclasses.replace(provider, args=("a",)),
        dataclasses.replace(provider, env=(("A", "1"),)),
        dataclasses.replace(provider, inherit_env=("A",)),
        dataclasses.replace(provider, default_lifetime=60.0),
        dataclasses.replace(provider, token=TokenForProvider("sts", "puller")),
        dataclasses.replace(provider, token=TokenForProvider("sts", "puller", (("a", "1"),))),
        dataclasses.replace(token, registry="other.example.com"),
        dataclasses.replace(token, username="u"),
        dataclasses.replace(token, audience="other"),
        dataclasses.replace(token, service_account="other"),
        dataclasses.replace(token, lifetime=600.0),
    ]

    digests = [settings_digest(source) for source in [provider, token, *changed]]

    assert len(set(digests)) == len(digests)
    assert settings_digest(dataclasses.replace(provider)) == digests[0]
