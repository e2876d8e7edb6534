from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from types import ModuleType

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from pkilint.bin import lint_pkix_cert, lint_pkix_signer_signee_cert_chain

from certs.authority import Authority, Leaf, issue_authority, issue_leaf

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
YEAR = timedelta(days=365)
QUARTER = timedelta(days=90)
NAMES = ("psw-webhook.pull-secrets.svc", "localhost", "127.0.0.1", "::1")


@pytest.fixture(scope="module")
def authority() -> x509.Certificate:
    return x509.load_pem_x509_certificate(issue_authority(NOW, YEAR).certificate_pem)


@pytest.fixture(scope="module")
def leaf() -> x509.Certificate:
    pem = issue_leaf(issue_authority(NOW, YEAR), NAMES, NOW, QUARTER).certificate_pem
    return x509.load_pem_x509_certificate(pem)


def extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> x509.Extension[x509.ExtensionType]:
    return certificate.extensions.get_extension_for_class(kind)


def test_the_authority_signs_certificates_and_nothing_below_it_does(authority: x509.Certificate) -> None:
    constraints = extension(authority, x509.BasicConstraints)
    usage = extension(authority, x509.KeyUsage)

    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert usage.critical
    assert isinstance(usage.value, x509.KeyUsage)
    assert usage.value.key_cert_sign
    assert not usage.value.digital_signature


def test_the_leaf_serves_and_signs_no_certificates(leaf: x509.Certificate) -> None:
    constraints = extension(leaf, x509.BasicConstraints)
    usage = extension(leaf, x509.KeyUsage)

    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=False, path_length=None)
    assert usage.critical
    assert isinstance(usage.value, x509.KeyUsage)
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert extension(leaf, x509.ExtendedKeyUsage).value == x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


def test_the_leaf_has_its_names_as_dns_names_and_addresses(leaf: x509.Certificate) -> None:
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert names.get_values_for_type(x509.DNSName) == ["psw-webhook.pull-secrets.svc", "localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1"), ip_address("::1")]


def test_a_leaf_without_names_is_not_issued() -> None:
    with pytest.raises(ValueError, match="at least one name"):
        issue_leaf(issue_authority(NOW, YEAR), (), NOW, QUARTER)


def test_keys_are_on_p256_and_in_pkcs8() -> None:
    authority = issue_authority(NOW, YEAR)
    for pem in (authority.private_key_pem, issue_leaf(authority, NAMES, NOW, QUARTER).private_key_pem):
        key = serialization.load_pem_private_key(pem, password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert key.curve.name == "secp256r1"
        assert pem.startswith(b"-----BEGIN PRIVATE KEY-----")


def test_the_identifiers_link_the_leaf_to_its_authority() -> None:
    issued = issue_authority(NOW, YEAR)
    authority = x509.load_pem_x509_certificate(issued.certificate_pem)
    leaf = x509.load_pem_x509_certificate(issue_leaf(issued, NAMES, NOW, QUARTER).certificate_pem)

    subject_key = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    issuer_key = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier

    assert subject_key == issuer_key
    assert leaf.issuer == authority.subject


def test_no_two_certificates_share_serial_or_authority_subject() -> None:
    authorities = [x509.load_pem_x509_certificate(issue_authority(NOW, YEAR).certificate_pem) for _ in range(5)]

    assert len({certificate.serial_number for certificate in authorities}) == len(authorities)
    assert len({certificate.subject for certificate in authorities}) == len(authorities)


def test_validity_begins_five_minutes_ago(authority: x509.Certificate, leaf: x509.Certificate) -> None:
    for certificate, lifetime in ((authority, YEAR), (leaf, QUARTER)):
        assert certificate.not_valid_before_utc == NOW - timedelta(minutes=5)
        assert certificate.not_valid_after_utc == NOW + lifetime


def test_a_short_lifetime_is_backdated_by_a_tenth_only() -> None:
    certificate = x509.load_pem_x509_certificate(issue_authority(NOW, timedelta(seconds=60)).certificate_pem)

    assert certificate.not_valid_before_utc == NOW - timedelta(seconds=6)


def test_a_leaf_never_outlives_its_authority() -> None:
    authority = issue_authority(NOW, timedelta(days=10))
    leaf = x509.load_pem_x509_certificate(issue_leaf(authority, NAMES, NOW, QUARTER).certificate_pem)

    assert leaf.not_valid_after_utc == NOW + timedelta(days=10)


def test_nothing_shows_a_private_key() -> None:
    authority = issue_authority(NOW, YEAR)
    leaf = issue_leaf(authority, NAMES, NOW, QUARTER)

    assert "serial" in repr(authority)
    assert "PRIVATE" not in f"{authority!r} {leaf!r} {authority} {leaf}"


def test_openssl_verifies_the_leaf_for_its_names_in_strict_mode(tmp_path: Path) -> None:
    authority = issue_authority(NOW, YEAR)
    leaf = issue_leaf(authority, NAMES, NOW, QUARTER)
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "leaf.pem").write_bytes(leaf.certificate_pem)
    at = str(int(NOW.timestamp()))
    for name in (["-verify_hostname", "psw-webhook.pull-secrets.svc"], ["-verify_ip", "127.0.0.1"]):
        command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-attime", at, "-CAfile", "ca.pem"]
        result = subprocess.run(
            [*command, *name, "leaf.pem"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert result.stdout.strip() == "leaf.pem: OK", result.stderr


LIFETIMES = [
    (timedelta(days=365), timedelta(days=30)),
    (timedelta(seconds=16), timedelta(seconds=4)),
    (timedelta(days=365 * 30), timedelta(days=365 * 30)),  # past 2049, where the encoding of times changes
]
LEAF_NAMES = [["psw-webhook.pull-secrets.svc"], ["127.0.0.1", "::1"], [f"{'a' * 63}.{'b' * 63}.example.com"]]

quiet_linter = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning", "ignore::PendingDeprecationWarning")


def written(folder: Path, authority: Authority, leaf: Leaf) -> tuple[str, str]:
    authority_file, leaf_file = folder / "ca.pem", folder / "leaf.pem"
    authority_file.write_bytes(authority.certificate_pem)
    leaf_file.write_bytes(leaf.certificate_pem)
    return str(authority_file), str(leaf_file)


def findings(linter: ModuleType, capsys: pytest.CaptureFixture[str], *files: str) -> str:
    """Return what the linter says, empty for nothing."""
    count = linter.main(["lint", "--severity", "WARNING", *files])
    said = capsys.readouterr()
    assert bool(count) == bool(said.out.strip())
    return (said.out + said.err).strip()


@quiet_linter
@pytest.mark.parametrize("names", LEAF_NAMES, ids=["of a Service", "addresses", "long"])
@pytest.mark.parametrize("lifetimes", LIFETIMES, ids=["usual", "seconds", "past 2049"])
def test_the_linter_finds_nothing_in_what_we_issue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lifetimes: tuple[timedelta, timedelta], names: list[str]
) -> None:
    authority = issue_authority(NOW, lifetimes[0])
    issued = written(tmp_path, authority, issue_leaf(authority, names, NOW, lifetimes[1]))
    assert [findings(lint_pkix_cert, capsys, file) for file in issued] == ["", ""]
    assert findings(lint_pkix_signer_signee_cert_chain, capsys, *issued) == ""


@quiet_linter
def test_the_linter_finds_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Or else the test above would prove nothing."""
    authority, other = issue_authority(NOW, LIFETIMES[0][0]), issue_authority(NOW, LIFETIMES[0][0])
    issued = written(tmp_path, other, issue_leaf(authority, ["localhost"], NOW, LIFETIMES[0][1]))
    assert "Invalid domain name syntax" in findings(lint_pkix_cert, capsys, issued[1])
    assert "ERROR" in findings(lint_pkix_signer_signee_cert_chain, capsys, *issued)
