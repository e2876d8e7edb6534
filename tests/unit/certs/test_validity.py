from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from certs.authority import issue_authority, issue_leaf
from certs.validity import certificates_in, check_authority, check_pair, due_at, not_after, renew_at
from webhook.errors import CertificateInvalid

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
PEM_ENCODING = serialization.Encoding.PEM
NAMES = ("psw-webhook.pull-secrets.svc", "127.0.0.1")
AUTHORITY = issue_authority(NOW, 365 * DAY)
LEAF = issue_leaf(AUTHORITY, NAMES, NOW, 90 * DAY)
OTHER = issue_leaf(issue_authority(NOW, 365 * DAY), NAMES, NOW, 90 * DAY)


def encrypted(key_pem: bytes) -> bytes:
    return serialization.load_pem_private_key(key_pem, None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )


def test_renewal_is_at_two_thirds_of_the_lifetime() -> None:
    middle = NOW + 60 * DAY

    assert abs(renew_at(LEAF.certificate_pem) - middle) < timedelta(minutes=5)


def test_jitter_makes_it_earlier_by_less_than_a_tenth_of_the_lifetime() -> None:
    latest = renew_at(LEAF.certificate_pem)

    assert latest - 9 * DAY < renew_at(LEAF.certificate_pem, 0.99) < renew_at(LEAF.certificate_pem, 0.5) < latest


def test_when_it_is_due_differs_between_certificates_and_is_always_the_same_for_one() -> None:
    leaves = [issue_leaf(AUTHORITY, NAMES, NOW, 90 * DAY).certificate_pem for _ in range(20)]
    due = [due_at(leaf) for leaf in leaves]

    assert due == [due_at(leaf) for leaf in leaves]
    assert len(set(due)) == len(due)
    assert all(NOW + 57 * DAY < at <= renew_at(leaf) for at, leaf in zip(due, leaves, strict=True))


def test_a_certificate_of_seconds_is_not_due_when_it_is_issued() -> None:
    leaf = issue_leaf(AUTHORITY, NAMES, NOW, timedelta(seconds=6))

    assert NOW + timedelta(seconds=2) < renew_at(leaf.certificate_pem) < NOW + timedelta(seconds=5)


def test_a_good_pair_passes() -> None:
    check_pair(LEAF.certificate_pem, LEAF.private_key_pem, AUTHORITY.certificate_pem, NAMES, NOW)
    check_pair(LEAF.certificate_pem, LEAF.private_key_pem, None, (), NOW)
    assert not_after(LEAF.certificate_pem) == NOW + 90 * DAY


def test_an_authority_among_others_and_a_broken_block_is_found() -> None:
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    bundle = OTHER.authority_pem + broken + AUTHORITY.certificate_pem

    check_pair(LEAF.certificate_pem, LEAF.private_key_pem, bundle, NAMES, NOW)


@pytest.mark.parametrize(
    ("certificate", "key", "bundle", "names", "at", "words"),
    [
        (b"", LEAF.private_key_pem, None, (), NOW, "the certificate is not readable PEM"),
        (LEAF.certificate_pem[:200], LEAF.private_key_pem, None, (), NOW, "the certificate is not readable PEM"),
        (LEAF.certificate_pem, b"", None, (), NOW, "the private key is not readable PEM"),
        (LEAF.certificate_pem, LEAF.private_key_pem[:90], None, (), NOW, "the private key is not readable PEM"),
        (LEAF.certificate_pem, encrypted(LEAF.private_key_pem), None, (), NOW, "the private key is encrypted"),
        (LEAF.certificate_pem, OTHER.private_key_pem, None, (), NOW, "not the key of the certificate"),
        (LEAF.certificate_pem, LEAF.private_key_pem, None, (), NOW - DAY, "not valid before 2026-03-01T11:55:00"),
        (LEAF.certificate_pem, LEAF.private_key_pem, None, (), NOW + 91 * DAY, "expired at 2026-05-30T12:00:00"),
        (LEAF.certificate_pem, LEAF.private_key_pem, None, ("a.svc", "::1"), NOW, "not valid for a.svc, ::1"),
        (LEAF.certificate_pem, LEAF.private_key_pem, OTHER.authority_pem, NAMES, NOW, "not signed by an authority"),
        (LEAF.certificate_pem, LEAF.private_key_pem, b"", NAMES, NOW, "not signed by an authority"),
    ],
    ids=[
        "empty",
        "truncated",
        "no-key",
        "truncated-key",
        "encrypted",
        "mismatched",
        "early",
        "expired",
        "names",
        "foreign",
        "no-bundle",
    ],
)
def test_a_bad_pair_is_refused_with_one_sentence(
    certificate: bytes, key: bytes, bundle: bytes | None, names: tuple[str, ...], at: datetime, words: str
) -> None:
    with pytest.raises(CertificateInvalid, match=words) as caught:
        check_pair(certificate, key, bundle, names, at)
    assert "\n" not in str(caught.value)


def test_only_an_authority_of_ours_can_sign() -> None:
    check_authority(AUTHORITY.certificate_pem, AUTHORITY.private_key_pem, NOW)
    with pytest.raises(CertificateInvalid, match="not an authority"):
        check_authority(LEAF.certificate_pem, LEAF.private_key_pem, NOW)


PEM = LEAF.certificate_pem


@pytest.mark.filterwarnings("ignore::UserWarning")  # of cryptography: foreign authorities write serial 0, for example
@settings(max_examples=200)
@given(
    st.binary(max_size=60)
    | st.tuples(st.integers(0, len(PEM) - 1), st.binary(max_size=4)).map(
        lambda edit: PEM[: edit[0]] + edit[1] + PEM[edit[0] + len(edit[1]) :]
    )
)
def test_any_bytes_are_a_certificate_or_are_refused(content: bytes) -> None:
    certificates, unparsable = certificates_in(content)

    assert len(certificates) + unparsable <= 1
    try:
        check_pair(content, LEAF.private_key_pem, AUTHORITY.certificate_pem, NAMES, NOW)
    except CertificateInvalid:
        return
    assert certificates


def signed(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey) -> bytes:
    subject_name, issuer_name = (x509.Name.from_rfc4514_string(f"CN={name}") for name in (subject, issuer))
    builder = x509.CertificateBuilder(issuer_name, subject_name, key.public_key(), 1, NOW, NOW + DAY)
    names = x509.SubjectAlternativeName([x509.DNSName("*.pull-secrets.svc")])
    constraints = x509.BasicConstraints(ca=subject != "leaf", path_length=None)
    builder = builder.add_extension(constraints, critical=True)
    return builder.add_extension(names, critical=False).sign(signer, hashes.SHA256()).public_bytes(PEM_ENCODING)


def test_a_provided_chain_with_an_intermediate_and_a_wildcard_is_trusted_by_its_root() -> None:
    root, middle, end = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    key_pem = end.private_bytes(PEM_ENCODING, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    root_pem = signed("root", "root", root, root)
    chain = signed("leaf", "middle", end, middle) + signed("middle", "root", middle, root)

    check_pair(chain, key_pem, root_pem, ("psw-webhook.pull-secrets.svc",), NOW)
    with pytest.raises(CertificateInvalid, match="not signed by an authority"):
        check_pair(signed("leaf", "middle", end, middle), key_pem, root_pem, (), NOW)
    with pytest.raises(CertificateInvalid, match=r"not valid for a\.b\.pull-secrets\.svc"):
        check_pair(chain, key_pem, root_pem, ("a.b.pull-secrets.svc",), NOW)
