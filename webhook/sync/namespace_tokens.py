"""Complete the content of a copy with tokens of the ServiceAccounts of its own namespace.

The worker that writes the copy requests the tokens just before. So the order of namespaces, the backoff after a
failure, and the check for leadership are those of every write. Only the API server and the copy ever hold such a token.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from webhook.errors import ApiError, CredentialsNotIssued, Invalid, SourceInvalid
from webhook.kube.service_account_token import request_token
from webhook.rules.dockerconfig import content_hash, merge, read_payload, render
from webhook.rules.expiry import EXPIRES_ANNOTATION, ISSUED_ANNOTATION
from webhook.rules.namespace_tokens import seal
from webhook.rules.provider_protocol import issue
from webhook.rules.renewing import ISSUED_FOR, IssueReason, format_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.kube.client import Client
    from webhook.kube.service_account_token import ServiceAccountJwt
    from webhook.rules.renewing import IssuedCredential, NamespaceToken
    from webhook.sync.source import Content


def _now() -> datetime:
    return datetime.now(UTC)


class NamespaceTokens:
    """Issues the tokens of copies. ``counted(source, result)`` is called for each."""

    def __init__(
        self,
        client: Client,
        counted: Callable[[str, str], None],
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._client = client
        self._counted = counted
        self._clock = clock

    def complete(self, namespace: str, content: Content) -> Content:
        """Return the content of the copy in a namespace, with new tokens. Raises ApiError if one was not issued."""
        if not content.tokens:
            return content
        now = self._clock().replace(microsecond=0)
        tokens = [(token, self._issue(namespace, token)) for token in content.tokens]
        try:
            issued = [_credential(token, jwt, now) for token, jwt in tokens]
            own = [(token.name, read_payload(each.payload)) for (token, _), each in zip(tokens, issued, strict=True)]
            payload = render(merge([*own, ("the other sources", read_payload(content.payload))]).credentials)
        except (CredentialsNotIssued, SourceInvalid) as error:
            raise Invalid(str(error), status=HTTPStatus.UNPROCESSABLE_ENTITY) from None
        # Annotations have whole seconds, and the seal covers what they say.
        expires = min(each.expires_at for each in issued).replace(microsecond=0)
        found = content_hash(payload)
        sealed = seal(content.hash, [jwt.account_uid for _, jwt in tokens], found, now, expires)
        annotations = {
            ISSUED_ANNOTATION: format_time(now),
            EXPIRES_ANNOTATION: format_time(expires),
            ISSUED_FOR: sealed,
        }
        return replace(content, payload=payload, hash=found, annotations=annotations)

    def _issue(self, namespace: str, token: NamespaceToken) -> ServiceAccountJwt:
        try:
            jwt = request_token(self._client, namespace, token.service_account, token.audience, token.lifetime)
        except CredentialsNotIssued as error:
            self._counted(token.name, error.reason)
            # The worker of the namespace handles it like any other refusal: the copy is not written.
            raise Invalid(str(error), status=HTTPStatus.UNPROCESSABLE_ENTITY) from None
        except ApiError as error:
            self._counted(token.name, IssueReason.TOKEN_REFUSED)
            error.add_context(
                f"the API server issues no token of ServiceAccount {namespace}/{token.service_account} for the "
                f'audience "{token.audience}"'
            )
            raise
        self._counted(token.name, "renewed")
        return jwt


def _credential(token: NamespaceToken, jwt: ServiceAccountJwt, now: datetime) -> IssuedCredential:
    auths = {token.registry: {"username": token.username, "password": jwt.token}}
    return issue(auths, now, (jwt.expires_at - now).total_seconds())
