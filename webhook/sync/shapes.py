"""Decode Secrets into the values that the controller keeps of them."""

from __future__ import annotations

from base64 import b64decode
from itertools import islice
from sys import intern
from typing import TYPE_CHECKING

import msgspec

from webhook.kube.wire import WrittenMeta, decoder
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE, content_hash
from webhook.rules.objects import Copy
from webhook.rules.ownership import Mark, mark_of
from webhook.rules.versions import LONGEST_SOURCES, SOURCES_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.sync.release import Release


MAX_FINALIZERS, FINALIZER_LENGTH = 3, 100
"""Finalizers that are kept, and characters of each. A tenant can add as many as fit into an object."""

OF_THE_GARBAGE_COLLECTOR = frozenset({"foregroundDeletion", "orphan"})
"""They disappear by themselves. Source: k8s.io/apimachinery, pkg/apis/meta/v1/types.go."""


class SecretObject(msgspec.Struct, frozen=True):
    """A core/v1 Secret; ``data`` is base64 text. Never shown."""

    metadata: WrittenMeta
    type: str = ""
    data: dict[str, str] | None = None
    immutable: bool | None = None

    def __repr__(self) -> str:
        return f"SecretObject({self.metadata.namespace}/{self.metadata.name})"


decode_secret: Callable[[bytes], SecretObject] = decoder(SecretObject)


def to_copy(obj: SecretObject, release: Release) -> Copy:
    """Return the part of a Secret with a copy's name that the plan reads: a hash instead of its content."""
    metadata = obj.metadata
    mark = mark_of(metadata.labels or {}, metadata.managed_fields, release.name, release.namespace)
    if mark is not None:
        # The same string as in the namespaces' cache.
        mark = Mark(intern(mark.namespace_uid), mark.written)
    return Copy(
        namespace=intern(metadata.namespace),
        name=intern(metadata.name),
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        mark=mark,
        # The content of a foreign Secret does not concern us, not even as a hash.
        content_hash=intern(_hash(obj.data)) if mark is not None else "",
        # The API server does not bound the length of a Secret's type, so only our own type is kept.
        type=COPY_TYPE if obj.type == COPY_TYPE else "",
        immutable=obj.immutable is True,
        terminating=metadata.deletion_timestamp is not None,
        finalizers=_kept_by(metadata),
        sources=_sources_of(metadata) if mark is not None and metadata.annotations else "",
    )


def _kept_by(metadata: WrittenMeta) -> tuple[str, ...]:
    """Return the first finalizers of other parties that keep a deleted object; each is cut to size."""
    if metadata.deletion_timestamp is None:
        return ()
    others = (name for name in metadata.finalizers if name not in OF_THE_GARBAGE_COLLECTOR)
    # Bounded, because a tenant chooses number and length of the finalizers, and each cached copy would keep them.
    return tuple(name[:FINALIZER_LENGTH] for name in islice(others, MAX_FINALIZERS))


def _sources_of(metadata: WrittenMeta) -> str:
    """Return the annotation with the versions of the sources; the copies of one pull secret share the text."""
    text = (metadata.annotations or {}).get(SOURCES_ANNOTATION, "")
    return intern(text) if len(text) <= LONGEST_SOURCES else ""


def _hash(data: dict[str, str] | None) -> str:
    # The API server only ever returns valid base64.
    return content_hash(b64decode((data or {}).get(COPY_KEY, "")))
