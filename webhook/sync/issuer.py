"""Issue credentials: those of renewing sources, and the tokens in the copies of single namespaces.

A source runs its provider, or requests a token of its ServiceAccount. The copy of a namespace holds a token of that
namespace's own ServiceAccount, which only the API server and the copy ever hold.

Nothing here writes to the cluster, except that the API server issues tokens. Failures have a stable reason and a
sentence without content of a credential.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from webhook.errors import ApiError, Conflict, CredentialsNotIssued, Fenced, Invalid, SourceInvalid
from webhook.rules.dockerconfig import content_hash, merge, read_payload, render
from webhook.rules.expiry import EXPIRES_ANNOTATION, ISSUED_ANNOTATION
from webhook.rules.namespace_tokens import seal
from webhook.rules.provider_protocol import Collected, issue, issued
from webhook.rules.renewal_schedule import attempt_seconds
from webhook.rules.renewing import ISSUED_FOR, SHORTEST_TOKEN, CredentialProvider, IssueReason, format_time
from webhook.sync.provider_process import RunLimits, call_provider

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from webhook.kube.client import Client
    from webhook.kube.service_account_token import ServiceAccountJwt
    from webhook.rules.renewing import IssuedCredential, NamespaceToken, RenewingSource, ServiceAccountToken
    from webhook.sync.source import Content


def _now() -> datetime:
    return datetime.now(UTC)


class Issuer(msgspec.Struct, frozen=True):
    """Issues credentials in the release ``namespace``; ``folder`` has the providers, or is None if there is none."""

    client: Client
    namespace: str
    folder: Path | None
    stopping: threading.Event
    limits: RunLimits = msgspec.field(default_factory=RunLimits)
    clock: Callable[[], datetime] = _now

    def issue(self, source: RenewingSource, expires_at: datetime | None = None) -> IssuedCredential:
        """Return a new credential; the previous one ``expires_at`` this time.

        Raises CredentialsNotIssued, or Conflict if this process does not lead any more.
        """
        if isinstance(source, CredentialProvider):
            return self._provider(source, expires_at)
        return self._token(source)

    def _token(self, source: ServiceAccountToken) -> IssuedCredential:
        now = self.clock()
        jwt = self._request(source.service_account, source.audience, source.lifetime)
        _check_current(jwt, now)
        return _token_credential(source, jwt, now)

    def _provider(self, source: CredentialProvider, expires_at: datetime | None) -> IssuedCredential:
        if self.folder is None:
            message = (
                "sync has no folder with credential providers: set --providers, or providers in the chart's values"
            )
            raise CredentialsNotIssued(IssueReason.PROVIDER_ABSENT, message)
        # The time before the first answer: what a slow provider names counts from its answer, which is later.
        now, collected = self.clock(), Collected(source.default_lifetime)
        for image in source.images:
            if not collected.covers(image):
                # For each image again, because the calls before have used a part of the time that is left.
                seconds = attempt_seconds(expires_at, self.clock(), self.limits.seconds)
                limits, token = msgspec.structs.replace(self.limits, seconds=seconds), self._provider_token(source)
                answer = call_provider(self.folder, source, image, token, limits, self.stopping)
                collected.add(image, answer, source.images)
        return issued(collected, now)

    def _provider_token(self, source: CredentialProvider) -> str:
        """Return a token for one run, as short as possible, because a provider uses it once; empty if it needs none."""
        if source.token is None:
            return ""
        return self._request(source.token.service_account, source.token.audience, SHORTEST_TOKEN).token

    def _request(self, service_account: str, audience: str, seconds: float) -> ServiceAccountJwt:
        try:
            return self.client.request_token(self.namespace, service_account, audience, seconds)
        except Fenced as error:
            raise Conflict(str(error)) from None
        except ApiError as error:
            message = f"{_not_issued(self.namespace, service_account, audience)}: {error}"
            raise CredentialsNotIssued(IssueReason.TOKEN_REFUSED, message) from None


class NamespaceTokens:
    """Issues the tokens of copies. ``counted(source, result)`` is called for each.

    The worker that writes a copy requests its tokens just before. So the order of namespaces, the backoff after a
    failure, and the check for leadership are those of every write.
    """

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
        tokens = [(token, self._issue(namespace, token, now)) for token in content.tokens]
        try:
            credentials = [_token_credential(token, jwt, now) for token, jwt in tokens]
            own = [
                (token.name, read_payload(credential.payload))
                for (token, _), credential in zip(tokens, credentials, strict=True)
            ]
            # The tokens come first, because the first source that names a registry wins.
            payload = render(merge([*own, ("the other sources", read_payload(content.payload))]).credentials)
        except (CredentialsNotIssued, SourceInvalid) as error:
            # With 422 it is a failure of this namespace alone, so the writes in others continue.
            raise Invalid(str(error), status=HTTPStatus.UNPROCESSABLE_ENTITY) from None
        # Annotations have whole seconds, and the seal covers what they say.
        # The copy is made as a whole, so the first of its tokens that expires decides.
        expires = min(credential.expires_at for credential in credentials).replace(microsecond=0)
        payload_hash = content_hash(payload)
        sealed = seal(content.hash, [jwt.account_uid for _, jwt in tokens], payload_hash, now, expires)
        annotations = {
            ISSUED_ANNOTATION: format_time(now),
            EXPIRES_ANNOTATION: format_time(expires),
            ISSUED_FOR: sealed,
        }
        return replace(content, payload=payload, hash=payload_hash, annotations=annotations)

    def _issue(self, namespace: str, token: NamespaceToken, now: datetime) -> ServiceAccountJwt:
        try:
            jwt = self._client.request_token(namespace, token.service_account, token.audience, token.lifetime)
            _check_current(jwt, now)
        except CredentialsNotIssued as error:
            self._counted(token.name, error.reason)
            # The worker of the namespace handles it like any other refusal: the copy is not written.
            raise Invalid(str(error), status=HTTPStatus.UNPROCESSABLE_ENTITY) from None
        except Fenced:
            raise  # it was not requested, so it has no result
        except ApiError as error:
            self._counted(token.name, IssueReason.TOKEN_REFUSED)
            # The class of the error stays: by it the worker distinguishes a refusal from an outage.
            error.add_context(_not_issued(namespace, token.service_account, token.audience))
            raise
        self._counted(token.name, "renewed")
        return jwt


def _check_current(jwt: ServiceAccountJwt, now: datetime) -> None:
    # A new token has expired only if the clocks of the API server and of this process differ.
    if jwt.expires_at <= now:
        message = (
            f"the new token of the API server expires at {format_time(jwt.expires_at)}, but the clock of sync shows "
            f"{format_time(now)} already: set the wrong clock"
        )
        raise CredentialsNotIssued(IssueReason.TOKEN_REFUSED, message)


def _token_credential(
    token: ServiceAccountToken | NamespaceToken, jwt: ServiceAccountJwt, now: datetime
) -> IssuedCredential:
    """Return the credential that has a token as its password."""
    # The lifetime below is the one that was granted, because the API server can shorten the requested one.
    auths = {token.registry: {"username": token.username, "password": jwt.token}}
    return issue(auths, now, (jwt.expires_at - now).total_seconds())


def _not_issued(namespace: str, service_account: str, audience: str) -> str:
    return (
        f'the API server issues no token of ServiceAccount {namespace}/{service_account} for the audience "{audience}"'
    )
