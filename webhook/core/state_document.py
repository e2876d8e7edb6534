"""Encode what the controller has to remember as the data of one Secret, and decode it again.

The Secret has one key for each pull secret. Its value is the last good content, with the time and the source versions
that it was made of. A key that begins with an underscore is not the name of a pull secret: ``_configuration`` holds the
configuration that is in force, and ``_held`` what :mod:`webhook.core.brake` holds back. Each value is a JSON document
with a format version of its own.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import msgspec

from webhook.core.brake import PastRemoval  # noqa: TC001 - msgspec evaluates the annotation
from webhook.core.credential import decode_base64
from webhook.core.dockerconfig import COPY_KEY, COPY_TYPE, parse_source, render
from webhook.core.model import Configuration  # noqa: TC001 - msgspec evaluates the annotation
from webhook.core.versions import is_older
from webhook.errors import SourceInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook.core.state import Copy

_Shape = TypeVar("_Shape")

STATE_TYPE = "Opaque"
STATE_SUFFIX = "-state"
"""Follows the full name of a release in the name of the Secret."""

FORMAT_VERSION = 1

LARGEST_STATE = 1_040_000
"""Bytes of all values together. The API server allows 1,048,576."""

LARGEST_CONFIGURATION = 500_000
"""Bytes. A larger one is not stored, so that contents have room."""

CONFIGURATION_KEY = "_configuration"
HELD_KEY = "_held"


class SourceVersion(msgspec.Struct, frozen=True, rename="camel"):
    """One version of a source Secret."""

    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class LastGood:
    """The last good content of a pull secret, the sources it was made of in their order, and when it was first seen."""

    payload: bytes = field(repr=False)
    sources: tuple[SourceVersion, ...]
    time: datetime

    @property
    def source_names(self) -> tuple[str, ...]:
        """The names of its sources. A content is good only for a pull secret that has the same ones."""
        return tuple(source.name for source in self.sources)

    def is_same(self, other: LastGood) -> bool:
        """Whether both are the same content of the same sources, whatever their versions and times."""
        return (self.source_names, self.payload) == (other.source_names, other.payload)

    def is_later(self, other: LastGood) -> bool:
        """Whether it was made of a later version of some source than another content of the same sources."""
        return any(
            is_older(theirs.resource_version, ours.resource_version)
            for ours, theirs in zip(self.sources, other.sources, strict=False)
        )

    def is_due(self, copy: Copy | None, content_hash: str) -> bool:
        """Whether a copy must hold this content, which has the given hash, while a source cannot be used.

        A copy that is missing must, and one that was last written before a source got the version that this content was
        made of. Both are Secrets, so their resourceVersions can be compared. A copy that was written later may hold a
        newer content that was never stored, so it stays as it is.
        """
        if copy is None or copy.content_hash == content_hash:
            return True
        return any(is_older(copy.resource_version, source.resource_version) for source in self.sources)


class AcceptedConfiguration(msgspec.Struct, frozen=True):
    """The configuration in force, and what its predecessors have removed a short time ago."""

    version: int
    configuration: Configuration
    past: tuple[PastRemoval, ...] = ()


class HeldRemovals(msgspec.Struct, frozen=True):
    """What is held back: the digest of a configuration, and how many of all copies it would remove."""

    version: int
    digest: str
    copies: int
    total: int


@dataclass(frozen=True, slots=True)
class StateDocument:
    """The state as it is stored: what could be decoded by pull secret, and by key why something could not."""

    last_good: Mapping[str, LastGood] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    accepted: AcceptedConfiguration | None = None
    held: HeldRemovals | None = None
    other: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """The values of the keys that begin with an underscore, as they are stored."""


@dataclass(frozen=True, slots=True)
class StateUpdate:
    """Values to write by key, None for a key to remove; there is no room for the pull secrets ``left_out``."""

    values: Mapping[str, bytes | None] = field(repr=False)
    left_out: tuple[str, ...] = ()


class _Entry(msgspec.Struct, frozen=True):
    """The JSON of one last good content. Never shown."""

    version: int
    time: datetime
    sources: tuple[SourceVersion, ...]
    content: msgspec.Raw

    def __repr__(self) -> str:
        return "_Entry(…)"


class _Versioned(msgspec.Struct, frozen=True):
    version: int


class _Undecodable(Exception):
    """The text says why."""


def encode(content: LastGood) -> bytes:
    """Return the value of one key."""
    return msgspec.json.encode(_Entry(FORMAT_VERSION, content.time, content.sources, msgspec.Raw(content.payload)))


def decode_document(data: Mapping[str, str]) -> StateDocument:
    """Return the state in the ``data`` of a Secret, which is base64 text.

    A value that cannot be used is a problem of its key.
    """
    last_good, other, problems = {}, {}, {}
    accepted = held = None
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
        except _Undecodable as error:
            problems[key] = str(error)
    return StateDocument(last_good, problems, accepted, held, other)


def encode_accepted(configuration: Configuration, past: Sequence[PastRemoval]) -> bytes | None:
    """Return the value that says which configuration is in force; None for one that is too large to be stored."""
    value = AcceptedConfiguration(FORMAT_VERSION, configuration, tuple(past))
    encoded = msgspec.json.encode(value, order="deterministic")
    return encoded if len(encoded) <= LARGEST_CONFIGURATION else None


def encode_held(configuration_digest: str, copies: int, total: int) -> bytes:
    """Return the value that says what is held back."""
    return msgspec.json.encode(HeldRemovals(FORMAT_VERSION, configuration_digest, copies, total))


def is_reserved(key: str) -> bool:
    """Whether a key holds other state than the content of a pull secret."""
    return key.startswith("_")


def update(
    stored: StateDocument, wanted: Mapping[str, LastGood], other: Mapping[str, bytes | None] | None = None
) -> StateUpdate:
    """Return what to write so that the ``wanted`` contents are stored, as many of them as there is room for.

    ``other`` are values of keys that begin with an underscore. They are stored first; None removes one.
    A content that is stored already is not written again because of a new version or time. Small ones come first, so
    that as many as possible are kept.
    """
    other = {**stored.other, **(other or {})}
    broken = [key for key in stored.problems if not is_reserved(key)]
    values: dict[str, bytes | None] = dict.fromkeys((*stored.last_good, *broken))
    values |= {key: value for key, value in other.items() if value != stored.other.get(key)}
    left_out, room = [], LARGEST_STATE - sum(len(value or b"") for value in other.values())
    encoded = {name: encode(_unchanged(stored.last_good.get(name), content)) for name, content in wanted.items()}
    for name in sorted(encoded, key=lambda name: (len(encoded[name]), name)):
        if len(encoded[name]) > room:
            left_out.append(name)
            continue
        room -= len(encoded[name])
        if name in stored.last_good and wanted[name].is_same(stored.last_good[name]):
            del values[name]
        else:
            values[name] = encoded[name]
    return StateUpdate(values, tuple(sorted(left_out)))


def _unchanged(stored: LastGood | None, wanted: LastGood) -> LastGood:
    return stored if stored is not None and wanted.is_same(stored) else wanted


def _decode(value: str) -> LastGood:
    entry = _decode_json(_decode_base64(value), _Entry)
    payload = bytes(entry.content)
    if not _is_canonical(payload):
        raise _Undecodable("its content is not one that this release has made")
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
            raise _Undecodable(f"its format has version {version}, and this release reads version {FORMAT_VERSION}")
        return msgspec.json.decode(content, type=shape)
    except (msgspec.MsgspecError, RecursionError):
        raise _Undecodable("it is not a document that this release has written") from None


def _is_canonical(payload: bytes) -> bool:
    try:
        credentials = parse_source("", COPY_TYPE, {COPY_KEY: b64encode(payload).decode()}, {})
        return render(credentials) == payload
    except SourceInvalid:
        return False


def described(keys: Sequence[str], problems: Mapping[str, str]) -> str:
    """Return in words what is wrong with some keys."""
    return "; ".join(f"{key}: {problems[key]}" for key in keys)
