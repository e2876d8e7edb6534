"""Read sources and existing copies from the Secrets among some manifests."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import msgspec

from webhook.errors import SourceInvalid
from webhook.report.preview.row import Effect, PreviewReason
from webhook.rules.configuration import Reason
from webhook.rules.copy_metadata import NOTHING_STORED, stored_metadata
from webhook.rules.credential import SourceReason, decode_base64
from webhook.rules.dockerconfig import COPY_KEY, Credentials, content_hash, merge, parse_source, render
from webhook.rules.expiry import NO_EXPIRIES, Expiries, ExpiryReason
from webhook.rules.go_json import go_text
from webhook.rules.names import without_hash
from webhook.rules.namespace_tokens import hash_for_copies
from webhook.rules.objects import Copy
from webhook.rules.ownership import (
    NAMESPACE_UID_LABEL,
    RELEASE_NAMESPACE_LABEL,
    FieldManager,
    Mark,
    is_a_copy,
    is_written_by_us,
)
from webhook.rules.rollout import propose
from webhook.rules.text import listed, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from webhook.report.preview.manifest import Manifest
    from webhook.rules.configuration import PullSecret, RolloutSettings
    from webhook.rules.state_document import LastGood, StoredRollout

SHOWN = 3
"""Registries that one sentence names; the others are counted."""

_DEFAULT_TYPE = "Opaque"


class _Metadata(msgspec.Struct, rename="camel"):
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    deletion_timestamp: str | None = None
    managed_fields: tuple[FieldManager, ...] = ()


class _Secret(msgspec.Struct, rename="camel"):
    """A Secret as people write it: ``stringData`` overrides ``data``. The repr hides its content."""

    metadata: _Metadata
    type: str | None = None
    data: dict[str, str | None] | None = None
    string_data: dict[str, str | None] | None = None
    immutable: bool | None = None

    def __repr__(self) -> str:
        return "_Secret(…)"

    @property
    def labels(self) -> Mapping[str, str]:
        return self.metadata.labels or {}

    @property
    def annotations(self) -> Mapping[str, str]:
        return self.metadata.annotations or {}

    def content(self) -> dict[str, str]:
        """Return the ``data`` that the API server would store."""
        encoded = {
            key: b64encode(go_text(value or "").encode()).decode("ascii")
            for key, value in (self.string_data or {}).items()
        }
        return {key: value or "" for key, value in (self.data or {}).items()} | encoded


class Expected(msgspec.Struct, frozen=True):
    """The required content of a pull secret's copies, as far as the manifests define it.

    ``hash`` is None while a ``problem`` prevents copying, and also while the ``unseen`` sources are missing in the
    manifests. ``note`` is a remark about valid content.
    """

    hash: str | None = None
    problem: str = ""
    unseen: tuple[str, ...] = ()
    note: str = ""
    last_good: LastGood | None = None
    """The content of new copies while there is a ``problem``."""
    last_good_hash: str = ""
    """Its hash, as copies are compared with it."""
    expiries: Expiries = NO_EXPIRIES
    """When its credentials expire."""
    issuing: tuple[str, ...] = ()
    """The sources for which sync is going to issue a credential, so that the content is not known yet."""
    stages: RolloutSettings | None = None
    """The rollout of the pull secret; None if it has none."""
    stored: StoredRollout | None = None
    """The rollout that the controller has stored; None if there is none, or if it is unknown."""
    is_stage_unread: bool = False
    """True if it has a rollout that must not be read, so that a copy may rightly have another content."""

    def may_differ(self, copy: Copy | None) -> bool:
        """Return whether a copy has, or will have, another content than the sources, because its stage is unread."""
        return self.is_stage_unread and (copy is None or copy.content_hash != self.hash)

    def turn_in(self, namespace: str) -> int:
        """Return the copies a second that a rotation changes, if the one in a namespace waits for that; else 0."""
        if self.stored is None or self.stages is None or not self.stored.rollout.is_rationed:
            return 0
        return 0 if self.stages.is_canary(namespace) else self.stages.max_per_second

    def hash_in(self, namespace: str) -> str | None:
        """Return the hash of the content that the copy in a namespace must have now."""
        if self.hash is None or self.stored is None or self.stages is None:
            return self.hash
        rollout = self.stored.rollout
        # The controller may not have seen the content yet. It will propose it, and the base stays until then.
        rollout = propose(rollout, self.hash, rollout.id, rollout.since)
        return rollout.target(in_canary=self.stages.is_canary(namespace))


class Sources(msgspec.Struct, frozen=True):
    """The sources among the manifests by name: their credentials, or the reason why they cannot be copied."""

    read: Mapping[str, Credentials | SourceInvalid] = msgspec.field(default_factory=dict)
    last_good: Mapping[str, LastGood] = msgspec.field(default_factory=dict)
    """The last good contents that the controller has stored, by pull secret."""
    issuing: Mapping[str, str] = msgspec.field(default_factory=dict)
    """The sources for which sync is going to issue a credential now, each with the cause."""
    rollouts: Mapping[str, StoredRollout] = msgspec.field(default_factory=dict)
    """The rollouts that it has stored, by pull secret."""
    is_state_read: bool = True
    """False if what the controller has stored must not be read."""

    def credentials(self, name: str) -> Credentials | None:
        """Return the credentials of a source; None when it is missing or invalid."""
        source = self.read.get(name)
        return source if isinstance(source, Credentials) else None

    def expected(self, entry: PullSecret) -> Expected:
        """Return the required content of the copies of ``entry``."""
        sources = [(name, self.read[name]) for name in entry.sources if name in self.read]
        problems = [str(source) for _, source in sources if isinstance(source, SourceInvalid)]
        if problems:
            return self._refused(entry, "; ".join(problems))
        unseen = tuple(name for name in entry.sources if name not in self.read)
        if unseen:
            return Expected(unseen=unseen)
        merged = merge([(name, source) for name, source in sources if isinstance(source, Credentials)])
        notes = [f"{clash.registry} occurs more than once: {clash.winner} is used" for clash in merged.clashes]
        notes += [
            f"of {name}: {credentials.remark}"
            for name, credentials in sources
            if isinstance(credentials, Credentials) and credentials.remark
        ]
        note = "; ".join(notes)
        try:
            basis = hash_for_copies(entry, render(merged.credentials))
        except SourceInvalid as error:
            return self._refused(entry, str(error))
        return Expected(
            hash=basis,
            note=note,
            expiries=merged.credentials.expiries,
            stages=entry.rollout,
            stored=self.rollouts.get(entry.name),
            is_stage_unread=entry.rollout is not None and not self.is_state_read,
        )

    def _refused(self, entry: PullSecret, problem: str) -> Expected:
        last_good = self._last_good(entry)
        basis = "" if last_good is None else hash_for_copies(entry, last_good.payload)
        return Expected(problem=problem, last_good=last_good, last_good_hash=basis)

    def expected_soon(self, entry: PullSecret) -> Expected:
        """Return the required content after sync has issued the credentials that are due."""
        issuing = tuple(name for name in entry.sources if name in self.issuing)
        others = [self.read[name] for name in entry.sources if name in self.read and name not in self.issuing]
        if not issuing or any(isinstance(source, SourceInvalid) for source in others):
            return self.expected(entry)
        return Expected(issuing=issuing)

    def _last_good(self, entry: PullSecret) -> LastGood | None:
        stored = self.last_good.get(entry.name)
        return stored if stored is not None and stored.source_names == entry.sources else None


def source_outcome(name: str, source: Credentials | SourceInvalid, now: datetime) -> tuple[Effect, str, str]:
    """Return the effect, the reason and the sentence of the row for a source at this time."""
    if isinstance(source, SourceInvalid):
        return Effect.PROBLEM, source.reason, str(source)
    first, problem = source.expiries.earliest, source.expiries.remark
    reason = None if first is None else first.reason(now)
    if first is not None and reason is not None:
        registries = [
            key for key, expiry in source.expiries.by_registry.items() if expiry.expires_at == first.expires_at
        ]
        message = f'source Secret "{name}": the credential for {some(registries, SHOWN)} {first.describe(now)}'
        return Effect.PROBLEM if reason is ExpiryReason.EXPIRED else Effect.NONE, reason, message
    if problem:
        return Effect.NONE, ExpiryReason.UNREADABLE, f'source Secret "{name}": {problem}'
    message = f"it has credentials that can be copied, for {listed(sorted(source))}"
    if without_hash(name) is not None:
        message = f'source Secret "{name}": its name ends with a hash, and changes when its content does'
        return Effect.NONE, PreviewReason.SOURCE_NAME_HASHED, message
    return Effect.NONE, PreviewReason.SOURCE_VALID, message


def with_hash(name: str, secrets: Iterable[str]) -> str | None:
    """Return the one of the ``secrets`` whose name is that of a source with another hash of Kustomize, or with one."""
    stem = without_hash(name) or name
    return min((secret for secret in secrets if secret != name and without_hash(secret) == stem), default=None)


def read_source(manifest: Manifest) -> Credentials | SourceInvalid:
    """Return the credentials of a source, or the reason why it cannot be copied."""
    secret = _read(manifest)
    try:
        if secret is None:
            message = f'source Secret "{manifest.name}" is not a valid Secret'
            raise SourceInvalid(Reason.OBJECT_UNREADABLE, message)  # noqa: TRY301 - one place returns it
        if secret.metadata.deletion_timestamp is not None:
            message = f'source Secret "{manifest.name}" is being deleted'
            raise SourceInvalid(SourceReason.TERMINATING, message)  # noqa: TRY301 - as above
        return parse_source(
            manifest.name, secret.type or _DEFAULT_TYPE, secret.content(), secret.labels, secret.annotations
        )
    except SourceInvalid as error:
        return error


def read_copy(manifest: Manifest, release_namespace: str, namespace_uid: str) -> Copy:
    """Return a Secret that has a copy's name, with a hash instead of its content.

    The release's name is unknown here. A copy is ours if a release in ``release_namespace`` made it, or any release if
    that namespace is unknown. ``namespace_uid`` is empty if the manifests do not have it.
    """
    secret = _read(manifest)
    mark = None if secret is None else _mark(secret, release_namespace, namespace_uid)
    return Copy(
        namespace=manifest.namespace,
        name=manifest.name,
        uid="",
        resource_version="",
        mark=mark,
        content_hash=_hash(secret) if secret is not None and mark is not None else "",
        type=(secret.type if secret is not None else None) or _DEFAULT_TYPE,
        immutable=secret is not None and secret.immutable is True,
        terminating=secret is not None and secret.metadata.deletion_timestamp is not None,
        metadata=NOTHING_STORED if secret is None else stored_metadata(secret.labels, secret.annotations),
    )


def _mark(secret: _Secret, release_namespace: str, namespace_uid: str) -> Mark | None:
    labels, writers = secret.labels, secret.metadata.managed_fields
    if not is_a_copy(labels) or release_namespace not in ("", labels.get(RELEASE_NAMESPACE_LABEL)):
        return None
    if not namespace_uid:
        return Mark()  # the namespace cannot be identified, so the labels must suffice
    written_for = labels.get(NAMESPACE_UID_LABEL, "")
    # kubectl omits the writers by default.
    written = is_written_by_us(writers) if writers else written_for in ("", namespace_uid)
    return Mark(written_for, written)


def _hash(secret: _Secret) -> str:
    payload = decode_base64(secret.content().get(COPY_KEY, ""))
    return "" if payload is None else content_hash(payload)


def _read(manifest: Manifest) -> _Secret | None:
    try:
        return msgspec.convert(manifest.body, _Secret)
    except msgspec.ValidationError:
        return None
