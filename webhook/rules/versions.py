"""Compare the versions of objects, and name the version of a configuration.

The leader notes the revision of its configuration on its Lease. A candidate compares it with the ConfigMap that it
reads. An older version of the same ConfigMap comes from an API server that is behind.

Source: KEP-5504 (resourceVersions of one resource are decimal numbers that grow with each write).
"""

from __future__ import annotations

from dataclasses import dataclass


def is_older(candidate: str, known: str) -> bool:
    """Return whether a resourceVersion is older than another one; False if one of them is not a number."""
    return candidate.isdecimal() and known.isdecimal() and int(candidate) < int(known)


REVISION_ANNOTATION = "pullsecrets.webhook/configuration"
"""On the Lease: the revision of the leader's configuration."""

_PARTS = 3


@dataclass(frozen=True, slots=True)
class Revision:
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
