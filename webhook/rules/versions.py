"""Compare the versions of objects, and name the versions of a configuration and of sources.

The leader notes the revision of its configuration on its Lease. A candidate compares it with the ConfigMap that it
reads. An older version of the same ConfigMap comes from an API server that is behind.

Each copy names the versions of the sources that it was made from. A process that has only older versions is behind.

Source: KEP-5504 (resourceVersions of one resource are decimal numbers that grow with each write).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable


def is_older(candidate: str, other: str) -> bool:
    """Return whether a resourceVersion is older than another one; False if one of them is not a number."""
    if not (candidate.isdecimal() and other.isdecimal()):
        return False
    # int() refuses more than 4,300 digits, and an annotation can have them. The API server writes no leading zeros.
    return (len(candidate), candidate) < (len(other), other)


REVISION_ANNOTATION = "pullsecrets.webhook/configuration"
"""On the Lease: the revision of the leader's configuration."""

SOURCES_ANNOTATION = "pullsecrets.webhook/sources"
"""On a copy: the versions of the sources that it was made from."""

LONGEST_SOURCES = 4096
"""Characters of that annotation. A tenant can write more into it, and a copy of very many sources has none."""

_PARTS = 3
_MOST_DIGITS = 20
"""Of a resourceVersion, an unsigned 64-bit number."""


class Revision(msgspec.Struct, frozen=True):
    """One version of the ConfigMap: its UID and resourceVersion, and the digest of its document."""

    uid: str
    resource_version: str
    digest: str

    def __str__(self) -> str:
        """Return the value of the annotation."""
        return f"{self.uid}/{self.resource_version}/{self.digest}"

    def is_older_than(self, other: Revision | None) -> bool:
        """Return whether this is an older version of the same object; a recreated ConfigMap is another object."""
        return other is not None and self.uid == other.uid and is_older(self.resource_version, other.resource_version)


def parse_revision(text: str) -> Revision | None:
    """Return the revision in an annotation; None if it is missing or malformed."""
    parts = text.split("/")
    return Revision(*parts) if len(parts) == _PARTS and all(parts) else None


class SourceVersion(msgspec.Struct, frozen=True, rename="camel"):
    """One version of a source Secret."""

    name: str
    uid: str
    resource_version: str

    def __str__(self) -> str:
        """Return its part of the annotation."""
        return f"{self.name}/{self.uid}/{self.resource_version}"


def encode_sources(versions: Iterable[SourceVersion]) -> str:
    """Return the value of the annotation, in the order of the sources; empty if it would be too long."""
    text = ",".join(map(str, versions))
    # A cut text would name wrong versions. Without any, the copy counts as one of unknown sources.
    return text if len(text) <= LONGEST_SOURCES else ""


def decode_sources(text: str) -> tuple[SourceVersion, ...]:
    """Return the versions in an annotation; empty if it is missing or malformed, so that they are unknown."""
    if not text or len(text) > LONGEST_SOURCES:
        return ()
    entries = [entry.split("/") for entry in text.split(",")]
    return tuple(SourceVersion(*entry) for entry in entries) if all(map(_is_version, entries)) else ()


def newer_sources(
    versions: Iterable[SourceVersion], known_versions: Iterable[SourceVersion]
) -> tuple[SourceVersion, ...]:
    """Return the versions that are newer than the ``known_versions`` of the same sources.

    It is empty if another one of them is older. Then neither side is provably behind. UIDs are not compared: a
    recreated source has a higher resourceVersion than its predecessor.
    """
    by_name = {version.name: version.resource_version for version in known_versions}
    pairs = [(version, by_name.get(version.name, "")) for version in versions]
    # Each side then has something newer, for example after a restore of etcd.
    if any(is_older(version.resource_version, ours) for version, ours in pairs):
        return ()
    return tuple(version for version, ours in pairs if is_older(ours, version.resource_version))


class Confirmation(msgspec.Struct, frozen=True):
    """A read of a source by name returned ``version``, while a copy named the ``newer`` resourceVersion.

    So etcd was restored, or the annotation of the copy was edited. The read wins.
    """

    version: SourceVersion
    newer: str

    def covers(self, version: SourceVersion, newer: str) -> bool:
        """Return whether no other read is needed because of a copy that names a ``newer`` resourceVersion."""
        return self.version == version and not is_older(self.newer, newer)


def _is_version(parts: list[str]) -> bool:
    if len(parts) != _PARTS or not all(parts):
        return False
    number = parts[2]
    # A tenant can write the annotation, and int() raises for more than 4,300 digits.
    return number.isascii() and number.isdecimal() and len(number) <= _MOST_DIGITS
