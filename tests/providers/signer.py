"""Signs the tokens of a registry's token service, as JWTs with the chain of their certificate (ES256, RFC 7515 x5c)."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

if TYPE_CHECKING:
    from tests.cluster.pki import Pair

_NUMBER_BYTES = 32


class Signer:
    """Signs with a key whose certificate the registry trusts by its authority."""

    def __init__(self, pair: Pair) -> None:
        key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
        chain = [base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()]
        self._header = _encoded({"typ": "JWT", "alg": "ES256", "x5c": chain})

    def sign(self, claims: dict[str, object]) -> str:
        """Return a JWT with these claims."""
        signed = f"{self._header}.{_encoded(claims)}"
        numbers = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_base64(b''.join(number.to_bytes(_NUMBER_BYTES) for number in numbers))}"


def _encoded(document: dict[str, object]) -> str:
    return _base64(json.dumps(document).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
