"""Whether a certificate and its key may be served, and when it is time for the next.

Every refusal is a :class:`~webhook.errors.CertificateInvalid` with one sentence; none quotes the key.
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

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

Certificate: TypeAlias = x509.Certificate
"""What this package hands out; nobody else imports cryptography."""

RENEWAL_SHARE = 2 / 3
"""Of the lifetime: a third is left to notice that renewal does not work."""

JITTER_SHARE = 1 / 40
"""Of the lifetime: how much earlier than that jitter may bring the renewal."""

_SERIAL_BITS = 32
"""Of a serial number, which is random: enough to draw a lot from."""

_BEGIN = b"-----BEGIN CERTIFICATE-----"
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----(?:(?!-----BEGIN ).)*?-----END CERTIFICATE-----", re.DOTALL)
"""A block that was cut off ends where the next one begins."""


def chain_of(certificate_pem: bytes) -> list[x509.Certificate]:
    """Return the certificates in ``certificate_pem``, the leaf first; CertificateInvalid when there is none to read."""
    try:
        chain = x509.load_pem_x509_certificates(certificate_pem)
        # Parsing is lazy: an extension that cannot be read would otherwise surface at the first look at it.
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
    """Return the certificates of a bundle and how many blocks cannot be read; a bad block spoils no other.

    A text without any block counts as one that cannot be read.
    """
    certificates: list[x509.Certificate] = []
    for block in _BLOCK.findall(text):
        try:
            certificates += chain_of(block)
        except CertificateInvalid:
            continue
    blocks = text.count(_BEGIN) or int(bool(text.strip()))
    return certificates, blocks - len(certificates)


def not_after(certificate_pem: bytes) -> datetime:
    """Return when the certificate expires."""
    return chain_of(certificate_pem)[0].not_valid_after_utc


def renew_at(certificate_pem: bytes, jitter: float = 0.0) -> datetime:
    """Return when to replace the certificate: at two thirds of its lifetime; ``jitter`` in [0, 1) is earlier."""
    certificate = chain_of(certificate_pem)[0]
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_before_utc + lifetime * (RENEWAL_SHARE - jitter * JITTER_SHARE)


def due_at(certificate_pem: bytes) -> datetime:
    """Return when the certificate is to be replaced, with jitter.

    The jitter is drawn from the certificate's own random serial number: clusters that were installed together do not
    renew together, and yet every process of one says the same moment.
    """
    serial = chain_of(certificate_pem)[0].serial_number
    return renew_at(certificate_pem, (serial % 2**_SERIAL_BITS) / 2**_SERIAL_BITS)


def check_pair(
    certificate_pem: bytes, key_pem: bytes, ca_bundle: bytes | None, names: Sequence[str], now: datetime
) -> None:
    """Return when the pair can be served at ``now``; CertificateInvalid with the first thing that is wrong.

    ``ca_bundle`` is what the client trusts, None when that is not known; ``names`` are those the client may ask for.
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
    """Return when the pair is an authority of ours that can sign at ``now``; CertificateInvalid with what is wrong."""
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
    """Return when ``certificate`` is valid at ``now``; CertificateInvalid when it is not yet, or no longer."""
    if now < certificate.not_valid_before_utc:
        raise CertificateInvalid(f"the certificate is not valid before {certificate.not_valid_before_utc.isoformat()}")
    if now > certificate.not_valid_after_utc:
        raise CertificateInvalid(f"the certificate expired at {certificate.not_valid_after_utc.isoformat()}")


def check_purpose(leaf: x509.Certificate) -> None:
    """Return when a client accepts the certificate from a server; CertificateInvalid when it is for other purposes."""
    if not is_for_servers(leaf):
        raise CertificateInvalid("the certificate is not for servers: its extended key usage lacks serverAuth")


def check_key(leaf: x509.Certificate, key_pem: bytes) -> None:
    """Return when the key is that of the certificate; CertificateInvalid otherwise."""
    if _public_bytes_of_key(key_pem) != leaf.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    ):
        raise CertificateInvalid("the private key is not the key of the certificate")


def _public_bytes_of_key(key_pem: bytes) -> bytes:
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
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
    """Return whether a client that asks for ``name``, a DNS name or an IP address, accepts the certificate."""
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        return ip_address(name) in extension.get_values_for_type(x509.IPAddress)
    except ValueError:
        covered = {covered.lower() for covered in extension.get_values_for_type(x509.DNSName)}
        return name.lower() in covered or f"*.{name.lower().partition('.')[2]}" in covered


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Return whether ``issuer`` signed ``certificate``."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
