"""Read a Subject from a Pod or ServiceAccount in the API's JSON form.

Only the fields that a decision reads are named here; a newer Kubernetes may add others freely. Null means absent, as in
the API server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from webhook.rules.gates import MIRROR_ANNOTATION
from webhook.rules.objects import Subject
from webhook.rules.references import LocalObjectReference, references_of

if TYPE_CHECKING:
    from collections.abc import Mapping


# Other annotations are skipped without a decoded copy of them. UNSET and null differ, because null is a value.
class _Annotations(msgspec.Struct, gc=False):
    mirror: str | msgspec.UnsetType | None = msgspec.field(name=MIRROR_ANNOTATION, default=msgspec.UNSET)


class _Metadata(msgspec.Struct, rename="camel", gc=False):
    name: str | None = None
    generate_name: str | None = None
    labels: dict[str, str] | None = None
    annotations: _Annotations | None = None


class _Container(msgspec.Struct, gc=False):
    image: str | None = None


# Image volumes (KEP-4639) are pulled with the same credentials as containers.
class _ImageVolume(msgspec.Struct, gc=False):
    reference: str | None = None


class _Volume(msgspec.Struct, gc=False):
    image: _ImageVolume | None = None


class _PodSpec(msgspec.Struct, rename="camel", gc=False):
    service_account_name: str | None = None
    service_account: str | None = None
    image_pull_secrets: list[LocalObjectReference | None] | None = None
    containers: list[_Container | None] | None = None
    init_containers: list[_Container | None] | None = None
    ephemeral_containers: list[_Container | None] | None = None
    volumes: list[_Volume | None] | None = None

    def images(self) -> tuple[str, ...]:
        lists = (self.containers, self.init_containers, self.ephemeral_containers)
        images = [item.image for containers in lists if containers for item in containers if item and item.image]
        if self.volumes:
            images += [item.image.reference for item in self.volumes if item and item.image and item.image.reference]
        return tuple(images)


_NULL = msgspec.Raw(b"null")

Item = TypeVar("Item")


def _decode(text: msgspec.Raw, kind: type[Item]) -> Item | None:
    return msgspec.json.decode(text, type=kind | None)


def _decode_list(text: msgspec.Raw, kind: type[Item]) -> list[Item | None] | None:
    return msgspec.json.decode(text, type=list[kind | None] | None)  # type: ignore[valid-type]


class _LargeMetadata(msgspec.Struct, gc=False):
    labels: msgspec.Raw = _NULL


class _LargePodSpec(msgspec.Struct, rename="camel", gc=False):
    service_account_name: str | None = None
    service_account: str | None = None
    image_pull_secrets: msgspec.Raw = _NULL
    containers: msgspec.Raw = _NULL
    init_containers: msgspec.Raw = _NULL
    ephemeral_containers: msgspec.Raw = _NULL
    volumes: msgspec.Raw = _NULL

    def decoded(self) -> _PodSpec:
        return _PodSpec(
            service_account_name=self.service_account_name,
            service_account=self.service_account,
            image_pull_secrets=_decode_list(self.image_pull_secrets, LocalObjectReference),
            containers=_decode_list(self.containers, _Container),
            init_containers=_decode_list(self.init_containers, _Container),
            ephemeral_containers=_decode_list(self.ephemeral_containers, _Container),
            volumes=_decode_list(self.volumes, _Volume),
        )


class AdmittedObject(msgspec.Struct, rename="camel", gc=False):
    """The fields of a Pod or a ServiceAccount that a decision reads."""

    kind: str | None = None
    metadata: _Metadata | None = None
    spec: _PodSpec | None = None
    image_pull_secrets: list[LocalObjectReference | None] | None = None

    def as_pod(self, namespace: str) -> Subject | None:
        """Return the Subject of a Pod, or None without a ``spec``, because then references have no place."""
        if self.spec is None:
            return None
        metadata = self.metadata or _Metadata()
        return Subject(
            kind="Pod",
            name=metadata.name or "",
            namespace=namespace,
            labels=metadata.labels or {},
            annotations=_decisive_annotations(metadata.annotations),
            references=references_of(self.spec.image_pull_secrets),
            # The deprecated alias counts if the name is empty, as in the API server: pkg/apis/core/v1/conversion.go.
            service_account=self.spec.service_account_name or self.spec.service_account or "",
            images=self.spec.images(),
            generate_name=metadata.generate_name or "",
        )

    def as_service_account(self, namespace: str) -> Subject:
        """Return the Subject of a ServiceAccount."""
        metadata = self.metadata or _Metadata()
        return Subject(
            kind="ServiceAccount",
            name=metadata.name or "",
            namespace=namespace,
            labels=metadata.labels or {},
            annotations={},
            references=references_of(self.image_pull_secrets),
            generate_name=metadata.generate_name or "",
        )


MAX_ENTRIES = 100_000
"""Entries of all lists and maps that a decision reads of one object. This leaves room for the 70,000 references that
fit into etcd, and bounds the cost of a hostile review.
"""


class LargeObject(msgspec.Struct, rename="camel", gc=False):
    """The same fields in their wire format, so that they are counted before they are decoded."""

    kind: str | None = None
    metadata: msgspec.Raw = _NULL
    spec: _LargePodSpec | None = None
    image_pull_secrets: msgspec.Raw = _NULL

    def decoded(self) -> AdmittedObject:
        """Return the object. Raises ValidationError if a type is wrong, or the fields have too many entries."""
        metadata = msgspec.json.decode(self.metadata, type=_LargeMetadata | None) or _LargeMetadata()
        spec = self.spec or _LargePodSpec()
        lists = (spec.containers, spec.init_containers, spec.ephemeral_containers, spec.volumes)
        # Annotations are not counted, because at most one of them is decoded.
        texts = (metadata.labels, self.image_pull_secrets, spec.image_pull_secrets, *lists)
        # Entries are separated by commas. Commas elsewhere only make the bound stricter.
        if sum(bytes(text).count(b",") for text in texts) > MAX_ENTRIES:
            raise msgspec.ValidationError("too many entries")
        return AdmittedObject(
            kind=self.kind,
            metadata=_decode(self.metadata, _Metadata),
            spec=None if self.spec is None else self.spec.decoded(),
            image_pull_secrets=_decode_list(self.image_pull_secrets, LocalObjectReference),
        )


def _decisive_annotations(annotations: _Annotations | None) -> dict[str, str]:
    if annotations is None or annotations.mirror is msgspec.UNSET:
        return {}
    return {MIRROR_ANNOTATION: annotations.mirror or ""}


def pod_subject(obj: Mapping[str, object], namespace: str) -> Subject | None:
    """Return the Subject of a Pod in parsed JSON; None when a relevant field has a wrong type."""
    admitted = _convert(obj)
    return None if admitted is None else admitted.as_pod(namespace)


def service_account_subject(obj: Mapping[str, object], namespace: str) -> Subject | None:
    """Return the Subject of a ServiceAccount in parsed JSON; None when a relevant field has a wrong type."""
    # A ServiceAccount has no spec, so one with a wrong type must not make it unreadable.
    admitted = _convert({key: value for key, value in obj.items() if key != "spec"})
    return None if admitted is None else admitted.as_service_account(namespace)


def _convert(obj: Mapping[str, object]) -> AdmittedObject | None:
    try:
        return msgspec.convert(obj, AdmittedObject)
    except msgspec.ValidationError:
        return None
