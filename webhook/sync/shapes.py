"""What the loop decodes of the objects it watches, and the values it keeps of them."""

from __future__ import annotations

from base64 import b64decode
from sys import intern
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from webhook.core.backfill import enforces_references
from webhook.core.dockerconfig import COPY_KEY, content_hash
from webhook.core.inject import LocalObjectReference, references_of
from webhook.core.ownership import is_ours
from webhook.core.selection import Namespace, declined_names
from webhook.core.state import Copy, ServiceAccount
from webhook.kube.wire import ObjectMeta, decoder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from webhook.sync.release import Release


NO_LABELS: Mapping[str, str] = MappingProxyType({})
"""One for all. For the same reason names and hashes are interned below: a third of what the caches hold is repeated."""


class NamespaceObject(msgspec.Struct, frozen=True):
    """A core/v1 Namespace."""

    metadata: ObjectMeta


class ServiceAccountObject(msgspec.Struct, frozen=True, rename="camel"):
    """A core/v1 ServiceAccount."""

    metadata: ObjectMeta
    image_pull_secrets: list[LocalObjectReference | None] | None = None


class SecretObject(msgspec.Struct, frozen=True):
    """A core/v1 Secret; ``data`` is base64 text. Never shown."""

    metadata: ObjectMeta
    type: str = ""
    data: dict[str, str] | None = None
    immutable: bool | None = None

    def __repr__(self) -> str:
        return f"SecretObject({self.metadata.namespace}/{self.metadata.name})"


decode_secret: Callable[[bytes], SecretObject] = decoder(SecretObject)
decode_service_account: Callable[[bytes], ServiceAccountObject] = decoder(ServiceAccountObject)


def to_namespace(obj: NamespaceObject) -> Namespace:
    """Return what decisions read of a Namespace."""
    metadata = obj.metadata
    return Namespace(
        name=intern(metadata.name),
        labels=metadata.labels or NO_LABELS,
        terminating=metadata.deletion_timestamp is not None,
        declined=declined_names(metadata.annotations) if metadata.annotations else frozenset(),
    )


def to_service_account(obj: ServiceAccountObject) -> ServiceAccount:
    """Return what the plan reads of a ServiceAccount."""
    metadata = obj.metadata
    return ServiceAccount(
        namespace=intern(metadata.namespace),
        name=intern(metadata.name),
        resource_version=metadata.resource_version,
        labels=metadata.labels or NO_LABELS,
        references=references_of(obj.image_pull_secrets),
        terminating=metadata.deletion_timestamp is not None,
        enforces=enforces_references(metadata.annotations or {}),
    )


def to_copy(obj: SecretObject, release: Release) -> Copy:
    """Return what the plan reads of a Secret with a copy's name: a hash in place of its content."""
    metadata = obj.metadata
    ours = is_ours(metadata.labels or {}, release.name, release.namespace)
    return Copy(
        namespace=intern(metadata.namespace),
        name=intern(metadata.name),
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        ours=ours,
        # The content of a foreign Secret is none of our business, not even as a hash.
        content_hash=intern(_hash(obj.data)) if ours else "",
        type=intern(obj.type),
        immutable=obj.immutable is True,
        terminating=metadata.deletion_timestamp is not None,
    )


def _hash(data: dict[str, str] | None) -> str:
    # The API server only ever returns valid base64.
    return content_hash(b64decode((data or {}).get(COPY_KEY, "")))
