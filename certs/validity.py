"""Check whether a certificate and its key may be served, and compute when to renew them.

Every rejection raises :class:`~webhook.errors.CertificateInvalid` with one sentence that never quotes the key.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from certs.authority import OWNER
from certs.verify import is_for_servers, is_trusted
from webhook.errors import CertificateInvalid
from webhook.rules.expiry import Validity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

Certificate: TypeAlias = x509.Certificate
"""The certificate type for other packages, which do not import cryptography."""

RENEWAL_SHARE = 2 / 3
"""The share of the lifetime after which a certificate is renewed; the last third is left to notice failed renewals."""

JITTER_SHARE = 1 / 40
"""The share of the lifetime by which jitter may bring the renewal forward."""

_SERIAL_BITS = 32
"""The number of bits of the random serial number that the jitter uses."""

_BEGIN = b"-----BEGIN CERTIFICATE-----"
# Not load_pem_x509_certificates for a whole bundle: one unreadable block would make it refuse all.
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----(?:(?!-----BEGIN ).)*?-----END CERTIFICATE-----", re.DOTALL)
"""A truncated block ends where the next one begins."""


def chain_of(certificate_pem: bytes) -> list[x509.Certificate]:
    """Return the certificates in ``certificate_pem``, the leaf first. Raises CertificateInvalid when it has none."""
    try:
        chain = x509.load_pem_x509_certificates(certificate_pem)
        # Parsing is lazy: without this loop an unreadable extension would raise only when it is first used.
        for certificate in chain:
            _ = certificate.extensions, certificate.subject, certificate.issuer, certificate.public_key()
    except (
        ValueError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ):
        chain = []
    if not chain:
        raise CertificateInvalid("the certificate is not readable PEM")
    return chain


def certificates_in(text: bytes) -> tuple[list[x509.Certificate], int]:
    """Return the certificates of a bundle and the number of unreadable blocks. A bad block does not affect the others.

    A text without any block counts as one unreadable block.
    """
    certificates: list[x509.Certificate] = []
    for block in _BLOCK.findall(text):
        try:
            certificates += chain_of(block)
        except CertificateInvalid:
            continue
    # Counted by their beginning, because a truncated block has no end.
    blocks = text.count(_BEGIN) or int(bool(text.strip()))
    return certificates, blocks - len(certificates)


def not_after(certificate_pem: bytes) -> datetime:
    """Return when the certificate expires."""
    return validity_of(certificate_pem).end


def validity_of(certificate_pem: bytes) -> Validity:
    """Return the validity period of the certificate. Raises CertificateInvalid if it is not readable PEM."""
    leaf = chain_of(certificate_pem)[0]
    return Validity(leaf.not_valid_before_utc, leaf.not_valid_after_utc)


def renew_at(certificate_pem: bytes, jitter: float = 0.0) -> datetime:
    """Return when to renew the certificate: at two thirds of its lifetime, earlier with ``jitter`` in [0, 1)."""
    certificate = chain_of(certificate_pem)[0]
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_before_utc + lifetime * (RENEWAL_SHARE - jitter * JITTER_SHARE)


def due_at(certificate_pem: bytes) -> datetime:
    """Return when to renew the certificate, with jitter.

    The jitter comes from the certificate's own random serial number. So clusters that were installed together do not
    renew together, but all processes of one cluster compute the same time.
    """
    serial = chain_of(certificate_pem)[0].serial_number
    return renew_at(certificate_pem, (serial % 2**_SERIAL_BITS) / 2**_SERIAL_BITS)


def check_pair(
    certificate_pem: bytes, key_pem: bytes, ca_bundle: bytes | None, names: Sequence[str], now: datetime
) -> None:
    """Return if the pair can be served at ``now``. Raises CertificateInvalid with the first problem.

    ``ca_bundle`` is the bundle that the client trusts, or None if it is unknown; ``names`` are the names that the
    client may use.
    """
    chain = chain_of(certificate_pem)
    leaf = chain[0]
    check_key(leaf, key_pem)
    check_time(leaf, now)
    check_purpose(leaf)
    missing = [name for name in names if not covers(leaf, name)]
    if missing:
        raise CertificateInvalid(f"the certificate is not valid for {', '.join(missing)}")
    if ca_bundle is not None and not is_trusted(chain, certificates_in(ca_bundle)[0], now):
        raise CertificateInvalid("the certificate is not signed by an authority in the CA bundle")


def check_authority(certificate_pem: bytes, key_pem: bytes, now: datetime) -> None:
    """Return if the pair is an authority of ours that can sign at ``now``.

    Raises CertificateInvalid with the problem otherwise.
    """
    certificate = chain_of(certificate_pem)[0]
    check_key(certificate, key_pem)
    check_time(certificate, now)
    if not is_our_authority(certificate):
        raise CertificateInvalid("the certificate is not an authority that pull-secret-webhook issued")


def is_our_authority(certificate: x509.Certificate) -> bool:
    """Return whether ``certificate`` looks like an authority we issued: CA, EC key, and our name in its subject."""
    organizations = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return (
        [attribute.value for attribute in organizations] == [OWNER]
        and isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
        and any(
            isinstance(extension.value, x509.BasicConstraints) and extension.value.ca
            for extension in certificate.extensions
        )
    )


def check_time(certificate: x509.Certificate, now: datetime) -> None:
    """Raise CertificateInvalid if ``certificate`` is not valid yet, or not any more, at ``now``."""
    # Both limits are part of the period (RFC 5280, 4.1.2.5).
    if now < certificate.not_valid_before_utc:
        raise CertificateInvalid(f"the certificate is not valid before {certificate.not_valid_before_utc.isoformat()}")
    if now > certificate.not_valid_after_utc:
        raise CertificateInvalid(f"the certificate expired at {certificate.not_valid_after_utc.isoformat()}")


def check_purpose(leaf: x509.Certificate) -> None:
    """Return if clients accept the certificate from a server. Raises CertificateInvalid if it is for other purposes."""
    if not is_for_servers(leaf):
        raise CertificateInvalid("the certificate is not for servers: its extended key usage lacks serverAuth")


def check_key(leaf: x509.Certificate, key_pem: bytes) -> None:
    """Return if the key belongs to the certificate. Raises CertificateInvalid otherwise."""
    # Public keys are compared, because PEM and PKCS forms of one private key differ.
    if _public_bytes_of_key(key_pem) != leaf.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    ):
        raise CertificateInvalid("the private key is not the key of the certificate")


def _public_bytes_of_key(key_pem: bytes) -> bytes:
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    # cryptography raises TypeError if a key is encrypted and no password is given.
    except TypeError:
        reason = "the private key is encrypted: store it without a passphrase"
    except (ValueError, UnsupportedAlgorithm):
        reason = "the private key is not readable PEM"
    else:
        return key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    raise CertificateInvalid(reason)


def covers(leaf: x509.Certificate, name: str) -> bool:
    """Return whether a client that connects to ``name``, a DNS name or an IP address, accepts the certificate."""
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        # Since 1.15, Go does not accept the common name in place of this extension.
        return False
    try:
        return ip_address(name) in extension.get_values_for_type(x509.IPAddress)
    except ValueError:
        # As Go: a wildcard stands for exactly one label, the first one.
        covered = {covered.lower() for covered in extension.get_values_for_type(x509.DNSName)}
        return name.lower() in covered or f"*.{name.lower().partition('.')[2]}" in covered


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Return whether ``issuer`` signed ``certificate``."""
    # It compares names and the signature, and not the right to sign: is_trusted does that.
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
