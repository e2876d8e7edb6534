from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.rules.credential import Credential
from webhook.rules.expiry import (
    EXPIRES_ANNOTATION,
    ISSUED_ANNOTATION,
    LONGEST_TOKEN,
    Expiries,
    Expiry,
    ExpiryOrigin,
    ExpiryReason,
    WrongTime,
    parse_time,
    read_expiries,
)

NOW = datetime(2026, 11, 28, 10, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
REGISTRY, OPAQUE = "registry.example.com", "secret"
AZURE_EXPIRES, AZURE_REFRESHED = "acr.microsoft.com/token.expiry", "acr.microsoft.com/token.refresh"


def jwt(claims: object) -> str:
    parts = [{"alg": "RS256", "typ": "JWT"}, claims]
    encoded = [urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


def ecr(expiration: object, kind: str = "DATA_KEY") -> str:
    document = {"payload": "r9D8+x", "datakey": "AQEBAHij", "version": "2", "type": kind, "expiration": expiration}
    return b64encode(json.dumps(document).encode()).decode()


def read(password: str = OPAQUE, annotations: dict[str, str] | None = None, identity_token: str = "") -> Expiries:
    return read_expiries({REGISTRY: Credential("user", password, identity_token)}, annotations or {})


def seconds(time: datetime) -> int:
    return int(time.timestamp())


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-28T10:00:00Z", NOW),
        ("2026-11-28t10:00:00z", NOW),
        ("2026-11-28 10:00:00Z", NOW),
        (" 2026-11-28T10:00:00Z\n", NOW),
        ("2026-11-28T10:00:00.123456789Z", NOW),
        ("2026-11-28T15:30:00+05:30", NOW),
        ("2026-11-28T10:00:60Z", NOW + timedelta(seconds=59)),
        ("2000-01-01T00:00:00+12:00", datetime(1999, 12, 31, 12, tzinfo=UTC)),
    ],
)
def test_times_of_rfc_3339_are_read_in_utc(text: str, time: datetime) -> None:
    assert parse_time(text) == time


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2026-11-28",
        "2026-11-28T10:00:00",
        "2026-13-01T10:00:00Z",
        "2026-11-28T10:00Z",
        "2026-11-28T25:00:00Z",
        "2026-11-28T10:00:00+25:00",
        "1796000000",
        "２０２６-11-28T10:00:00Z",
        f"2026-11-28T10:00:00.{'0' * 100}Z",
    ],
)
def test_other_text_is_not_a_time(text: str) -> None:
    with pytest.raises(WrongTime, match="RFC 3339"):
        parse_time(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_absurd_years_are_refused(text: str) -> None:
    with pytest.raises(WrongTime, match="before 2000 or after 9998"):
        parse_time(text)


def test_the_annotation_is_for_each_credential_of_the_source() -> None:
    credentials = {name: Credential("user", OPAQUE) for name in ("a.example.com", "b.example.com")}
    annotations = {EXPIRES_ANNOTATION: "2026-11-28T11:00:00Z", ISSUED_ANNOTATION: "2026-11-28T10:00:00Z"}
    read = read_expiries(credentials, annotations)
    assert dict(read.by_registry) == dict.fromkeys(credentials, Expiry(LATER, ExpiryOrigin.ANNOTATION, NOW))
    assert not read.problems


def test_the_annotations_of_msi_acrpull_are_read() -> None:
    found = read(annotations={AZURE_EXPIRES: "2026-11-28T11:00:00Z", AZURE_REFRESHED: "2026-11-28T10:00:00Z"})
    assert found.earliest == Expiry(LATER, ExpiryOrigin.MSI_ACRPULL, NOW)


def test_the_annotations_of_external_secrets_name_no_time() -> None:
    found = read(annotations={"reconcile.external-secrets.io/data-hash": "3f9a1c0c3f9a1c0c"})
    assert found == Expiries()


TOKEN = jwt({"exp": seconds(LATER), "iat": seconds(NOW), "sub": "robot"})


@pytest.mark.parametrize(
    ("credential", "origin"),
    [
        (Credential("user", TOKEN), ExpiryOrigin.PASSWORD),
        (Credential("user", OPAQUE, identity_token=TOKEN), ExpiryOrigin.IDENTITY_TOKEN),
        (Credential("user", OPAQUE, registry_token=TOKEN), ExpiryOrigin.REGISTRY_TOKEN),
    ],
)
def test_the_claims_of_a_token_are_read(credential: Credential, origin: ExpiryOrigin) -> None:
    assert read_expiries({REGISTRY: credential}, {}).earliest == Expiry(LATER, origin, NOW)


def test_a_fraction_of_a_second_is_cut_off() -> None:
    found = read(jwt({"exp": seconds(LATER) + 0.9})).earliest
    assert found is not None
    assert found.expires_at == LATER


def test_a_password_of_amazon_ecr_lives_for_twelve_hours() -> None:
    found = read(ecr(seconds(LATER))).earliest
    assert found == Expiry(LATER, ExpiryOrigin.PASSWORD, LATER - timedelta(hours=12))


@pytest.mark.parametrize(
    "password",
    [
        "secret",
        "a.b.c",
        "eyJhbGciOiJub25lIn0.bm90IGpzb24.c2ln",
        jwt({"sub": "a token without an end"}),
        jwt({"exp": None}),
        jwt(["exp"]),
        jwt("exp"),
        ecr(seconds(LATER), kind="OTHER"),
        "eyJwYXlsb2FkIjoi",
        "eyJ" + "a" * LONGEST_TOKEN,
        jwt({"exp": seconds(LATER), "padding": "x" * LONGEST_TOKEN}),
        urlsafe_b64encode(b'{"a":' * 2000).decode(),
        f"e30.{urlsafe_b64encode(b'[' * 9000).decode().rstrip('=')}.e30",
    ],
)
def test_a_password_that_names_no_time_is_no_problem(password: str) -> None:
    assert read(password) == Expiries()


@pytest.mark.parametrize(
    ("exp", "problem"),
    [
        ("tomorrow", "is not a number"),
        (True, "is not a number"),
        ([1], "is not a number"),
        (0, "before 2000"),
        (-(10**400), "before 2000"),
        (10**400, "after 9998"),
        (float("nan"), "before 2000 or after"),
        (float("inf"), "after 9998"),
        (1796000000000, "it must be in seconds"),
    ],
)
def test_an_absurd_claim_is_a_problem(exp: object, problem: str) -> None:
    found = read(jwt({"exp": exp}))
    assert found.earliest is None
    assert problem in found.remark
    assert found.remark.startswith(f"registry {REGISTRY}: the password is a token whose time of expiry")


def test_an_absurd_password_of_amazon_ecr_is_a_problem() -> None:
    assert "is not a number" in read(ecr("never")).remark


def test_an_end_before_the_issue_is_a_problem() -> None:
    assert "not later than its time of issue" in read(jwt({"exp": seconds(NOW), "iat": seconds(LATER)})).remark
    wrong = {EXPIRES_ANNOTATION: "2026-11-28T10:00:00Z", ISSUED_ANNOTATION: "2026-11-28T10:00:00Z"}
    found = read(annotations=wrong)
    assert found.earliest is None
    assert found.remark == f"the annotation {EXPIRES_ANNOTATION} is not later than {ISSUED_ANNOTATION}"


@pytest.mark.parametrize("issued", ["yesterday", 0, True])
def test_an_unreadable_time_of_issue_of_a_token_leaves_its_expiry(issued: object) -> None:
    found = read(jwt({"exp": seconds(LATER), "iat": issued}))
    assert found == Expiries({REGISTRY: Expiry(LATER, ExpiryOrigin.PASSWORD)})


def test_an_unreadable_annotation_with_the_time_of_issue_is_reported_and_leaves_the_expiry() -> None:
    found = read(annotations={EXPIRES_ANNOTATION: "2026-11-28T11:00:00Z", ISSUED_ANNOTATION: "today"})
    assert found.earliest == Expiry(LATER, ExpiryOrigin.ANNOTATION)
    assert found.remark.startswith(f"the annotation {ISSUED_ANNOTATION} is not a time")


def test_after_a_wrong_annotation_the_next_place_counts() -> None:
    annotations = {EXPIRES_ANNOTATION: "soon", AZURE_EXPIRES: "2026-11-28T11:00:00Z"}
    found = read(annotations=annotations)
    assert found.earliest == Expiry(LATER, ExpiryOrigin.MSI_ACRPULL)
    assert EXPIRES_ANNOTATION in found.remark
    found = read(jwt({"exp": seconds(LATER)}), {EXPIRES_ANNOTATION: "soon"})
    assert found.earliest == Expiry(LATER, ExpiryOrigin.PASSWORD)


def test_our_annotation_counts_before_that_of_another_controller() -> None:
    annotations = {AZURE_EXPIRES: "2026-11-28T10:30:00Z", EXPIRES_ANNOTATION: "2026-11-28T11:00:00Z"}
    assert read(annotations=annotations).earliest == Expiry(LATER, ExpiryOrigin.ANNOTATION)


@pytest.mark.parametrize(
    ("annotated", "origin"), [("10:30", ExpiryOrigin.ANNOTATION), ("12:00", ExpiryOrigin.PASSWORD)]
)
def test_of_an_annotation_and_a_token_the_earlier_one_counts(annotated: str, origin: ExpiryOrigin) -> None:
    found = read(jwt({"exp": seconds(LATER)}), {EXPIRES_ANNOTATION: f"2026-11-28T{annotated}:00Z"}).earliest
    assert found is not None
    assert found.origin is origin


def test_the_earliest_of_a_source_and_problems_of_many_entries() -> None:
    credentials = {f"{number}.example.com": Credential("user", jwt({"exp": "x"})) for number in range(5)}
    credentials["early"] = Credential("user", jwt({"exp": seconds(NOW)}))
    credentials["late"] = Credential("user", jwt({"exp": seconds(LATER)}))
    found = read_expiries(credentials, {})
    assert found.earliest == Expiry(NOW, ExpiryOrigin.PASSWORD)
    assert found.remark.endswith("; and 2 more")


FIXED = Expiry(NOW, ExpiryOrigin.ANNOTATION)


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (timedelta(days=15), None),
        (timedelta(days=14), ExpiryReason.SOON),
        (timedelta(days=3, seconds=1), ExpiryReason.SOON),
        (timedelta(days=3), ExpiryReason.VERY_SOON),
        (timedelta(seconds=1), ExpiryReason.VERY_SOON),
        (timedelta(), ExpiryReason.EXPIRED),
        (timedelta(days=-400), ExpiryReason.EXPIRED),
    ],
)
def test_warnings_begin_fourteen_and_three_days_before_the_end(before: timedelta, reason: ExpiryReason | None) -> None:
    assert FIXED.reason(NOW - before) is reason


def test_a_short_lifetime_is_warned_about_in_its_last_quarter_and_eighth() -> None:
    short = Expiry(NOW, ExpiryOrigin.ANNOTATION, NOW - timedelta(hours=12))
    assert short.reason(NOW - timedelta(hours=3, seconds=1)) is None
    assert short.reason(NOW - timedelta(hours=3)) is ExpiryReason.SOON
    assert short.reason(NOW - timedelta(minutes=90)) is ExpiryReason.VERY_SOON
    yearly = Expiry(NOW, ExpiryOrigin.ANNOTATION, NOW - timedelta(days=365))
    assert yearly.warned_at == FIXED.warned_at


def test_the_next_change_is_the_next_time_at_which_the_reason_changes() -> None:
    now, seen = NOW - timedelta(days=100), []
    while (change := FIXED.next_change(now)) is not None:
        assert FIXED.reason(change - timedelta(seconds=1)) is not FIXED.reason(change)
        now = change
        seen.append(FIXED.reason(now))
    assert seen == [ExpiryReason.SOON, ExpiryReason.VERY_SOON, ExpiryReason.EXPIRED]


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (NOW - timedelta(days=3, hours=5), "expires in 3 days (2026-11-28 10:00 UTC)"),
        (NOW - timedelta(hours=47), "expires in 47 hours (2026-11-28 10:00 UTC)"),
        (NOW - timedelta(minutes=119), "expires in 119 minutes (2026-11-28 10:00 UTC)"),
        (NOW - timedelta(seconds=1), "expires in 1 second (2026-11-28 10:00 UTC)"),
        (NOW - timedelta(milliseconds=1), "expires now (2026-11-28 10:00 UTC)"),
        (NOW, "expired just now (2026-11-28 10:00 UTC)"),
        (NOW + timedelta(seconds=1), "expired 1 second ago (2026-11-28 10:00 UTC)"),
        (NOW + timedelta(hours=2), "expired 2 hours ago (2026-11-28 10:00 UTC)"),
    ],
)
def test_people_read_the_remaining_time_and_the_date(now: datetime, text: str) -> None:
    assert FIXED.describe(now) == text


GARBAGE = st.one_of(
    st.text(),
    st.text("eyJ.-_=ab+/"),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["exp", "iat", "expiration", "type"]), inner),
    ).map(jwt),
    st.integers().map(lambda number: jwt({"exp": number, "iat": number - 1})),
    st.integers().map(ecr),
    st.datetimes().map(datetime.isoformat),
    st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
)


@given(GARBAGE, GARBAGE, st.dictionaries(st.sampled_from([EXPIRES_ANNOTATION, ISSUED_ANNOTATION]), GARBAGE))
def test_garbage_never_raises_and_never_shows_up_in_a_problem(
    password: str, token: str, annotations: dict[str, str]
) -> None:
    found = read(password, annotations, identity_token=token)
    for problem in found.problems:
        assert all(len(text) < 8 or text not in problem for text in (password, token, *annotations.values()))
    if (first := found.earliest) is not None:
        assert first.lifetime is None or first.lifetime > timedelta()
        assert first.describe(NOW)
        assert (first.reason(NOW) is ExpiryReason.EXPIRED) == (first.next_change(NOW) is None)
