"""Read and update ``caBundle``, the ordered set of certificates that the API server trusts.

Foreign certificates are kept, even expired ones, because the people who added them decide; expired ones are reported.
Our own certificates are removed only after they expire, because a replica may still serve a leaf signed by the previous
authority.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from certs.validity import certificates_in, chain_of, is_our_authority

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from cryptography import x509


class Bundle(msgspec.Struct, frozen=True):
    """Unique certificates in order, and the number of unreadable blocks, which are left out."""

    certificates: tuple[x509.Certificate, ...]
    unparsable: int = 0

    def __contains__(self, certificate_pem: bytes) -> bool:
        return chain_of(certificate_pem)[0] in self.certificates

    @property
    def ours(self) -> tuple[x509.Certificate, ...]:
        """Return our own authorities."""
        return tuple(certificate for certificate in self.certificates if is_our_authority(certificate))

    @property
    def foreign(self) -> tuple[x509.Certificate, ...]:
        """Return the certificates that somebody else added."""
        return tuple(certificate for certificate in self.certificates if not is_our_authority(certificate))

    def pem(self) -> bytes:
        """Return the bundle as canonical PEM, so that equal bundles are equal bytes."""
        return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in self.certificates)


def parse(text: bytes) -> Bundle:
    """Return the certificates in ``text``; text between the PEM blocks is ignored."""
    certificates, unparsable = certificates_in(text)
    # A dictionary keeps the order, in which foreign certificates stay where they were put.
    return Bundle(tuple(dict.fromkeys(certificates)), unparsable)


def updated(bundle: Bundle, ours: Sequence[bytes], now: datetime) -> Bundle:
    """Return ``bundle`` with ``ours`` (PEM) added and our expired authorities removed."""
    # Ours come last, and a present one stays in its place, so that an update without a change causes no write.
    certificates = dict.fromkeys((*bundle.certificates, *(chain_of(pem)[0] for pem in ours)))
    return Bundle(tuple(certificate for certificate in certificates if not _is_ours_and_expired(certificate, now)))


def described(certificate: x509.Certificate) -> str:
    """Return the subject and the expiry time of a certificate, for people."""
    return f"{certificate.subject.rfc4514_string()} (until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC)"


def expired(certificates: Iterable[x509.Certificate], now: datetime) -> list[x509.Certificate]:
    """Return the expired certificates of ``certificates``."""
    return [certificate for certificate in certificates if certificate.not_valid_after_utc < now]


def _is_ours_and_expired(certificate: x509.Certificate, now: datetime) -> bool:
    # RFC 5280, 4.1.2.5: a certificate is still valid in its last second.
    return is_our_authority(certificate) and certificate.not_valid_after_utc < now
