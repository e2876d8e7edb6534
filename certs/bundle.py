"""What the API server trusts: ``caBundle`` as an ordered set of certificates.

Foreign certificates are kept, expired or not: whoever added them decides, and is told of those that are of no use. Of
our own only those that have expired are pruned, because a replica may still serve a leaf that the authority before this
one signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from certs.validity import certificates_in, chain_of, is_our_authority

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from cryptography import x509


@dataclass(frozen=True, slots=True)
class Bundle:
    """Certificates in order, each once, and the number of blocks that could not be read and are left out."""

    certificates: tuple[x509.Certificate, ...]
    unparsable: int = 0

    def __contains__(self, certificate_pem: bytes) -> bool:
        return chain_of(certificate_pem)[0] in self.certificates

    @property
    def ours(self) -> tuple[x509.Certificate, ...]:
        """Our own authorities."""
        return tuple(certificate for certificate in self.certificates if is_our_authority(certificate))

    @property
    def foreign(self) -> tuple[x509.Certificate, ...]:
        """What somebody else has put there."""
        return tuple(certificate for certificate in self.certificates if not is_our_authority(certificate))

    def pem(self) -> bytes:
        """Return the bundle as it is written: canonical PEM, so that equal bundles are equal bytes."""
        return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in self.certificates)


def parse(text: bytes) -> Bundle:
    """Return the certificates in ``text``; whatever is between the PEM blocks is ignored."""
    certificates, unparsable = certificates_in(text)
    return Bundle(tuple(dict.fromkeys(certificates)), unparsable)


def updated(bundle: Bundle, ours: Sequence[bytes], now: datetime) -> Bundle:
    """Return ``bundle`` with ``ours`` (PEM) in it and without those of our authorities that have expired."""
    certificates = dict.fromkeys((*bundle.certificates, *(chain_of(pem)[0] for pem in ours)))
    return Bundle(tuple(certificate for certificate in certificates if not _is_spent(certificate, now)))


def described(certificate: x509.Certificate) -> str:
    """Return who a certificate is and how long, for people."""
    return f"{certificate.subject.rfc4514_string()} (until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC)"


def expired(certificates: Iterable[x509.Certificate], now: datetime) -> list[x509.Certificate]:
    """Return those of ``certificates`` that nobody can be verified by any longer."""
    return [certificate for certificate in certificates if certificate.not_valid_after_utc < now]


def _is_spent(certificate: x509.Certificate, now: datetime) -> bool:
    return is_our_authority(certificate) and certificate.not_valid_after_utc < now
