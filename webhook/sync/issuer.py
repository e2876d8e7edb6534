"""Issue the credential of one renewing source: run its provider, or request a token of its ServiceAccount.

Nothing here writes to the cluster, except that the API server issues tokens. Everything that fails raises
CredentialsNotIssued, with a stable reason and a sentence without content of a credential.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from webhook.errors import ApiError, Conflict, CredentialsNotIssued, Interrupted
from webhook.kube.service_account_token import request_token
from webhook.rules.provider_protocol import Collected, decode_answer, encode_request, issue, issued
from webhook.rules.renewal_schedule import attempt_seconds
from webhook.rules.renewing import SHORTEST_TOKEN, CredentialProvider, IssueReason
from webhook.sync.provider_process import Limits, Run, environment, run

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from webhook.kube.client import Client
    from webhook.kube.service_account_token import ServiceAccountJwt
    from webhook.rules.renewing import IssuedCredential, RenewingSource, ServiceAccountToken


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Issuer:
    """Issues credentials in the release ``namespace``; ``folder`` has the providers, or is None if there is none."""

    client: Client
    namespace: str
    folder: Path | None
    stopping: threading.Event
    limits: Limits = field(default_factory=Limits)
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
        auths = {source.registry: {"username": source.username, "password": jwt.token}}
        return issue(auths, now, (jwt.expires_at - now).total_seconds())

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
                seconds = attempt_seconds(expires_at, self.clock(), self.limits.seconds)
                output = self._run(self.folder, source, image, replace(self.limits, seconds=seconds))
                collected.add(image, decode_answer(output), source.images)
        return issued(collected, now)

    def _run(self, folder: Path, source: CredentialProvider, image: str, limits: Limits) -> bytes:
        token = ""
        annotations: tuple[tuple[str, str], ...] = ()
        if source.token is not None:
            # A token of its own for each run, as short as possible: a provider uses it once.
            token = self._request(source.token.service_account, source.token.audience, SHORTEST_TOKEN).token
            annotations = source.token.annotations
        env = environment(source.env, source.inherit_env, os.environ)
        request = encode_request(image, token, annotations)
        return run(Run(folder / source.command, source.args, env, request, (token,)), limits, self.stopping)

    def _request(self, service_account: str, audience: str, seconds: float) -> ServiceAccountJwt:
        try:
            return request_token(self.client, self.namespace, service_account, audience, seconds)
        except Interrupted as error:
            raise Conflict(str(error)) from None  # this process does not lead any more
        except ApiError as error:
            message = (
                f"the API server issues no token of ServiceAccount {self.namespace}/{service_account} for the audience "
                f'"{audience}": {error}'
            )
            raise CredentialsNotIssued(IssueReason.TOKEN_REFUSED, message) from None
