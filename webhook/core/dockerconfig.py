"""Registry credentials of a pull secret: read from its sources, merged, and written in one canonical form.

A copy is written as ``kubectl create secret docker-registry`` writes it, without the obsolete ``email``: for each
registry ``auth``, ``password`` and ``username``, keys sorted, no spaces. Equal credentials give equal bytes, because
the kubelet tells pulls apart by a hash of the credential, and each registry has one key, because go-containerregistry
takes the first of several spellings from a map in random order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import msgspec

from webhook.core.credential import Credential, SourceReason, decode_base64, normalise, read_credential, shown
from webhook.core.ownership import is_a_copy
from webhook.errors import SourceInvalid

COPY_TYPE = "kubernetes.io/dockerconfigjson"
COPY_KEY = ".dockerconfigjson"
LEGACY_TYPE = "kubernetes.io/dockercfg"
LEGACY_KEY = ".dockercfg"

LARGEST_COPY = 1024 * 1024
"""Bytes; the API server's limit for the data of one Secret."""


@dataclass(frozen=True, slots=True)
class Clash:
    """One registry named more than once: ``winner`` is the source, or the spelling in it, that was taken."""

    registry: str
    winner: str
    losers: tuple[str, ...]


class Credentials(Mapping[str, Credential]):
    """Credentials by normalised registry key; immutable, and shown by its keys only.

    ``clashes`` are the registries that one source spells in several ways, with the spellings as winner and losers.
    """

    __slots__ = ("_entries", "clashes")

    def __init__(self, entries: Mapping[str, Credential], clashes: Sequence[Clash] = ()) -> None:
        self._entries = dict(entries)
        self.clashes = tuple(clashes)

    def __getitem__(self, registry: str) -> Credential:
        return self._entries[registry]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Credentials({', '.join(sorted(self._entries))})"


@dataclass(frozen=True, slots=True)
class Merged:
    """The credentials of all sources of one pull secret, and every registry that was named more than once."""

    credentials: Credentials
    clashes: tuple[Clash, ...]


def parse_source(name: str, secret_type: str, data: Mapping[str, str], labels: Mapping[str, str]) -> Credentials:
    """Return the credentials of the source Secret ``name``; SourceInvalid when any part of it must not be copied.

    ``data`` holds base64 text, as the API's JSON does. A ``kubernetes.io/dockercfg`` Secret is read too. One bad entry
    refuses the whole source: a copy without it would silently take a credential away.
    """
    where = f'source Secret "{name}"'
    if is_a_copy(labels):
        message = f"{where} is itself a copy made by pull-secret-webhook: name the original"
        raise SourceInvalid(SourceReason.IS_A_COPY, message)
    if secret_type == COPY_TYPE:
        auths = _auths(_document(data, COPY_KEY, where), where)
    elif secret_type == LEGACY_TYPE:
        auths = _entries(_document(data, LEGACY_KEY, where), f"{where}: its content")
    else:
        message = f"{where} has the type {secret_type[:80]!r}: create it with kubectl create secret docker-registry"
        raise SourceInvalid(SourceReason.TYPE_UNSUPPORTED, message)
    return _credentials(auths, where)


def _document(data: Mapping[str, str], key: str, where: str) -> object:
    if not data.get(key):
        raise SourceInvalid(SourceReason.KEY_ABSENT, f'{where} has no content under the key "{key}"')
    content = decode_base64(data[key])
    if content is None:
        raise SourceInvalid(SourceReason.BASE64_INVALID, f'{where}: "{key}" is not base64')
    document = _json(content)
    if document is None:
        raise SourceInvalid(SourceReason.JSON_INVALID, f'{where}: "{key}" is not a JSON object in UTF-8')
    return document


def _json(content: bytes) -> object:
    # None stands for the failure too: the decoder's own exceptions may hold the content.
    try:
        return msgspec.json.decode(content)
    except (ValueError, RecursionError):
        return None


def _auths(document: object, where: str) -> dict[str, object]:
    if not isinstance(document, dict):
        _refuse_auths(f"{where} is not a JSON object with auths")
    if "auths" not in document and ("credHelpers" in document or "credsStore" in document):
        _refuse_auths(f"{where} names credential helpers, which no node can ask: write the credentials under auths")
    return _entries(document.get("auths"), f"{where}: its auths")


def _entries(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict) or not value:
        _refuse_auths(f"{where} must be a JSON object with at least one registry")
    return value


def _refuse_auths(message: str) -> NoReturn:
    raise SourceInvalid(SourceReason.AUTHS_INVALID, message)


def _credentials(auths: Mapping[str, object], where: str) -> Credentials:
    spellings: dict[str, list[str]] = {}
    read: dict[str, Credential] = {}
    for position, (key, entry) in enumerate(auths.items(), start=1):
        named = f"{where}: {shown(key, position)}"
        spellings.setdefault(_registry(key, named), []).append(key)
        read[key] = read_credential(entry, named)
    entries, clashes = {}, []
    for registry in sorted(spellings):
        # The canonical spelling is the one that needs no guess; among others any fixed order will do.
        winner, *losers = sorted(spellings[registry], key=lambda key: (key != registry, key))
        entries[registry] = read[winner]
        if losers:
            clashes.append(Clash(registry, winner, tuple(losers)))
    return Credentials(entries, clashes)


def _registry(key: str, where: str) -> str:
    try:
        return normalise(key)
    except ValueError:
        message = f"{where} is not of the form host[:port][/path]"
    raise SourceInvalid(SourceReason.REGISTRY_INVALID, message)


def merge(sources: Sequence[tuple[str, Credentials]]) -> Merged:
    """Return the credentials of all ``sources`` (name, credentials) as one; the first to name a registry wins."""
    named_by: dict[str, list[str]] = {}
    entries: dict[str, Credential] = {}
    clashes: list[Clash] = []
    for name, credentials in sources:
        for registry, credential in credentials.items():
            named_by.setdefault(registry, []).append(name)
            entries.setdefault(registry, credential)
        clashes += [_within(name, clash) for clash in credentials.clashes]
    clashes += [Clash(registry, names[0], tuple(names[1:])) for registry, names in named_by.items() if len(names) > 1]
    return Merged(Credentials(entries), tuple(sorted(clashes, key=lambda clash: clash.registry)))


def _within(source: str, clash: Clash) -> Clash:
    return Clash(clash.registry, f"{source} ({clash.winner})", tuple(f"{source} ({loser})" for loser in clash.losers))


def render(credentials: Mapping[str, Credential]) -> bytes:
    """Return the canonical ``.dockerconfigjson`` of a copy; SourceInvalid over 1 MiB."""
    auths = {
        registry: {"auth": credential.auth, "password": credential.password, "username": credential.username}
        for registry, credential in credentials.items()
    }
    payload = json.dumps({"auths": auths}, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    if len(payload) > LARGEST_COPY:
        message = f"the merged sources have {len(payload)} bytes and a Secret holds {LARGEST_COPY}: remove registries"
        raise SourceInvalid(SourceReason.COPY_TOO_LARGE, message)
    return payload


def content_hash(payload: bytes) -> str:
    """Return ``sha256:…`` of a rendered copy."""
    return f"sha256:{hashlib.sha256(payload).hexdigest()}"
