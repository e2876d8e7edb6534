"""Read registry credentials of a pull secret from its sources, merge them, and write one canonical form.

For every image, a copy offers the kubelet and Knative the credentials of its sources. docs/credentials.md lists the
exceptions, and ``tests/oracle`` compares both with the readers' own code. Unusable entries are left out and reported.
They do not affect the others, while a reader of the source itself may reject everything because of one entry.

A copy is written as ``kubectl create secret docker-registry`` writes it, without the obsolete ``email``. Each registry
has ``auth``, ``password`` and ``username``; keys are sorted, without spaces. Equal credentials give equal bytes,
because the kubelet distinguishes pulls by a hash of the credential. Each registry has one key, because
go-containerregistry takes the first of several spellings from a map in random order.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NoReturn

import msgspec

from webhook.errors import SourceInvalid
from webhook.rules.credential import Credential, EntryNote, SourceReason, Unusable, decode_base64, read_entry, shown
from webhook.rules.expiry import NO_EXPIRIES, Expiries, Expiry, read_expiries
from webhook.rules.go_json import JsonObject, decode
from webhook.rules.ownership import is_a_copy
from webhook.rules.registry_key import DOCKER_HUB_KEY, HUB_DOMAIN, HUB_HOST, RegistryKey, UnusableKey, read_key

COPY_TYPE = "kubernetes.io/dockerconfigjson"
COPY_KEY = ".dockerconfigjson"
LEGACY_TYPE = "kubernetes.io/dockercfg"
LEGACY_KEY = ".dockercfg"

LARGEST_COPY = 1024 * 1024
"""In bytes: the API server's limit for the data of one Secret."""

MAX_NOTES = 20
"""Notes that are kept for one source; the others are counted. A source of 1 MiB has room for 100,000 entries."""

SHOWN_NOTES = 3
"""Notes that a message quotes."""

NO_ANNOTATIONS: Mapping[str, str] = {}

_KEYS = {COPY_TYPE: COPY_KEY, LEGACY_TYPE: LEGACY_KEY}


class Clash(msgspec.Struct, frozen=True):
    """A registry that is named more than once: ``winner`` is the source, or the spelling in it, that is used."""

    registry: str
    winner: str
    losers: tuple[str, ...]


class Notes(msgspec.Struct, frozen=True):
    """Remarks about entries of a source: the first notes, and the number of all."""

    first: tuple[EntryNote, ...] = ()
    number: int = 0

    def __bool__(self) -> bool:
        return self.number > 0

    def __str__(self) -> str:
        """Return the first notes as text, with the number of the others."""
        shown_notes = "; ".join(str(note) for note in self.first[:SHOWN_NOTES])
        others = self.number - len(self.first[:SHOWN_NOTES])
        return shown_notes + (f"; and {others} more" if others else "")


NO_NOTES = Notes()


class Credentials(Mapping[str, Credential]):
    """Credentials by registry key in its canonical spelling; immutable, and the repr shows only the keys.

    ``clashes`` are the registries that one source spells in several ways with different credentials. ``left_out`` are
    the unusable entries, ``warnings`` are about entries that are copied. ``expiries`` are the known times of expiry.
    """

    __slots__ = ("_entries", "clashes", "expiries", "left_out", "warnings")

    def __init__(
        self,
        entries: Mapping[str, Credential],
        clashes: Sequence[Clash] = (),
        left_out: Notes = NO_NOTES,
        warnings: Notes = NO_NOTES,
        expiries: Expiries = NO_EXPIRIES,
    ) -> None:
        self._entries = dict(entries)
        self.clashes = tuple(clashes)
        self.left_out = left_out
        self.warnings = warnings
        self.expiries = expiries

    def expiring(self, expiries: Expiries) -> Credentials:
        """Return these credentials with their times of expiry."""
        return Credentials(self._entries, self.clashes, self.left_out, self.warnings, expiries)

    def __getitem__(self, registry: str) -> Credential:
        return self._entries[registry]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def remark(self) -> str:
        """Return the remarks for people as text; empty if all entries are copied unchanged."""
        left_out = f"not copied: {self.left_out}" if self.left_out else ""
        return "; ".join(filter(None, (left_out, str(self.warnings))))

    def __repr__(self) -> str:
        return f"Credentials({', '.join(sorted(self._entries))})"


class Merged(msgspec.Struct, frozen=True):
    """The credentials of all sources of one pull secret, and the registries that were named more than once."""

    credentials: Credentials
    clashes: tuple[Clash, ...]


def parse_source(
    name: str,
    secret_type: str,
    data: Mapping[str, str],
    labels: Mapping[str, str],
    annotations: Mapping[str, str] = NO_ANNOTATIONS,
) -> Credentials:
    """Return the credentials of the source Secret ``name``. Raises SourceInvalid when none can be copied.

    ``data`` contains base64 text, as in the API's JSON. A ``kubernetes.io/dockercfg`` Secret is read too.
    """
    where = f'source Secret "{name}"'
    if is_a_copy(labels):
        message = f"{where} is itself a copy made by pull-secret-webhook: name the original"
        raise SourceInvalid(SourceReason.IS_A_COPY, message)
    key = _KEYS.get(secret_type)
    if key is None:
        raise SourceInvalid(SourceReason.TYPE_UNSUPPORTED, f"{where} {_type_problem(secret_type, data)}")
    document = _document(data, key, where)
    credentials = read_document(document, legacy=secret_type == LEGACY_TYPE, where=where)
    if not credentials:
        # A document has at least one entry, so all of them were left out.
        first = credentials.left_out.first[0]
        raise SourceInvalid(first.reason or SourceReason.AUTHS_INVALID, f"{where}: {credentials.left_out}")
    return credentials.expiring(read_expiries(credentials, annotations))


def _type_problem(secret_type: str, data: Mapping[str, str]) -> str:
    required_type = LEGACY_TYPE if LEGACY_KEY in data and COPY_KEY not in data else COPY_TYPE
    return (
        f"has the type {secret_type[:80]!r}: create it again with the type {required_type}, because a type cannot be "
        "changed later (kubectl create secret docker-registry; External Secrets: spec.target.template.type)"
    )


def _document(data: Mapping[str, str], key: str, where: str) -> JsonObject:
    if not data.get(key):
        other = next((other for other in _KEYS.values() if other != key and data.get(other)), "")
        hint = f', but under "{other}": create it with the type for that key' if other else ""
        raise SourceInvalid(SourceReason.KEY_ABSENT, f'{where} has no content under the key "{key}"{hint}')
    content = decode_base64(data[key])
    if content is None:
        raise SourceInvalid(SourceReason.BASE64_INVALID, f'{where}: "{key}" is not base64')
    document = decode(content)
    if document is None:
        raise SourceInvalid(SourceReason.JSON_INVALID, f'{where}: "{key}" is not a JSON object{_hint(content)}')
    if not isinstance(document, JsonObject):
        _refuse_auths(f"{where} is not a JSON object with auths")
    return document


def _hint(content: bytes) -> str:
    again = decode_base64(content.decode("ascii", errors="replace").strip())
    if again is not None and isinstance(decode(again), JsonObject):
        return ", but one that was encoded twice: put it under stringData, or encode it once"
    return ""


def read_document(document: JsonObject, *, legacy: bool, where: str) -> Credentials:
    """Return the credentials of a ``.dockerconfigjson`` or a ``.dockercfg``; all entries may be left out.

    ``where`` is the beginning of the message of SourceInvalid, which is raised when the whole document is invalid.
    """
    auths = _legacy_auths(document, where) if legacy else _auths(document, where)
    return _EntryReader(auths, _helper_registries(document)).credentials()


def read_payload(payload: bytes) -> Credentials:
    """Return the credentials in a payload that :func:`render` has made."""
    document = decode(payload)
    if not isinstance(document, JsonObject) or not any(document.named("auths")):
        return Credentials({})
    return read_document(document, legacy=False, where="the content")


def _legacy_auths(document: JsonObject, where: str) -> list[tuple[str, object]]:
    # A config.json under this key would otherwise look like one registry with the name "auths".
    if any(isinstance(value, JsonObject) for value in document.named("auths")):
        _refuse_auths(
            f"{where} contains a config.json, which has the registries under auths: create it with the type {COPY_TYPE}"
        )
    if not document.pairs:
        _refuse_auths(f"{where}: its content must be a JSON object with at least one registry")
    return document.pairs


def _auths(document: JsonObject, where: str) -> list[tuple[str, object]]:
    auths: list[tuple[str, object]] = []
    has_auths = False
    for value in document.named("auths"):
        has_auths = True
        if value is None:
            auths = []  # Go drops the earlier values
        elif isinstance(value, JsonObject):
            # Go decodes a second map into the same one, so both count.
            auths += value.pairs
        else:
            _refuse_auths(f"{where}: its auths must be a JSON object with at least one registry")
    if not auths:
        _refuse_auths(f"{where} {_auths_problem(document, has_auths=has_auths)}")
    return auths


def _auths_problem(document: JsonObject, *, has_auths: bool) -> str:
    if any(document.named("credhelpers")) or any(document.named("credsstore")):
        return "names credential helpers, which nodes cannot call: write the credentials under auths"
    if not has_auths and any(isinstance(value, JsonObject) for _, value in document.pairs):
        return f"has no auths: where its registries are at the top, create it with the type {LEGACY_TYPE}"
    return "has no registry: its auths must be a JSON object with at least one"


def _helper_registries(document: JsonObject) -> list[str]:
    """Return the registries for which a document names a credential helper."""
    return [key for value in document.named("credhelpers") if isinstance(value, JsonObject) for key, _ in value.pairs]


def _refuse_auths(message: str) -> NoReturn:
    raise SourceInvalid(SourceReason.AUTHS_INVALID, message)


class _EntryReader:
    """Reads the entries of one source, and collects remarks."""

    def __init__(self, auths: Sequence[tuple[str, object]], helper_registries: Sequence[str]) -> None:
        self._auths = dict(auths)  # the last of equal keys counts, as in Go
        self._occurrences = Counter(key for key, _ in auths)
        # docker login leaves an empty entry in auths beside its helper. That entry is reported instead.
        self._helper_registries = [key for key in helper_registries if key not in self._auths]
        self._positions = {
            key: position for position, key in enumerate([*self._auths, *self._helper_registries], start=1)
        }
        self._left_out: list[EntryNote] = []
        self._warnings: list[EntryNote] = []

    def credentials(self) -> Credentials:
        """Return the credentials that can be copied."""
        # By the key that readers index, because spellings with the same meaning are one entry of the copy.
        spellings: dict[RegistryKey, dict[str, Credential]] = {}
        for key, entry in self._auths.items():
            try:
                registry, read = read_key(key), read_entry(entry)
            except UnusableKey as error:
                self._leave_out(key, SourceReason.REGISTRY_INVALID, str(error))
            except Unusable as error:
                self._leave_out(key, error.reason, error.message)
            else:
                spellings.setdefault(registry, {})[key] = read.credential
                self._warn(key, *read.warnings, *self._key_warnings(key, registry))
        for key in self._helper_registries:
            self._leave_out(
                key, SourceReason.CREDENTIAL_UNUSABLE, "has only a credential helper, which nodes cannot call"
            )
        chosen, clashes = _choose(spellings, self._shown)
        hub, domain = chosen.get(DOCKER_HUB_KEY), chosen.get(HUB_DOMAIN)
        if hub is not None and domain is not None and hub != domain:
            self._warn(HUB_DOMAIN, f"differs from {DOCKER_HUB_KEY}: the kubelet takes the first, Knative the second")
        return Credentials(chosen, clashes, _notes(self._left_out), _notes(self._warnings))

    def _key_warnings(self, key: str, registry: RegistryKey) -> Iterator[str]:
        if self._occurrences[key] > 1:
            yield "occurs more than once: the last one is copied, as the kubelet reads it"
        if registry.host != registry.host.lower():
            yield "has upper case in its host: the kubelet uses it only for images with the same spelling"
        if registry.path in ("/v1", "/v2"):
            yield "has an API version without a slash at its end: the kubelet reads it as a path"
        if registry.is_for_knative_alone:
            yield f"is never used by the kubelet: write {HUB_DOMAIN}{registry.path}"

    def _leave_out(self, key: str, reason: SourceReason, message: str) -> None:
        self._left_out.append(EntryNote(self._shown(key), message, reason, key))

    def _warn(self, key: str, *warnings: str) -> None:
        self._warnings += [EntryNote(self._shown(key), message, key=key) for message in warnings]

    def _shown(self, key: str) -> str:
        return shown(key, self._positions.get(key, 0))


def _choose(
    spellings: Mapping[RegistryKey, Mapping[str, Credential]], name_of: Callable[[str], str]
) -> tuple[dict[str, Credential], list[Clash]]:
    """Return one credential for each registry, and the registries whose spellings have different ones.

    ``name_of`` returns the name of an entry in messages.
    """
    chosen, clashes = {}, []
    for registry in sorted(spellings, key=str):
        read = spellings[registry]
        # The canonical spelling needs no guess; among the others any fixed order is fine.
        winner, *others = sorted(read, key=lambda key: (key != str(registry), key))
        chosen[str(registry)] = read[winner]
        losers = [key for key in others if read[key] != read[winner]]
        if losers:
            names = [name_of(key).removeprefix("registry ").strip('"') for key in (winner, *losers)]
            clashes.append(Clash(str(registry), names[0], tuple(names[1:])))
    return chosen, clashes


def _notes(notes: Sequence[EntryNote]) -> Notes:
    return Notes(tuple(notes[:MAX_NOTES]), len(notes))


def merge(sources: Sequence[tuple[str, Credentials]]) -> Merged:
    """Return the credentials of all ``sources`` (name, credentials) as one; the first to name a registry wins."""
    named_by: dict[str, list[str]] = {}
    entries: dict[str, Credential] = {}
    expiries: dict[str, Expiry] = {}
    clashes: list[Clash] = []
    for name, credentials in sources:
        for registry, credential in credentials.items():
            if registry not in entries:
                entries[registry], named_by[registry] = credential, [name]
                if (expiry := credentials.expiries.by_registry.get(registry)) is not None:
                    expiries[registry] = expiry
            # Equal credentials are not a clash, because the order does not change the copy.
            elif entries[registry] != credential:
                named_by[registry].append(name)
        clashes += [_within(name, clash) for clash in credentials.clashes]
    clashes += [Clash(registry, names[0], tuple(names[1:])) for registry, names in named_by.items() if len(names) > 1]
    merged = Credentials(entries, expiries=Expiries(expiries))
    return Merged(merged, tuple(sorted(clashes, key=lambda clash: clash.registry)))


def _within(source: str, clash: Clash) -> Clash:
    return Clash(clash.registry, f"{source} ({clash.winner})", tuple(f"{source} ({loser})" for loser in clash.losers))


def render(credentials: Mapping[str, Credential]) -> bytes:
    """Return the canonical ``.dockerconfigjson`` of a copy. Raises SourceInvalid over 1 MiB."""
    auths = {registry: credential.fields() for registry, credential in _for_every_reader(credentials).items()}
    # Sorted, because a hash of these bytes decides whether a copy is current.
    payload = json.dumps({"auths": auths}, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    # Before the write, which the API server would refuse in every namespace.
    if len(payload) > LARGEST_COPY:
        message = (
            f"the merged sources have {len(payload)} bytes, and a Secret can have {LARGEST_COPY}: remove registries"
        )
        raise SourceInvalid(SourceReason.COPY_TOO_LARGE, message)
    return payload


def _for_every_reader(credentials: Mapping[str, Credential]) -> Mapping[str, Credential]:
    """Return the credentials, with those of Docker Hub also under the name that Knative needs.

    The kubelet offers the credential of ``https://index.docker.io/v1/`` only if no other key covers the image. So
    ``docker.io`` stays if another key covers some images of Docker Hub or has another credential. If another key gives
    Knative a credential for some of them, that key stays the only one.
    """
    domain = credentials.get(HUB_DOMAIN)
    if domain is None:
        return credentials
    # go-containerregistry looks Docker Hub up as index.docker.io, and the kubelet as docker.io.
    others = [read_key(key) for key in credentials if key not in (HUB_DOMAIN, DOCKER_HUB_KEY)]
    if DOCKER_HUB_KEY not in credentials and any(key.may_cover(HUB_HOST) for key in others):
        return credentials
    spelled = {DOCKER_HUB_KEY: domain} | dict(credentials)
    if spelled[DOCKER_HUB_KEY] == domain and not any(key.may_cover(HUB_DOMAIN) for key in others):
        # The kubelet falls back to the other spelling, because no key covers an image of docker.io by its name.
        del spelled[HUB_DOMAIN]
    return spelled


def content_hash(payload: bytes) -> str:
    """Return ``sha256:…`` of a rendered copy."""
    return f"sha256:{hashlib.sha256(payload).hexdigest()}"
