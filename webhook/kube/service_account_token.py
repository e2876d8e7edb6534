"""Request tokens of ServiceAccounts for other audiences than the API server.

A token for the audience of the API server would be a credential for the cluster. The API server also issues one if no
audience is named. So this module refuses each audience that its own token has, and each token that has one of them.
The chart's rights and its guard policy allow only the configured names and audiences.

Source: KEP-1205 (TokenRequest); RFC 7519, section 4.1.3 (aud).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from webhook.errors import ApiUnavailable, CredentialsNotIssued
from webhook.kube.access import claims_of
from webhook.kube.resources import SERVICE_ACCOUNTS
from webhook.kube.wire import decoder
from webhook.rules.renewing import IssueReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.kube.client import Client


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


def request_token(client: Client, namespace: str, name: str, audience: str, seconds: float) -> ServiceAccountJwt:
    """Return a token of a ServiceAccount for one audience, valid for about so many seconds.

    Raises:
        CredentialsNotIssued: the audience is one of the API server.
        ApiError: the API server did not issue it.
    """
    own = client.token_audiences
    if audience in own:
        _refuse(audience)
    path = f"{SERVICE_ACCOUNTS.path(namespace, name)}/token"
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [audience], "expirationSeconds": int(seconds)},
    }
    status = _decode_request(client.request("POST", path, body=body, content_type="application/json")).status
    claims = claims_of(status.token)
    if claims.audiences & own:
        _refuse(audience)
    if audience not in claims.audiences or not claims.account_uid or status.expiration_timestamp.tzinfo is None:
        raise ApiUnavailable(f"POST {path}: the answer is not a token for this audience", status=HTTPStatus.OK)
    return ServiceAccountJwt(status.token, status.expiration_timestamp.astimezone(UTC), claims.account_uid)


def _refuse(audience: str) -> None:
    message = f'"{audience}" is an audience of the API server, so a token for it is a credential for the cluster'
    raise CredentialsNotIssued(IssueReason.TOKEN_AUDIENCE, f"{message}: configure another audience")
