"""Verify a certificate chain the way the API server does.

The API server verifies the webhook's certificate with Go's crypto/x509. This module builds and checks the path with
``cryptography.x509.verification``, but with the extension rules of Go instead of those of the public web. Private
authorities often have no key usage, and self-signed serving certificates are often marked as an authority. The results
are compared with Go's own verifier in tests/unit/certs/test_verify.py.

Source: https://github.com/golang/go/blob/master/src/crypto/x509/verify.go
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_UNDERSTOOD = (
    x509.AuthorityInformationAccess,
    x509.AuthorityKeyIdentifier,
    x509.BasicConstraints,
    x509.CertificatePolicies,
    x509.CRLDistributionPoints,
    x509.ExtendedKeyUsage,
    x509.InhibitAnyPolicy,
    x509.KeyUsage,
    x509.NameConstraints,
    x509.PolicyConstraints,
    x509.SubjectAlternativeName,
    x509.SubjectKeyIdentifier,
)
"""Extensions that Go handles. A certificate with any other critical extension is rejected."""

_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_SMALLEST_RSA_KEY = 2048


def is_trusted(chain: Sequence[x509.Certificate], trusted: Sequence[x509.Certificate], now: datetime) -> bool | None:
    """Return whether a chain, the leaf first, leads to one of the ``trusted`` certificates at ``now``.

    The result is None when this module cannot decide. One case is a kind of key that Go accepts and ``cryptography``
    does not (Ed25519, RSA below 2048 bits). The other is a certificate older than X.509 version 3.
    """
    leaf, *intermediates = chain
    anchors = [certificate for certificate in trusted if _is_understood(certificate)]
    if not (anchors and _is_understood(leaf)):
        return False
    verifier = (
        PolicyBuilder()
        .store(Store(anchors))
        .time(now)
        .extension_policies(ca_policy=_AUTHORITIES, ee_policy=_LEAVES)
        # Of the two verifiers, only this one leaves names and purposes to the policies above.
        .build_client_verifier()
    )
    try:
        verifier.verify(leaf, [certificate for certificate in intermediates if _is_understood(certificate)])
    except VerificationError:
        # With keys that cryptography supports, Go refuses the chain as well. With others, Go may accept it.
        issuers = {certificate.issuer for certificate in chain}
        certificates = (*chain, *(anchor for anchor in anchors if anchor.subject in issuers))
        return False if all(map(_can_be_judged, certificates)) else None
    return True


def is_for_servers(certificate: x509.Certificate) -> bool:
    """Return whether the extended key usage allows a client to accept the certificate from a server."""
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.SERVER_AUTH in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages


def _is_understood(certificate: x509.Certificate) -> bool:
    return all(isinstance(extension.value, _UNDERSTOOD) for extension in certificate.extensions if extension.critical)


def _can_be_judged(certificate: x509.Certificate) -> bool:
    key = certificate.public_key()
    is_supported = (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES)) or (
        isinstance(key, rsa.RSAPublicKey) and key.key_size >= _SMALLEST_RSA_KEY
    )
    return is_supported and certificate.version is x509.Version.v3


def _serves(_policy: Policy, certificate: x509.Certificate, _usage: x509.ExtendedKeyUsage | None) -> None:
    if not is_for_servers(certificate):
        raise ValueError("the extended key usage is not for servers")


def _is_authority(_policy: Policy, _certificate: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("the certificate is not an authority")


def _signs(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    # As Go (CheckSignatureFrom): without a key usage, an authority may sign.
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("the key must not sign certificates")


_LEAVES = ExtensionPolicy.permit_all().may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _serves)
_AUTHORITIES = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _is_authority)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _signs)
    # Go requires the purpose along the whole chain, and not only in the leaf.
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _serves)
)
