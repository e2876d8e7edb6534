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
from webhook.rules.ownership import Writer, is_a_copy
from webhook.rules.renewal_schedule import next_renewal
from webhook.rules.renewing import settings_digest
from webhook.rules.state_document import STATE_SUFFIX, StateDocument, decode_document
from webhook.sync.source import absent_source, read_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from webhook.inspect.reader import Reader
    from webhook.inspect.release import Installed
    from webhook.rules.dockerconfig import Credentials
    from webhook.rules.objects import Copy
    from webhook.rules.ownership import Release
    from webhook.rules.renewing import RenewingSource
    from webhook.sync.source import Source


def read_sources(reader: Reader, installed: Installed, now: datetime) -> Sources:
    """Return the sources of the configuration at this time; those that must not be read are left out."""
    read: dict[str, Credentials | SourceInvalid] = {}
    renewing = {source.secret: source for source in installed.configuration.renewing}
    issuing: dict[str, str] = {}
    for name in installed.configuration.source_names:
        content, known = reader.optional(SECRETS, name, installed.release.namespace)
        if known:
            renews = name in renewing
            absent = absent_source(name, renews=renews)
            source = absent if content is None else read_source(decode_secret(content))
            if renews and (cause := _issued_because(installed, renewing[name], source, now)):
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


def _issued_because(installed: Installed, renewing: RenewingSource, source: Source, now: datetime) -> str:
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
        name for name, found in read.items() if isinstance(found, SourceInvalid) and found.reason == SourceReason.ABSENT
    ]
    if not absent:
        return {}
    try:
        secrets = [each.metadata.name for each in reader.each(Collection(SECRETS, namespace), PartialObjectMetadata)]
    except Forbidden:
        return {}
    problems = {}
    for name in absent:
        if (found := with_hash(name, secrets)) is not None:
            message = (
                f'source Secret "{name}" does not exist in the release namespace, but "{found}" does: the hash in its '
                "name changes with its content"
            )
            problems[name] = SourceInvalid(PreviewReason.SOURCE_NAME_HASHED, message)
    return problems


def read_state(reader: Reader, installed: Installed) -> StateDocument:
    """Return the stored state of the controller; empty if there is none, or if it must not be read."""
    content, known = reader.optional(SECRETS, f"{installed.fullname}{STATE_SUFFIX}", installed.release.namespace)
    secret = decode_secret(content) if content is not None else None
    if secret is None or not is_a_copy(secret.metadata.labels or {}):
        return StateDocument(is_read=known)
    return decode_document(secret.data or {})


class CopyRead(NamedTuple):
    """The Secret with a copy's name in a namespace, if there is one, and what is in it.

    Registries and expiries are left out if the Secret lacks the labels of the release, because its content is not read
    then. ``known`` is False if it could not be read. ``tenant`` is the same Secret as nodes read it, if it belongs to
    the namespace.
    """

    copy: Copy | None
    registries: frozenset[str] = frozenset()
    expiries: Expiries = NO_EXPIRIES
    known: bool = True
    tenant: TenantSecret | None = None

    @property
    def of_tenant(self) -> TenantSecret:
        """Return it as a Secret that belongs to the namespace, also if it does not exist or was not read."""
        return self.tenant or TenantSecret(SecretState.ABSENT if self.known else SecretState.UNREAD)


def read_copy(reader: Reader, release: Release, name: str, namespace: str, *, tenant: bool = False) -> CopyRead:
    """Return the Secret with a copy's name in a namespace, or with that of a Secret that the namespace owns.

    The request is a list of that one name: users with the right to list it across namespaces need no right in each.
    """
    try:
        for found in reader.each(Collection(SECRETS, namespace, name), SecretObject):
            return _read(found, release, tenant=tenant)
    except Forbidden:
        content, known = reader.optional(SECRETS, name, namespace)
        if content is None:
            return CopyRead(None, known=known)
        return _read(decode_secret(content), release, tenant=tenant)
    return CopyRead(None)


def list_copies(reader: Reader, release: Release, name: str, *, tenant: bool = False) -> dict[str, CopyRead] | None:
    """Return the Secrets with a copy's name by namespace; None if they must not be listed, which is reported."""
    try:
        found = [
            _read(each, release, tenant=tenant) for each in reader.each(Collection(SECRETS, None, name), SecretObject)
        ]
    except Forbidden:
        reader.lacks("list", f"{SECRETS.plural} named {name} across namespaces")
        return None
    return {read.copy.namespace: read for read in found if read.copy is not None}


def _read(found: SecretObject, release: Release, *, tenant: bool) -> CopyRead:
    copy, data = to_copy(found, release), found.data or {}
    if tenant:
        return CopyRead(copy, tenant=_of_tenant(found, copy))
    if copy.mark is None:
        return CopyRead(copy)
    try:
        expiries = parse_source(copy.name, found.type, data, {}).expiries
    except SourceInvalid:
        expiries = NO_EXPIRIES
    return CopyRead(copy, registries_of(data), expiries)


def _of_tenant(found: SecretObject, copy: Copy) -> TenantSecret:
    """Return a Secret that belongs to its namespace, as the nodes read it."""
    state, credentials = as_kubelet(found)
    if state is SecretState.READ and credentials:
        return TenantSecret(state, frozenset(map(str, credentials)), is_copy=copy.mark is not None)
    problem = "it has no credential that nodes can use"
    if state is SecretState.MALFORMED:
        problem = "the kubelet cannot decode it, so it pulls no image of a Pod that references it"
    elif found.type not in (COPY_TYPE, LEGACY_TYPE):
        problem = f"nodes ignore it, because its type is {found.type[:80]!r}"
    command = create_source(copy.namespace, copy.name, exists=True)
    if copy.replaceable_only:
        command = source_command(copy.namespace, copy.name, SourceReason.TYPE_UNSUPPORTED, ())
    return TenantSecret(state, problem=problem, command=command)


def as_kubelet(secret: SecretObject) -> tuple[SecretState, Credentials]:
    """Return the credentials of a Secret as the kubelet reads it."""
    try:
        found = parse_source(secret.metadata.name, secret.type, secret.data or {}, {})
    except SourceInvalid as error:
        is_malformed = error.reason in _MALFORMED
        return SecretState.MALFORMED if is_malformed else SecretState.READ, NO_CREDENTIALS
    if any(note.reason in _MALFORMED for note in found.left_out.first):
        return SecretState.MALFORMED, NO_CREDENTIALS
    return SecretState.READ, found


_MALFORMED = frozenset({SourceReason.JSON_INVALID, SourceReason.ENTRY_INVALID})
"""One such Secret makes the kubelet fail every pull of the Pod. It ignores Secrets of other types, and other keys."""


class _Owner(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str
    name: str


class _FactsMeta(msgspec.Struct, frozen=True, rename="camel"):
    owner_references: tuple[_Owner, ...] = ()
    managed_fields: tuple[Writer, ...] = ()


class _Facts(msgspec.Struct, frozen=True):
    metadata: _FactsMeta
    data: dict[str, str] | None = None

    def __repr__(self) -> str:
        return "_Facts(…)"


_decode_facts: Callable[[bytes], _Facts] = decoder(_Facts)


def read_facts(reader: Reader, name: str, namespace: str) -> SecretFacts:
    """Return who owns a Secret, and whether its content fits a source; nothing if it must not be read."""
    content, _ = reader.optional(SECRETS, name, namespace)
    if content is None:
        return NO_FACTS
    found = _decode_facts(content)
    owners, writers = found.metadata.owner_references, found.metadata.managed_fields
    try:
        fits = bool(parse_source(name, COPY_TYPE, found.data or {}, {}))
    except SourceInvalid:
        fits = False
    return SecretFacts(_controller(owners[0]) if owners else "", writers[-1].manager if writers else "", fits)


def _controller(owner: _Owner) -> str:
    """Return an owner as kubectl writes it: kind, group and name."""
    group = owner.api_version.rpartition("/")[0]
    return f"{owner.kind.lower()}{f'.{group}' if group else ''}/{owner.name}"


def each_copy(reader: Reader, release: Release, name: str, namespace: str | None) -> Iterator[Copy]:
    """Yield every Secret with a copy's name, in one namespace or in all; raises Forbidden if that is not allowed."""
    return (to_copy(found, release) for found in reader.each(Collection(SECRETS, namespace, name), SecretObject))
