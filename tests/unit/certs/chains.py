"""Chains of certificates, right and wrong in one place or in several."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
NAME = "psw-webhook.pull-secrets.svc"
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
UNKNOWN = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")
KEYS = ("P-256", "P-384", "P-521", "RSA-2048", "Ed25519", "RSA-1024")
JUDGED = frozenset(KEYS[:4])


@dataclass(frozen=True, slots=True)
class Made:
    """How one certificate is made; by default as most authorities make it."""

    ca: bool | None = True
    """``basicConstraints``; None without."""
    path_length: int | None = None
    signs: bool | None = None
    """``keyCertSign`` in a key usage; None without a key usage."""
    purposes: tuple[x509.ObjectIdentifier, ...] = ()
    """The extended key usage, if any."""
    starts: int = -10
    ends: int = 10
    """In days from now."""
    odd: bool | None = None
    """A critical extension that nobody knows, or with False one that is not critical."""
    permitted: str = ""
    """A name constraint."""
    key: str = "P-256"
    signer: int | None = None
    """The key that signs instead of the issuer's."""


AUTHORITY = Made()
LEAF = Made(ca=None)


@dataclass(frozen=True, slots=True)
class Case:
    """A chain from the leaf to the root, of which the last is what the client trusts."""

    certificates: tuple[Made, ...]
    sent: tuple[int, ...] | None = None
    """Positions of the certificates that the server sends; all but the root by default."""
    trusted: tuple[int, ...] | None = None
    """Positions of those in the bundle; the root by default."""

    def changed(self, position: int, **changes: Any) -> Case:  # noqa: ANN401 - as replace() takes them
        """Return the case with one certificate made otherwise."""
        made = list(self.certificates)
        made[position] = dataclasses.replace(made[position], **changes)
        return dataclasses.replace(self, certificates=tuple(made))


@lru_cache
def _key(kind: str, number: int) -> Key:  # noqa: ARG001 - another number is another key
    match kind:
        case "P-384":
            return ec.generate_private_key(ec.SECP384R1())
        case "P-521":
            return ec.generate_private_key(ec.SECP521R1())
        case "RSA-2048":
            return rsa.generate_private_key(65537, 2048)
        case "RSA-1024":
            return rsa.generate_private_key(65537, 1024)  # noqa: S505 - Go accepts it
        case "Ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            return ec.generate_private_key(ec.SECP256R1())


def built(case: Case) -> tuple[list[x509.Certificate], list[x509.Certificate]]:
    """Return the certificates that the server sends, and those that the client trusts."""
    count = len(case.certificates)
    made = [_certificate(case.certificates, position) for position in range(count)]
    sent = case.sent if case.sent is not None else tuple(range(max(1, count - 1)))
    trusted = case.trusted if case.trusted is not None else (count - 1,)
    return [made[position] for position in sent], [made[position] for position in trusted]


def leaf_key(case: Case) -> bytes:
    """Return the private key of the leaf, in PEM."""
    return _key(case.certificates[0].key, 0).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def pem(certificates: Sequence[x509.Certificate]) -> bytes:
    """Return certificates in PEM, one after the other."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def _name(position: int) -> x509.Name:
    return x509.Name.from_rfc4514_string(f"CN=number {position}")


def _certificate(chain: Sequence[Made], position: int) -> x509.Certificate:
    made, issuer = chain[position], min(position + 1, len(chain) - 1)
    key, signer = _key(made.key, position), _key(chain[issuer].key, issuer if made.signer is None else made.signer)
    builder = x509.CertificateBuilder(
        _name(issuer),
        _name(position),
        key.public_key(),
        1000 + position,
        NOW + made.starts * DAY,
        NOW + made.ends * DAY,
    )
    for extension, critical in _extensions(made, position):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def _extensions(made: Made, position: int) -> list[tuple[x509.ExtensionType, bool]]:
    found: list[tuple[x509.ExtensionType, bool]] = []
    if made.ca is not None:
        found.append((x509.BasicConstraints(made.ca, made.path_length if made.ca else None), True))
    if made.signs is not None:
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=made.signs,
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        )
        found.append((usage, True))
    if made.purposes:
        found.append((x509.ExtendedKeyUsage(made.purposes), False))
    if made.odd is not None:
        found.append((x509.UnrecognizedExtension(UNKNOWN, b"\x05\x00"), made.odd))
    if made.permitted:
        found.append((x509.NameConstraints([x509.DNSName(made.permitted)], None), True))
    if position == 0:
        found.append((x509.SubjectAlternativeName([x509.DNSName(NAME)]), False))
    return found
