"""Define the sources that renew themselves: a credential provider, or a token of a ServiceAccount.

The controller keeps what it issues in an ordinary Secret of the release namespace, with the name of the source. So all
other parts treat a renewing source like any other: watches, versions, the last good content, plan, explain and check.
Annotations of that Secret carry the times, which therefore survive a restart and a change of leader.

The names of the label and the annotations are part of the chart's ValidatingAdmissionPolicies. Change them together.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from webhook.rules.expiry import EXPIRES_ANNOTATION, ISSUED_ANNOTATION, WrongTime, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping

ISSUED_BY_LABEL = "pullsecrets.webhook/issued-by"
"""On an issued Secret: the release that issued it."""

ISSUED_FOR = "pullsecrets.webhook/issued-for"
"""On an issued Secret: the digest of the settings that it was issued with."""

RENEW = "pullsecrets.webhook/renew"
"""On an issued Secret, set by a person: renew the credential now. Any new value is a new request."""

RENEWED = "pullsecrets.webhook/renewed"
"""On an issued Secret: the last request that has been fulfilled."""

SHORTEST_TOKEN = 600.0
"""Seconds. The API server issues no shorter token.
Source: k8s.io/kubernetes, pkg/apis/authentication/validation/validation.go."""

LONGEST_LIFETIME = 30 * 86400.0
"""Seconds. A longer lifetime counts as this one, so that a mistaken answer cannot end the renewals."""

SHORTEST_LIFETIME = 10.0
"""Seconds of the shortest lifetime that the configuration accepts."""

API_SERVER_AUDIENCES = frozenset(
    {
        "https://kubernetes.default.svc",
        "https://kubernetes.default.svc.cluster.local",
        "kubernetes.default.svc",
        "https://kubernetes.default",
        "kubernetes",
        "api",
    }
)
"""Usual audiences of API servers. A token for one of them is a credential for the cluster itself."""


class IssueReason(StrEnum):
    """The stable ids for a credential that was not issued; logs, Events, metrics and ``/status`` use them."""

    PROVIDER_ABSENT = "provider-absent"
    PROVIDER_TIMEOUT = "provider-timeout"
    PROVIDER_FAILED = "provider-failed"
    PROVIDER_OUTPUT_TOO_LARGE = "provider-output-too-large"
    PROVIDER_ANSWER_INVALID = "provider-answer-invalid"
    PROVIDER_ANSWER_UNUSABLE = "provider-answer-unusable"
    TOKEN_REFUSED = "token-refused"  # noqa: S105 - a reason id
    TOKEN_AUDIENCE = "token-audience"  # noqa: S105 - a reason id
    SECRET_FOREIGN = "secret-foreign"  # noqa: S105 - a reason id
    SECRET_NOT_WRITTEN = "secret-not-written"  # noqa: S105 - a reason id


class TokenForProvider(msgspec.Struct, frozen=True):
    """A ServiceAccount token for a provider, with the annotations that the provider gets beside it."""

    audience: str
    service_account: str
    annotations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CredentialProvider:
    """A plugin in the kubelet's protocol: ``command`` is the name of a file in the plugin folder."""

    name: str
    secret: str
    command: str
    images: tuple[str, ...]
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    inherit_env: tuple[str, ...] = ()
    """Variables of the controller's own environment that the plugin gets, such as those of a cloud identity."""
    default_lifetime: float = 3600.0
    """Seconds, for answers without a usable duration."""
    token: TokenForProvider | None = None


@dataclass(frozen=True, slots=True)
class ServiceAccountToken:
    """A token of a ServiceAccount in the release namespace, which is the password itself."""

    name: str
    secret: str
    registry: str
    username: str
    audience: str
    service_account: str
    lifetime: float = 3600.0
    """Seconds that are requested. The API server may shorten it."""


class NamespaceToken(msgspec.Struct, frozen=True):
    """A token of the ServiceAccount with this name in each namespace, as the password in the copy of that namespace."""

    name: str
    registry: str
    username: str
    audience: str
    service_account: str
    lifetime: float = 3600.0
    """Seconds that are requested. The API server may shorten it."""


RenewingSource: TypeAlias = CredentialProvider | ServiceAccountToken


def token_account(source: RenewingSource) -> str | None:
    """Return the ServiceAccount whose token a source needs; None if it needs none."""
    if isinstance(source, ServiceAccountToken):
        return source.service_account
    return None if source.token is None else source.token.service_account


@dataclass(frozen=True, slots=True)
class IssuedCredential:
    """The content of an issued Secret and its times; the payload is never shown."""

    payload: bytes = field(repr=False)
    issued_at: datetime
    expires_at: datetime
    ignored: tuple[str, ...] = ()
    """Sentences about parts of the answer that are not used."""


class IssuedState(msgspec.Struct, frozen=True):
    """The annotations and the label of a Secret that has the name of a renewing source."""

    issued_by: str = ""
    """The release; empty if the controller did not issue it."""
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    issued_for: str = ""
    renew: str = ""
    renewed: str = ""

    @property
    def is_requested(self) -> bool:
        """True if a person has requested a renewal that is not done."""
        return bool(self.renew) and self.renew != self.renewed


NOT_ISSUED = IssuedState()
"""The state of a Secret that a person keeps."""


def issued_state(labels: Mapping[str, str], annotations: Mapping[str, str]) -> IssuedState:
    """Return the state that a Secret carries; a time that cannot be read counts as absent."""
    return IssuedState(
        issued_by=labels.get(ISSUED_BY_LABEL, ""),
        issued_at=_time(annotations.get(ISSUED_ANNOTATION, "")),
        expires_at=_time(annotations.get(EXPIRES_ANNOTATION, "")),
        issued_for=annotations.get(ISSUED_FOR, ""),
        renew=annotations.get(RENEW, ""),
        renewed=annotations.get(RENEWED, ""),
    )


def settings_digest(source: RenewingSource) -> str:
    """Return a digest of all settings of a source: another digest means that its credential must be reissued."""
    settings = {name: getattr(source, name) for name in source.__slots__ if name != "token"}
    token = getattr(source, "token", None)
    settings["token"] = [token.audience, token.service_account, token.annotations] if token else []
    encoded = json.dumps([type(source).__name__, settings], sort_keys=True).encode()
    return hashlib.sha256(encoded).hexdigest()[:32]


def _time(text: str) -> datetime | None:
    try:
        return parse_time(text)
    except WrongTime:
        return None


def format_time(time: datetime) -> str:
    """Return a time as an annotation has it: UTC, in whole seconds."""
    return time.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


def describe_previous(expires_at: datetime | None, now: datetime) -> str:
    """Return the part of a sentence about the credential that stays when a renewal fails."""
    if expires_at is None:  # somebody has removed the annotation
        return "it is not known when the one in its Secret expires"
    return f"the previous one {'expires' if expires_at > now else 'expired'} at {format_time(expires_at)}"
