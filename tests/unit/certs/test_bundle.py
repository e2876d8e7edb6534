from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from certs.authority import issue_authority
from certs.bundle import described, expired, parse, updated
from tests.strangers import foreign_authority

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
OURS = issue_authority(NOW, 10 * DAY).certificate_pem
NEXT = issue_authority(NOW, 100 * DAY).certificate_pem
BROKEN = b"-----BEGIN CERTIFICATE-----\nnot base64\n-----END CERTIFICATE-----\n"


FOREIGN = foreign_authority(NOW, DAY).certificate_pem


def test_an_empty_bundle_gets_ours() -> None:
    assert updated(parse(b""), [OURS], NOW).pem() == OURS


def test_a_foreign_certificate_is_kept_where_it_is_even_expired() -> None:
    assert updated(parse(FOREIGN), [OURS], NOW + 5 * DAY).pem() == FOREIGN + OURS


def test_our_expired_authority_is_pruned_and_the_one_still_valid_kept() -> None:
    bundle = parse(OURS + FOREIGN)

    assert updated(bundle, [NEXT], NOW + 9 * DAY).pem() == OURS + FOREIGN + NEXT
    assert updated(bundle, [NEXT], NOW + 11 * DAY).pem() == FOREIGN + NEXT


def test_updating_twice_changes_nothing_more() -> None:
    once = updated(parse(FOREIGN + OURS), [NEXT, OURS], NOW)

    assert updated(parse(once.pem()), [NEXT, OURS], NOW).pem() == once.pem()


def test_repeats_comments_and_line_ends_do_not_matter() -> None:
    text = b"# a comment\r\n" + OURS.replace(b"\n", b"\r\n") + b"\n\n" + OURS

    assert parse(text).pem() == OURS


def test_a_block_that_cannot_be_read_is_counted_and_left_out() -> None:
    bundle = parse(BROKEN + OURS + BROKEN)

    assert bundle.unparsable == 2
    assert bundle.pem() == OURS


def test_membership_is_by_certificate() -> None:
    assert OURS in parse(FOREIGN + OURS)
    assert NEXT not in parse(FOREIGN + OURS)


def test_a_block_that_was_cut_off_spoils_none_after_it() -> None:
    bundle = parse(OURS[:200] + b"\n" + FOREIGN + NEXT)

    assert bundle.unparsable == 1
    assert bundle.pem() == FOREIGN + NEXT


def test_a_text_without_any_block_is_one_thing_that_cannot_be_read() -> None:
    assert parse(b"\x00\xff random").unparsable == 1
    assert parse(b" \n").unparsable == 0


def test_ours_and_foreign_ones_are_told_apart() -> None:
    bundle = parse(FOREIGN + OURS + NEXT)

    assert parse(b"".join(map(pem, bundle.ours))).pem() == OURS + NEXT
    assert [described(one) for one in bundle.foreign] == ["CN=a corporate root,O=Example (until 2026-03-02 12:00 UTC)"]
    assert expired(bundle.foreign, NOW) == []
    assert expired(bundle.foreign, NOW + 2 * DAY) == list(bundle.foreign)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
