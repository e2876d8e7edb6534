"""Represent a source Secret, and the content of the copies that is made of one or more sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from webhook.errors import SourceInvalid
from webhook.rules.credential import SourceReason
from webhook.rules.dockerconfig import Credentials, merge, parse_source, render
from webhook.rules.namespace_tokens import hash_for_copies
from webhook.rules.renewing import NOT_ISSUED, IssuedState, issued_state
from webhook.rules.rollout import REQUEST_ANNOTATION
from webhook.rules.versions import SourceVersion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook.kube.objects import SecretObject
    from webhook.rules.configuration import PullSecret
    from webhook.rules.dockerconfig import Clash
    from webhook.rules.renewing import NamespaceToken


class Source(msgspec.Struct, frozen=True):
    """The state of a source Secret: its credentials, or why it has none that may be copied."""

    name: str
    resource_version: str = ""
    uid: str = ""
    credentials: Credentials | None = None
    problem: SourceInvalid | None = None
    created: str = ""
    """Its time of creation, as the API server writes it."""
    issued: IssuedState = NOT_ISSUED
    """The annotations of an issued Secret; empty for a Secret that a person keeps."""
    request: str = ""
    """The request of a person about a rollout of this source."""
    immutable: bool = False

    @property
    def version(self) -> SourceVersion:
        """The version of the Secret; without UID and resourceVersion if it does not exist."""
        return SourceVersion(self.name, self.uid, self.resource_version)


@dataclass(frozen=True, slots=True)
class Content:
    """The content of every copy of one pull secret; the payload is never shown.

    With ``tokens`` it is incomplete, and its hash is that of :func:`hash_for_copies`: see
    :class:`webhook.sync.issuer.NamespaceTokens`.
    """

    payload: bytes = field(repr=False)
    hash: str
    clashes: tuple[Clash, ...] = ()
    versions: tuple[SourceVersion, ...] = ()
    """The versions of its sources."""
    tokens: tuple[NamespaceToken, ...] = ()
    """The tokens that each copy gets of its own namespace; the payload does not have them."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """The annotations of a copy with tokens."""


def read_source(secret: SecretObject) -> Source:
    """Return the state of a source Secret, valid or not."""
    metadata = secret.metadata
    credentials = problem = None
    try:
        if metadata.deletion_timestamp is not None:
            message = f'source Secret "{metadata.name}" is being deleted'
            raise SourceInvalid(SourceReason.TERMINATING, message)  # noqa: TRY301 (one place turns it into a problem)
        labels, annotations = metadata.labels or {}, metadata.annotations or {}
        credentials = parse_source(metadata.name, secret.type, secret.data or {}, labels, annotations)
    except SourceInvalid as error:
        # A problem is a state like any other: it is reported, and the copies stay.
        problem = error
    # Label and annotations are read in any case: a renewing source whose Secret cannot be used is renewed by them.
    return Source(
        metadata.name,
        metadata.resource_version,
        metadata.uid,
        credentials,
        problem,
        metadata.creation_timestamp,
        issued_state(metadata.labels or {}, metadata.annotations or {}),
        (metadata.annotations or {}).get(REQUEST_ANNOTATION, ""),
        secret.immutable is True,
    )


def absent_source(name: str, *, renews: bool = False) -> Source:
    """Return the state of a source Secret that does not exist; sync issues that of a source that renews itself."""
    reason = SourceReason.NOT_ISSUED if renews else SourceReason.ABSENT
    if renews:
        message = f'source Secret "{name}" does not exist: sync issues it, or reports why it cannot'
    else:
        message = f'source Secret "{name}" does not exist in the release namespace: create it'
    return Source(name, problem=SourceInvalid(reason, message))


def content_of(entry: PullSecret, sources: Sequence[Source]) -> Content:
    """Return the merged content of usable sources. Raises SourceInvalid when they make no copy together."""
    # In the order of the configuration: the first source that names a registry wins.
    merged = merge([(source.name, source.credentials) for source in sources if source.credentials is not None])
    # The form is canonical. So a source that only looks different causes no write of its copies.
    payload = render(merged.credentials)
    versions = tuple(source.version for source in sources)
    return Content(payload, hash_for_copies(entry, payload), merged.clashes, versions, entry.tokens)
