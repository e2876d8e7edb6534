from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certs.authority import issue_authority
from certs.bundle import parse
from certs.rotation import (
    CertificateState,
    Lifetimes,
    Nothing,
    PublishBundle,
    Step,
    StoreAuthority,
    StoreLeaf,
    is_published,
    next_step,
)
from certs.validity import check_pair
from webhook.errors import CertificateInvalid

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = Lifetimes(authority=90 * DAY, leaf=30 * DAY, settling=timedelta(seconds=10))
EMPTY = CertificateState(names=("psw-webhook.ns.svc",), ca_bundles=(b"", b""))


def carry_out(state: CertificateState, step: Step, now: datetime) -> CertificateState:
    """What the loop does: one write, then a look at what is there."""
    match step:
        case StoreAuthority(authority):
            state = replace(state, authority=authority.certificate_pem, authority_key=authority.private_key_pem)
            state = replace(state, published_since=None)
        case PublishBundle(pem):
            state = replace(state, ca_bundles=tuple(pem for _ in state.ca_bundles))
        case StoreLeaf(leaf):
            state = replace(state, leaf=leaf.certificate_pem, leaf_key=leaf.private_key_pem)
            state = replace(state, leaf_authority=leaf.authority_pem)
    published = is_published(state)
    return replace(state, published_since=(state.published_since or now) if published else None)


def converge(state: CertificateState, now: datetime) -> tuple[CertificateState, list[str], datetime]:
    """Carry out steps until there is nothing to do; return the state, the steps' names, and when to look again."""
    steps: list[str] = []
    for _ in range(10):
        step = next_step(state, now, POLICY)
        if isinstance(step, Nothing):
            return state, steps, step.until
        steps.append(type(step).__name__)
        state = carry_out(state, step, now)
    raise AssertionError(steps)


def serves(state: CertificateState, now: datetime, bundle: bytes) -> bool:
    try:
        check_pair(state.leaf, state.leaf_key, bundle, state.names, now)
    except CertificateInvalid:
        return False
    return True


@pytest.fixture(scope="module")
def settled() -> CertificateState:
    return converge(EMPTY, NOW)[0]


def test_from_nothing_the_authority_is_trusted_before_its_leaf_is_stored() -> None:
    state, steps, until = converge(EMPTY, NOW)

    assert steps == ["StoreAuthority", "PublishBundle", "StoreLeaf"]
    assert all(serves(state, NOW, bundle) for bundle in state.ca_bundles)
    assert NOW + 19 * DAY < until < NOW + 21 * DAY


def test_an_authority_that_is_absent_or_junk_is_published_nowhere() -> None:
    assert not is_published(EMPTY)
    assert not is_published(replace(EMPTY, authority=b"junk"))


def test_nothing_is_done_to_what_is_good(settled: CertificateState) -> None:
    assert converge(settled, NOW + DAY)[1] == []


def test_the_leaf_is_renewed_at_two_thirds_of_its_lifetime(settled: CertificateState) -> None:
    state, steps, _ = converge(settled, NOW + 21 * DAY)

    assert steps == ["StoreLeaf"]
    assert state.authority == settled.authority


def test_a_new_authority_settles_before_its_first_leaf_and_the_old_one_stays(settled: CertificateState) -> None:
    at = NOW + 10 * DAY
    old = replace(settled, authority=b"", authority_key=b"")

    waiting, steps, until = converge(old, at)
    assert steps == ["StoreAuthority", "PublishBundle"]
    assert until == at + POLICY.settling
    assert waiting.leaf == settled.leaf
    assert serves(waiting, at, waiting.ca_bundles[0])

    done, steps, _ = converge(waiting, until)
    assert steps == ["StoreLeaf"]
    assert settled.authority in parse(done.ca_bundles[0])
    assert serves(done, until, done.ca_bundles[0])
    assert serves(settled, until, done.ca_bundles[0])


def test_an_expired_authority_leaves_the_bundle(settled: CertificateState) -> None:
    rotated, _, until = converge(replace(settled, authority=b"", authority_key=b""), NOW + 60 * DAY)
    while until <= NOW + 90 * DAY:
        assert settled.authority in parse(rotated.ca_bundles[0])
        rotated, _, until = converge(rotated, until)
    rotated, _, _ = converge(rotated, NOW + 90 * DAY + timedelta(seconds=1))

    assert settled.authority not in parse(rotated.ca_bundles[0])


def test_a_wiped_bundle_gets_back_the_authority_of_the_leaf_in_service_too(settled: CertificateState) -> None:
    waiting, _, _ = converge(replace(settled, authority=b"", authority_key=b""), NOW + DAY)
    restored, steps, _ = converge(replace(waiting, ca_bundles=(b"", b"")), NOW + DAY)

    assert steps == ["PublishBundle"]
    assert serves(restored, NOW + DAY, restored.ca_bundles[1])


def test_one_wiped_bundle_of_two_is_restored_and_a_foreign_authority_kept(settled: CertificateState) -> None:
    foreign = issue_authority(NOW, DAY).certificate_pem
    state, steps, _ = converge(replace(settled, ca_bundles=(b"", foreign + settled.authority)), NOW)

    assert steps == ["PublishBundle"]
    assert all(settled.authority in parse(bundle) and foreign in parse(bundle) for bundle in state.ca_bundles)


@pytest.mark.parametrize("content", [b"", b"\x00\xff random", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_leaf_that_cannot_be_used_is_replaced_at_once(settled: CertificateState, content: bytes) -> None:
    for broken in (replace(settled, leaf=content), replace(settled, leaf_key=content)):
        state, steps, _ = converge(replace(broken, published_since=None), NOW)

        assert steps == ["StoreLeaf"]
        assert serves(state, NOW, state.ca_bundles[0])


def settling(settled: CertificateState, at: datetime) -> tuple[CertificateState, datetime]:
    """Return the state in which a new authority is published, and the old leaf in service, and when that is over."""
    state, steps, until = converge(replace(settled, authority=b"", authority_key=b""), at)
    assert steps == ["StoreAuthority", "PublishBundle"]
    return state, until


@pytest.mark.parametrize("content", [b"", b"\x00\xff random"])
def test_a_leaf_that_is_gone_while_a_new_authority_settles_waits_for_that(
    settled: CertificateState, content: bytes
) -> None:
    """The replicas have the old one in memory, and not every API server knows the new authority yet."""
    state, until = settling(settled, NOW + DAY)
    broken = replace(state, leaf=content, leaf_key=content, leaf_authority=content)

    assert converge(broken, NOW + DAY)[1:] == ([], until)
    done, steps, _ = converge(broken, until)
    assert steps == ["StoreLeaf"]
    assert serves(done, until, done.ca_bundles[0])


def test_a_leaf_that_replicas_have_too_and_nobody_can_use_never_waits(settled: CertificateState) -> None:
    state, _ = settling(settled, NOW + DAY)
    assert converge(replace(state, names=("other.svc",)), NOW + DAY)[1] == ["StoreLeaf"]

    expired = replace(settled, authority=b"", authority_key=b"")
    assert converge(expired, NOW + 31 * DAY)[1] == ["StoreAuthority", "PublishBundle", "StoreLeaf"]


def test_what_is_to_be_repaired_is_signed_by_the_authority_that_everybody_knows(settled: CertificateState) -> None:
    at = NOW + 61 * DAY
    state, steps, until = converge(replace(settled, leaf=b"", leaf_key=b"", leaf_authority=b""), at)

    assert steps == ["StoreLeaf", "StoreAuthority", "PublishBundle"]
    assert until == at + POLICY.settling
    assert serves(state, at, settled.ca_bundles[0])


def test_a_leaf_for_other_names_is_replaced_at_once(settled: CertificateState) -> None:
    assert converge(replace(settled, names=("other.svc", "127.0.0.1")), NOW)[1] == ["StoreLeaf"]


def test_a_step_says_why_and_shows_no_key(settled: CertificateState) -> None:
    step = next_step(replace(settled, leaf=b"", leaf_key=b""), NOW, POLICY)

    assert isinstance(step, StoreLeaf)
    assert step.cause == "there is no serving certificate"
    assert "PRIVATE" not in f"{step!r} {settled!r} {next_step(EMPTY, NOW, POLICY)!r}"


damage = st.sampled_from(["authority", "authority_key", "leaf", "leaf_key", "leaf_authority", "ca_bundles"])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(damage, st.sampled_from([b"", b"junk"]), st.integers(0, 40)), max_size=6))
def test_whatever_is_damaged_and_whenever_it_converges_and_serves(events: list[tuple[str, bytes, int]]) -> None:
    state, _, _ = converge(EMPTY, NOW)
    at = NOW
    for part, content, days in events:
        at += days * DAY
        state = replace(state, **{part: (content, content) if part == "ca_bundles" else content})  # type: ignore[arg-type]
        state, _, until = converge(state, at)
        assert serves(state, at, state.ca_bundles[0])
        at = min(max(until, at), at + POLICY.settling)
        state, _, _ = converge(state, at)
        assert all(serves(state, at, bundle) for bundle in state.ca_bundles)
        assert state.leaf_authority == state.authority or at < (state.published_since or at) + POLICY.settling


def test_a_year_of_rotation_never_lacks_a_trusted_leaf() -> None:
    state, _, until = converge(EMPTY, NOW)
    looks = 0
    while until < NOW + 365 * DAY:
        before, bundle_before = state, state.ca_bundles[0]
        at = until
        state, _, until = converge(state, at)
        looks += 1
        assert until > at
        # A replica that has not reloaded yet, and an API server that has not seen the new bundle yet.
        assert serves(before, at, state.ca_bundles[0])
        assert serves(state, at, bundle_before) or state.leaf == before.leaf
    assert looks < 60
