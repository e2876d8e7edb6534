"""Request and read tokens of ServiceAccounts for other audiences than the API server.

A token for the audience of the API server would be a credential for the cluster. The API server also issues one if no
audience is named. So this module refuses each audience that its own token has, and each token that has one of them.
The chart's rights and its guard policy allow only the configured names and audiences.

Source: KEP-1205 (TokenRequest); RFC 7519, section 4.1.3 (aud).
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from webhook.errors import CredentialsNotIssued
from webhook.kube.wire import decoder
from webhook.rules.renewing import IssueReason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


@dataclass(frozen=True, slots=True)
class ServiceAccountJwt:
    """A token, which is never shown, and the time until which it is valid."""

    token: str = field(repr=False)
    expires_at: datetime
    account_uid: str = ""
    """The UID of the ServiceAccount that it is of."""


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    token: str
    expiration_timestamp: datetime

    def __repr__(self) -> str:
        return "_Status(…)"


class _TokenRequest(msgspec.Struct, frozen=True):
    status: _Status


_decode_request: Callable[[bytes], _TokenRequest] = decoder(_TokenRequest)


def token_request(audience: str, seconds: float, own: frozenset[str]) -> dict[str, object]:
    """Return the body of a request; ``own`` are the audiences of the API server.

    Raises:
        CredentialsNotIssued: the audience is one of the API server.
    """
    # The API server also issues tokens for itself, so the refusal is here.
    _refuse({audience}, own)
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [audience], "expirationSeconds": int(seconds)},
    }


def decode_token(content: bytes, audience: str, own: frozenset[str]) -> ServiceAccountJwt | None:
    """Return the token in a response; None if it is not for this audience.

    Raises:
        CredentialsNotIssued: the token is for an audience of the API server.
        ApiUnavailable: the content is not a response to such a request.
    """
    status = _decode_request(content).status
    # The signature is not checked, because the API server that signed it has sent it over TLS.
    claims = claims_of(status.token)
    # The token itself shows the audiences for which it is accepted, whatever was requested.
    _refuse(claims.audiences, own)
    # A time without an offset cannot be compared with the present time: Python raises TypeError.
    if audience not in claims.audiences or not claims.account_uid or status.expiration_timestamp.tzinfo is None:
        return None
    return ServiceAccountJwt(status.token, status.expiration_timestamp.astimezone(UTC), claims.account_uid)


def _refuse(audiences: Collection[str], own: frozenset[str]) -> None:
    # Sorted, so that the same refusal has the same message each time: Events are counted by it.
    for audience in sorted(own.intersection(audiences)):
        message = f'"{audience}" is an audience of the API server, so a token for it is a credential for the cluster'
        raise CredentialsNotIssued(IssueReason.TOKEN_AUDIENCE, f"{message}: configure another audience")


class _Account(msgspec.Struct, frozen=True):
    uid: str = ""


class _Kubernetes(msgspec.Struct, frozen=True):
    serviceaccount: _Account = _Account()


class Claims(msgspec.Struct, frozen=True):
    """The claims of a ServiceAccount token that are read. Source: KEP-1205; RFC 7519, section 4.1.3 (aud)."""

    aud: str | list[str] = []
    kubernetes: _Kubernetes = msgspec.field(name="kubernetes.io", default=_Kubernetes())

    @property
    def audiences(self) -> frozenset[str]:
        """Return the audiences."""
        return frozenset([self.aud] if isinstance(self.aud, str) else self.aud)

    @property
    def account_uid(self) -> str:
        """Return the UID of the ServiceAccount; empty for another token."""
        return self.kubernetes.serviceaccount.uid


_claims_decoder = msgspec.json.Decoder(Claims)
_JWT_PARTS = 3


def claims_of(token: str) -> Claims:
    """Return the claims in a JWT, whose signature is not checked; none for other text."""
    parts = token.split(".")
    if len(parts) != _JWT_PARTS:
        return Claims()
    try:
        # RFC 7515, 2: a JWT has base64url without its padding, which Python requires.
        return _claims_decoder.decode(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return Claims()


def audiences_of(token: str) -> frozenset[str]:
    """Return the audiences in a JWT, whose signature is not checked; empty for other text."""
    return claims_of(token).audiences
