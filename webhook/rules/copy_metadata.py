"""Decide whether a copy has the labels and annotations that the configuration gives it (``copies``).

A copy carries the list of the keys that we set, in the annotation :data:`KEYS_ANNOTATION`. So the values that they have
can be compared without the configuration that was in force at the time, and a key that the configuration has lost is
known. Labels and annotations of other writers are not compared.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from sys import intern
from typing import TYPE_CHECKING

import msgspec

from webhook.rules.ownership import MANAGED_BY_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX = "pullsecrets.webhook/"
"""The prefix of our own labels and annotations."""

KEYS_ANNOTATION = f"{PREFIX}copy-metadata"
"""The configured keys of a copy: ``labels=team;annotations=a,b``."""

MOST_KEYS = 16
"""Of labels, and of annotations. With the longest names they fit into :data:`LONGEST_KEYS`."""

LONGEST_VALUE = 1024
"""Characters in the value of an annotation, because every copy has it."""

LONGEST_KEYS = 2 * MOST_KEYS * 320
"""Characters of the annotation that are read. A tenant can write a longer one, which no release does."""


class StoredMetadata(msgspec.Struct, frozen=True):
    """The configured keys that a copy names, and a digest of the values that these keys have in it."""

    keys: str = ""
    digest: str = ""


NOTHING_STORED = StoredMetadata()


class CopyMetadata(msgspec.Struct, frozen=True):
    """The configured labels and annotations of the copies of one pull secret, sorted by key."""

    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()

    @property
    def is_empty(self) -> bool:
        """Return whether none are configured."""
        return not self.labels and not self.annotations

    @property
    def stored(self) -> StoredMetadata:
        """Return what a copy has that is in line with the configuration."""
        return NOTHING_STORED if self.is_empty else _stored(self)

    @property
    def written_annotations(self) -> dict[str, str]:
        """Return the annotations to write, with the list of the keys."""
        return {} if self.is_empty else {**dict(self.annotations), KEYS_ANNOTATION: self.stored.keys}

    def dropped(self, stored: StoredMetadata) -> tuple[frozenset[str], frozenset[str]]:
        """Return the labels and the annotations that a copy names as ours, and that are not configured any more."""
        labels, annotations = _keys(stored.keys)
        return (
            frozenset(key for key in labels if not is_reserved(key)) - {key for key, _ in self.labels},
            frozenset(key for key in annotations if not is_reserved(key)) - {key for key, _ in self.annotations},
        )


NO_METADATA = CopyMetadata()


def is_reserved(key: str) -> bool:
    """Return whether a label or annotation is our own, so that it cannot be configured."""
    return key.startswith(PREFIX) or key == MANAGED_BY_LABEL


def stored_metadata(labels: Mapping[str, str], annotations: Mapping[str, str]) -> StoredMetadata:
    """Return the configured keys that a copy with these labels and annotations names, with a digest of their values."""
    keys = annotations.get(KEYS_ANNOTATION, "")
    if not keys or len(keys) > LONGEST_KEYS:
        return NOTHING_STORED
    of_labels, of_annotations = _keys(keys)
    # The same strings for all copies of a pull secret.
    return StoredMetadata(
        intern(keys), intern(_digest(_values(of_labels, labels), _values(of_annotations, annotations)))
    )


@lru_cache(maxsize=1024)
def _stored(metadata: CopyMetadata) -> StoredMetadata:
    labels, annotations = (",".join(key for key, _ in pairs) for pairs in (metadata.labels, metadata.annotations))
    keys = f"labels={labels};annotations={annotations}"
    return StoredMetadata(intern(keys), intern(_digest(metadata.labels, metadata.annotations)))


def _keys(text: str) -> tuple[list[str], list[str]]:
    """Return the keys of labels and of annotations in the text of the annotation."""
    labels, _, annotations = text.removeprefix("labels=").partition(";annotations=")
    return list(filter(None, labels.split(","))), list(filter(None, annotations.split(",")))


def _values(keys: Iterable[str], values: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(key, values[key]) for key in keys if key in values]


def _digest(labels: Iterable[tuple[str, str]], annotations: Iterable[tuple[str, str]]) -> str:
    return hashlib.sha256(repr((list(labels), list(annotations))).encode("utf-8", "surrogatepass")).hexdigest()[:16]
