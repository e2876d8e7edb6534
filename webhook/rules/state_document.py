"""Encode the persistent state of the controller as the data of one Secret, and decode it.

The Secret has one key for each pull secret. Its value is the last good content, with the time and the source versions
that it was made of. A key that begins with an underscore is not the name of a pull secret: ``_configuration`` has the
configuration that is in force, ``_held`` the removals that :mod:`webhook.rules.brake` holds, ``_rollouts`` the
rotations of :mod:`webhook.rules.rollout`, and ``_healing`` the evictions of :mod:`webhook.rules.healing_state`. Each
value is a JSON document with its own format version.

While a pull secret with a rollout is rotated, its last good content is the one that the rollout can return to.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import msgspec

from webhook.errors import SourceInvalid
from webhook.rules.brake import PastRemoval  # noqa: TC001 - msgspec evaluates the annotation
from webhook.rules.configuration import Configuration  # noqa: TC001 - msgspec evaluates the annotation
from webhook.rules.credential import decode_base64
from webhook.rules.decoding import NOT_DECODED
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE, parse_source, read_payload, render
from webhook.rules.rollout import Progress, Rollout
from webhook.rules.versions import SourceVersion, decode_sources, is_older, newer_sources

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook.rules.credential import Credential
    from webhook.rules.objects import Copy

_Shape = TypeVar("_Shape")

STATE_TYPE = "Opaque"
STATE_SUFFIX = "-state"
"""The suffix of the Secret's name, after the full name of a release."""

FORMAT_VERSION = 1

LARGEST_STATE = 1_040_000
"""Bytes of all values together. The API server allows 1,048,576."""

LARGEST_CONFIGURATION = 500_000
"""In bytes. A larger one is not stored, so that contents have room."""

CONFIGURATION_KEY = "_configuration"
HELD_KEY = "_held"
ROLLOUTS_KEY = "_rollouts"
HEALING_KEY = "_healing"

LARGEST_ROLLOUTS = 400_000
"""In bytes. Contents that do not fit are not stored, so they are unknown after a restart."""


@dataclass(frozen=True, slots=True)
class LastGood:
    """The last good content of a pull secret, its sources in order, and the time when it was first seen."""

    payload: bytes = field(repr=False)
    sources: tuple[SourceVersion, ...]
    time: datetime

    @property
    def source_names(self) -> tuple[str, ...]:
        """Return the names of its sources. A content is good only for a pull secret with the same ones."""
        return tuple(source.name for source in self.sources)

    def is_same(self, other: LastGood) -> bool:
        """Return whether both are the same content of the same sources, with any versions and times."""
        return (self.source_names, self.payload) == (other.source_names, other.payload)

    def is_later(self, other: LastGood) -> bool:
        """Return whether it was made of a later version of a source than another content of the same sources."""
        return any(
            is_older(theirs.resource_version, ours.resource_version)
            for ours, theirs in zip(self.sources, other.sources, strict=False)
        )

    def is_due(self, copy: Copy | None, content_hash: str) -> bool:
        """Return whether a copy must have this content, with the given hash, while a source is unusable.

        It must if it is missing, or if it was made from older versions of the sources. A copy without the versions of
        its sources must if it was last written before a source got the version that this content was made from. All of
        them are Secrets, so their resourceVersions can be compared. Another copy may have a newer content that was
        never stored, so it stays unchanged.
        """
        if copy is None or copy.content_hash == content_hash:
            return True
        made_from = decode_sources(copy.sources)
        if copy.issued.issued_for and made_from == self.sources:
            return True  # its tokens must be renewed, whatever happens to the other sources
        if newer_sources(made_from, self.sources):
            return False
        if newer_sources(self.sources, made_from):
            return True
        return any(is_older(copy.resource_version, source.resource_version) for source in self.sources)


def credentials_of(content: LastGood | None) -> Mapping[str, Credential]:
    """Return the credentials in a content, by key; none if there is no content."""
    return {} if content is None else read_payload(content.payload)


class AcceptedConfiguration(msgspec.Struct, frozen=True):
    """The configuration in force, and the recent removals by its predecessors."""

    version: int
    configuration: Configuration
    past: tuple[PastRemoval, ...] = ()


class HeldRemovals(msgspec.Struct, frozen=True):
    """The held removals: the digest of a configuration, and how many of all copies it would remove."""

    version: int
    digest: str
    copies: int
    total: int


class StoredRollout(msgspec.Struct, frozen=True):
    """The rollout of a pull secret, the copies that it has reached, and the content that it needs beside the base.

    That is the previous content while a complete rollout can be aborted. While a content is rolled out, it is the
    proposed one, because copies have it and the sources may have another one when the next leader reads them.
    """

    rollout: Rollout
    progress: Progress = msgspec.field(default_factory=Progress)
    kept: LastGood | None = None


@dataclass(frozen=True, slots=True)
class StateDocument:
    """The decoded state by pull secret, and the reasons by key for undecodable values."""

    last_good: Mapping[str, LastGood] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    accepted: AcceptedConfiguration | None = None
    held: HeldRemovals | None = None
    rollouts: Mapping[str, StoredRollout] = field(default_factory=dict)
    other: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """The stored values of the keys that begin with an underscore."""
    is_read: bool = True
    """False if it must not be read, so that all of it is unknown."""


@dataclass(frozen=True, slots=True)
class StateUpdate:
    """Values to write by key, None for a key to remove. The pull secrets in ``left_out`` do not fit."""

    values: Mapping[str, bytes | None] = field(repr=False)
    left_out: tuple[str, ...] = ()


class _Entry(msgspec.Struct, frozen=True):
    """The JSON of one last good content. The repr hides it."""

    version: int
    time: datetime
    sources: tuple[SourceVersion, ...]
    content: msgspec.Raw

    def __repr__(self) -> str:
        return "_Entry(…)"


class _RolloutEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    rollout: Rollout
    progress: Progress
    kept: _Entry | None = None


class _Rollouts(msgspec.Struct, frozen=True):
    version: int
    pull_secrets: dict[str, _RolloutEntry]


class _Versioned(msgspec.Struct, frozen=True):
    version: int


class _Undecodable(Exception):
    """The text is the reason."""


def encode(content: LastGood) -> bytes:
    """Return the value of one key."""
    return msgspec.json.encode(_entry(content))


def _entry(content: LastGood) -> _Entry:
    return _Entry(FORMAT_VERSION, content.time, content.sources, msgspec.Raw(content.payload))


def decode_document(data: Mapping[str, str]) -> StateDocument:
    """Return the state in the ``data`` of a Secret, which is base64 text.

    An unusable value is reported as a problem of its key.
    """
    last_good, other, problems = {}, {}, {}
    accepted = held = None
    rollouts: Mapping[str, StoredRollout] = {}
    for key, value in data.items():
        try:
            if not is_reserved(key):
                last_good[key] = _decode(value)
                continue
            other[key] = _decode_base64(value)
            if key == CONFIGURATION_KEY:
                accepted = _decode_json(other[key], AcceptedConfiguration)
            elif key == HELD_KEY:
                held = _decode_json(other[key], HeldRemovals)
            elif key == ROLLOUTS_KEY:
                rollouts = _decode_rollouts(other[key])
        except _Undecodable as error:
            problems[key] = str(error)
    return StateDocument(last_good, problems, accepted, held, rollouts, other)


def encode_accepted(configuration: Configuration, past: Sequence[PastRemoval]) -> bytes | None:
    """Return the value with the configuration in force; None if it is too large to store."""
    value = AcceptedConfiguration(FORMAT_VERSION, configuration, tuple(past))
    encoded = msgspec.json.encode(value, order="deterministic")
    return encoded if len(encoded) <= LARGEST_CONFIGURATION else None


def encode_held(configuration_digest: str, copies: int, total: int) -> bytes:
    """Return the value with the held removals."""
    return msgspec.json.encode(HeldRemovals(FORMAT_VERSION, configuration_digest, copies, total))


def encode_rollouts(rollouts: Mapping[str, StoredRollout]) -> bytes | None:
    """Return the value with the rollouts; None if there are none. Small contents are kept first."""
    if not rollouts:
        return None
    entries = {name: _RolloutEntry(stored.rollout, stored.progress) for name, stored in rollouts.items()}
    room = LARGEST_ROLLOUTS
    kept = [(len(stored.kept.payload), name, stored.kept) for name, stored in rollouts.items() if stored.kept]
    for size, name, content in sorted(kept, key=lambda item: item[:2]):
        if size <= room:
            room -= size
            entries[name] = msgspec.structs.replace(entries[name], kept=_entry(content))
    return msgspec.json.encode(_Rollouts(FORMAT_VERSION, entries), order="deterministic")


def decode_rollouts(value: bytes | None) -> Mapping[str, StoredRollout]:
    """Return the rollouts in a stored value; none if it is absent or was not written by this release."""
    try:
        return {} if value is None else _decode_rollouts(value)
    except _Undecodable:
        return {}


def _decode_rollouts(value: bytes) -> Mapping[str, StoredRollout]:
    entries = _decode_json(value, _Rollouts).pull_secrets
    return {
        name: StoredRollout(entry.rollout, entry.progress, None if entry.kept is None else _last_good(entry.kept))
        for name, entry in entries.items()
    }


def is_reserved(key: str) -> bool:
    """Return whether a key has other state than the content of a pull secret."""
    return key.startswith("_")


def update(
    stored: StateDocument, contents: Mapping[str, LastGood], other: Mapping[str, bytes | None] | None = None
) -> StateUpdate:
    """Return the values to write so that the ``contents`` are stored, as many as fit.

    ``other`` are values of keys that begin with an underscore. They are stored first; None removes one. A content that
    is already stored is not written again for a new version or time. Small ones come first, so that as many as possible
    are kept.
    """
    other = {**stored.other, **(other or {})}
    broken = [key for key in stored.problems if not is_reserved(key)]
    values: dict[str, bytes | None] = dict.fromkeys((*stored.last_good, *broken))
    values |= {key: value for key, value in other.items() if value != stored.other.get(key)}
    left_out, room = [], LARGEST_STATE - sum(len(value or b"") for value in other.values())
    encoded = {name: encode(_unchanged(stored.last_good.get(name), content)) for name, content in contents.items()}
    for name in sorted(encoded, key=lambda name: (len(encoded[name]), name)):
        if len(encoded[name]) > room:
            left_out.append(name)
            continue
        room -= len(encoded[name])
        if name in stored.last_good and contents[name].is_same(stored.last_good[name]):
            del values[name]
        else:
            values[name] = encoded[name]
    return StateUpdate(values, tuple(sorted(left_out)))


def _unchanged(stored: LastGood | None, content: LastGood) -> LastGood:
    return stored if stored is not None and content.is_same(stored) else content


def _decode(value: str) -> LastGood:
    return _last_good(_decode_json(_decode_base64(value), _Entry))


def _last_good(entry: _Entry) -> LastGood:
    payload = bytes(entry.content)
    if not _is_canonical(payload):
        raise _Undecodable("its content was not made by this release")
    return LastGood(payload, entry.sources, entry.time.astimezone(UTC))


def _decode_base64(value: str) -> bytes:
    content = decode_base64(value)
    if content is None:
        raise _Undecodable("it is not base64")
    return content


def _decode_json(content: bytes, shape: type[_Shape]) -> _Shape:
    try:
        version = msgspec.json.decode(content, type=_Versioned).version
        if version != FORMAT_VERSION:
            raise _Undecodable(f"its format version is {version}, but this release reads version {FORMAT_VERSION}")
        return msgspec.json.decode(content, type=shape)
    except NOT_DECODED:
        raise _Undecodable("the document was not written by this release") from None


def _is_canonical(payload: bytes) -> bool:
    try:
        credentials = parse_source("", COPY_TYPE, {COPY_KEY: b64encode(payload).decode()}, {})
        return render(credentials) == payload
    except SourceInvalid:
        return False


def described(keys: Sequence[str], problems: Mapping[str, str]) -> str:
    """Return the problems of some keys in words."""
    return "; ".join(f"{key}: {problems[key]}" for key in keys)
