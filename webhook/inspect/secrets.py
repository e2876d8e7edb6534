"""Read the sources and the copies of a release, as far as rights allow, and only by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec.structs import replace

from webhook.errors import Forbidden, SourceInvalid
from webhook.kube.objects import SecretObject, decode_secret, to_copy
from webhook.kube.resources import SECRETS, Collection
from webhook.kube.wire import PartialObjectMetadata, decoder
from webhook.report.coverage import registries_of
from webhook.report.explain.commands import NO_FACTS, SecretFacts, create_source, source_command
from webhook.report.explain.secret_and_references import TenantSecret
from webhook.report.preview.row import PreviewReason
from webhook.report.preview.secrets import Sources, with_hash
from webhook.rules.credential import SourceReason
from webhook.rules.dockerconfig import COPY_TYPE, LEGACY_TYPE, parse_source
from webhook.rules.expiry import NO_EXPIRIES, Expiries
from webhook.rules.keyring import NO_CREDENTIALS, SecretState
from webhook.rules.ownership import FieldManager, is_a_copy
from webhook.rules.renewal_schedule import next_renewal
from webhook.rules.renewing import settings_digest
from webhook.rules.state_document import STATE_SUFFIX, StateDocument, decode_document
from webhook.sync.source import absent_source, read_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from webhook.inspect.reader import Reader
    from webhook.inspect.release import InstalledRelease
    from webhook.rules.dockerconfig import Credentials
    from webhook.rules.objects import Copy
    from webhook.rules.ownership import Release
    from webhook.rules.renewing import RenewingSource
    from webhook.sync.source import Source


def read_sources(reader: Reader, installed: InstalledRelease, now: datetime) -> Sources:
    """Return the sources of the configuration at this time; those that must not be read are left out."""
    read: dict[str, Credentials | SourceInvalid] = {}
    renewing = {source.secret: source for source in installed.configuration.renewing}
    issuing: dict[str, str] = {}
    for name in installed.configuration.source_names:
        content, is_known = reader.get_if_allowed(SECRETS, name, installed.release.namespace)
        if is_known:
            renews = name in renewing
            absent = absent_source(name, renews=renews)
            source = absent if content is None else read_source(decode_secret(content))
            if renews and (cause := _renewal_cause(installed, renewing[name], source, now)):
                issuing[name] = cause
            outcome = source.problem or source.credentials
            if outcome is not None:
                read[name] = outcome
    read |= _hashed(reader, read, installed.release.namespace)
    sources = Sources(read, issuing=issuing)
    pull_secrets = installed.configuration.copied
    if not any(entry.rollout is not None or sources.expected(entry).problem for entry in pull_secrets):
        return sources
    state = read_state(reader, installed)
    return replace(sources, last_good=state.last_good, rollouts=state.rollouts, is_state_read=state.is_read)


def _renewal_cause(installed: InstalledRelease, renewing: RenewingSource, source: Source, now: datetime) -> str:
    """Return why sync is going to issue a credential of a source at this time; empty if it is not."""
    if source.uid and source.issued.issued_by != installed.release.name:
        return ""  # another object has the name, and is left alone
    if source.problem is not None and source.uid:
        return "its Secret cannot be used"
    due = next_renewal(renewing.name, source.issued if source.uid else None, settings_digest(renewing), now)
    return due.cause if due.time <= now else ""


def _hashed(
    reader: Reader, read: Mapping[str, Credentials | SourceInvalid], namespace: str
) -> dict[str, SourceInvalid]:
    """Return the problems of absent sources whose names exist with a hash only, as far as rights allow."""
    absent = [
        name
        for name, source in read.items()
        if isinstance(source, SourceInvalid) and source.reason == SourceReason.ABSENT
    ]
    if not absent:
        return {}
    try:
        secrets = [
            secret.metadata.name for secret in reader.items(Collection(SECRETS, namespace), PartialObjectMetadata)
        ]
    except Forbidden:
        return {}
    problems = {}
    for name in absent:
        if (hashed_name := with_hash(name, secrets)) is not None:
            message = (
                f'source Secret "{name}" does not exist in the release namespace, but "{hashed_name}" does: '
                "the hash in its name changes with its content"
            )
            problems[name] = SourceInvalid(PreviewReason.SOURCE_NAME_HASHED, message)
    return problems


def read_state(reader: Reader, installed: InstalledRelease) -> StateDocument:
    """Return the stored state of the controller; empty if there is none, or if it must not be read."""
    content, is_known = reader.get_if_allowed(
        SECRETS, f"{installed.fullname}{STATE_SUFFIX}", installed.release.namespace
    )
    secret = decode_secret(content) if content is not None else None
    if secret is None or not is_a_copy(secret.metadata.labels or {}):
        return StateDocument(is_read=is_known)
    return decode_document(secret.data or {})


class CopyResult(NamedTuple):
    """The Secret with a copy's name in a namespace, if there is one, and what is in it.

    Registries and expiries are left out if the Secret lacks the labels of the release, because its content is not read
    then. ``is_known`` is False if it could not be read. ``tenant`` is the same Secret as nodes read it, if it belongs
    to the namespace.
    """

    copy: Copy | None
    registries: frozenset[str] = frozenset()
    expiries: Expiries = NO_EXPIRIES
    is_known: bool = True
    tenant: TenantSecret | None = None

    @property
    def of_tenant(self) -> TenantSecret:
        """Return it as a Secret that belongs to the namespace, also if it does not exist or was not read."""
        return self.tenant or TenantSecret(SecretState.ABSENT if self.is_known else SecretState.UNREAD)


def read_copy(reader: Reader, release: Release, name: str, namespace: str, *, tenant: bool = False) -> CopyResult:
    """Return the Secret with a copy's name in a namespace, or with that of a Secret that the namespace owns.

    The request is a list of that one name: users with the right to list it across namespaces need no right in each.
    """
    try:
        for secret in reader.items(Collection(SECRETS, namespace, name), SecretObject):
            return _read(secret, release, tenant=tenant)
    except Forbidden:
        content, is_known = reader.get_if_allowed(SECRETS, name, namespace)
        if content is None:
            return CopyResult(None, is_known=is_known)
        return _read(decode_secret(content), release, tenant=tenant)
    return CopyResult(None)


def list_copies(reader: Reader, release: Release, name: str, *, tenant: bool = False) -> dict[str, CopyResult] | None:
    """Return the Secrets with a copy's name by namespace; None if they must not be listed, which is reported."""
    try:
        reads = [
            _read(secret, release, tenant=tenant)
            for secret in reader.items(Collection(SECRETS, None, name), SecretObject)
        ]
    except Forbidden:
        reader.report_missing("list", f"{SECRETS.plural} named {name} across namespaces")
        return None
    return {read.copy.namespace: read for read in reads if read.copy is not None}


def _read(secret: SecretObject, release: Release, *, tenant: bool) -> CopyResult:
    copy, data = to_copy(secret, release), secret.data or {}
    if tenant:
        return CopyResult(copy, tenant=_of_tenant(secret, copy))
    if copy.mark is None:
        return CopyResult(copy)
    try:
        expiries = parse_source(copy.name, secret.type, data, {}).expiries
    except SourceInvalid:
        expiries = NO_EXPIRIES
    return CopyResult(copy, registries_of(data), expiries)


def _of_tenant(secret: SecretObject, copy: Copy) -> TenantSecret:
    """Return a Secret that belongs to its namespace, as the nodes read it."""
    state, credentials = decode_as_kubelet(secret)
    if state is SecretState.READ and credentials:
        return TenantSecret(state, frozenset(map(str, credentials)), is_copy=copy.mark is not None)
    problem = "it has no credential that nodes can use"
    if state is SecretState.MALFORMED:
        problem = "the kubelet cannot decode it, so it pulls no image of a Pod that references it"
    elif secret.type not in (COPY_TYPE, LEGACY_TYPE):
        problem = f"nodes ignore it, because its type is {secret.type[:80]!r}"
    command = create_source(copy.namespace, copy.name, exists=True)
    if copy.replaceable_only:
        command = source_command(copy.namespace, copy.name, SourceReason.TYPE_UNSUPPORTED, ())
    return TenantSecret(state, problem=problem, command=command)


def decode_as_kubelet(secret: SecretObject) -> tuple[SecretState, Credentials]:
    """Return the credentials of a Secret as the kubelet reads it."""
    try:
        credentials = parse_source(secret.metadata.name, secret.type, secret.data or {}, {})
    except SourceInvalid as error:
        is_malformed = error.reason in _MALFORMED
        return SecretState.MALFORMED if is_malformed else SecretState.READ, NO_CREDENTIALS
    if any(note.reason in _MALFORMED for note in credentials.left_out.first):
        return SecretState.MALFORMED, NO_CREDENTIALS
    return SecretState.READ, credentials


_MALFORMED = frozenset({SourceReason.JSON_INVALID, SourceReason.ENTRY_INVALID})
"""One such Secret makes the kubelet fail every pull of the Pod. It ignores Secrets of other types, and other keys."""


class _Owner(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str
    name: str


class _FactsMeta(msgspec.Struct, frozen=True, rename="camel"):
    owner_references: tuple[_Owner, ...] = ()
    managed_fields: tuple[FieldManager, ...] = ()


class _Facts(msgspec.Struct, frozen=True):
    metadata: _FactsMeta
    data: dict[str, str] | None = None

    def __repr__(self) -> str:
        return "_Facts(…)"


_decode_facts: Callable[[bytes], _Facts] = decoder(_Facts)


def read_facts(reader: Reader, name: str, namespace: str) -> SecretFacts:
    """Return who owns a Secret, and whether its content fits a source; nothing if it must not be read."""
    content, _ = reader.get_if_allowed(SECRETS, name, namespace)
    if content is None:
        return NO_FACTS
    facts = _decode_facts(content)
    owners, writers = facts.metadata.owner_references, facts.metadata.managed_fields
    try:
        fits = bool(parse_source(name, COPY_TYPE, facts.data or {}, {}))
    except SourceInvalid:
        fits = False
    return SecretFacts(_controller(owners[0]) if owners else "", writers[-1].manager if writers else "", fits)


def _controller(owner: _Owner) -> str:
    """Return an owner as kubectl writes it: kind, group and name."""
    group = owner.api_version.rpartition("/")[0]
    return f"{owner.kind.lower()}{f'.{group}' if group else ''}/{owner.name}"


def iterate_copies(reader: Reader, release: Release, name: str, namespace: str | None) -> Iterator[Copy]:
    """Yield every Secret with a copy's name, in one namespace or in all; raises Forbidden if that is not allowed."""
    return (to_copy(secret, release) for secret in reader.items(Collection(SECRETS, namespace, name), SecretObject))
