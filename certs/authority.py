"""Issue certificate authorities and serving certificates.

The certificates follow RFC 5280 and pass the checks of Go's crypto/x509:

* Keys are EC P-256, serial numbers are random, and subject and authority key identifiers are set.
* The CA has critical basicConstraints (path length 0) and critical keyUsage (keyCertSign, cRLSign).
* The leaf has critical keyUsage (digitalSignature) and extendedKeyUsage serverAuth.
* Names are only in subjectAltName.

Each CA has a unique subject, so that in a bundle with two CAs it is clear which one signed a leaf.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence

OWNER = "pull-secret-webhook"
"""The organization in the subject of our authorities; a bundle uses it to distinguish them from foreign ones."""

BACKDATED = timedelta(minutes=5)
"""Certificates start this much earlier, because the clock of an API server may be behind ours."""

BACKDATED_SHARE = 10
"""At most a tenth of the lifetime is backdated, so that a lifetime of seconds is not over when it begins."""


@dataclass(frozen=True, slots=True, repr=False)
class Authority:
    """A certificate authority: certificate and key in PEM. The repr does not show the key."""

    certificate_pem: bytes
    private_key_pem: bytes

    def __repr__(self) -> str:
        return f"Authority({_summary(self.certificate_pem)})"


@dataclass(frozen=True, slots=True, repr=False)
class Leaf:
    """A serving certificate, its key and the certificate of its authority, in PEM. The repr does not show the key."""

    certificate_pem: bytes
    private_key_pem: bytes
    authority_pem: bytes

    def __repr__(self) -> str:
        return f"Leaf({_summary(self.certificate_pem)})"


def _summary(certificate_pem: bytes) -> str:
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    return f"serial {certificate.serial_number:x}, until {certificate.not_valid_after_utc.isoformat()}"


def issue_authority(now: datetime, lifetime: timedelta) -> Authority:
    """Return a new self-signed authority, valid for ``lifetime`` from ``now``."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, OWNER),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{OWNER} CA {serial:x}"),
        ]
    )
    builder = (
        _builder(subject, subject, key, now - _backdated(lifetime), now + lifetime)
        .serial_number(serial)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    return Authority(_pem(builder.sign(key, hashes.SHA256())), _key_pem(key))


def issue_leaf(authority: Authority, names: Sequence[str], now: datetime, lifetime: timedelta) -> Leaf:
    """Return a new serving certificate for ``names`` (DNS names and IP addresses). It never outlives its CA.

    The caller must have checked the pair of ``authority``. Raises ValueError when ``names`` is empty.
    """
    issuer = x509.load_pem_x509_certificate(authority.certificate_pem)
    issuer_key = serialization.load_pem_private_key(authority.private_key_pem, password=None)
    if not names or not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        message = "a serving certificate needs at least one name and an authority with an EC key"
        raise ValueError(message)
    key = ec.generate_private_key(ec.SECP256R1())
    # Without a common name: Go ignores it since 1.15, and names are in subjectAltName.
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, OWNER)])
    # Outside of the validity of its authority a leaf is not trusted, so it must not seem to be valid there.
    not_before = max(now - _backdated(lifetime), issuer.not_valid_before_utc)
    not_after = min(now + lifetime, issuer.not_valid_after_utc)
    # RFC 5280, 4.2.1.1: it must equal the subject key identifier, which _builder derives from the same key.
    issuer_identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = (
        _builder(subject, issuer.subject, key, not_before, not_after)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(issuer_identifier, critical=False)
    )
    certificate_pem = _pem(builder.sign(issuer_key, hashes.SHA256()))
    # The authority is stored beside the leaf (ca.crt), so that a wiped caBundle can get it back.
    return Leaf(certificate_pem, _key_pem(key), authority.certificate_pem)


def _backdated(lifetime: timedelta) -> timedelta:
    return min(BACKDATED, lifetime / BACKDATED_SHARE)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, not_before: datetime, not_after: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        # Only RSA key transport needs it. The key exchange is ECDHE, for which the server signs (RFC 8446, 4.4.2.2).
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        # Go compares the address of a URL only with IP entries, never with DNS names.
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
