"""Reading a Subject from a Pod or ServiceAccount in the API's JSON form.

Only the fields that a decision reads are named here; a newer Kubernetes may add others freely. Null means absent, as it
does to the API server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from webhook.core.inject import MIRROR_ANNOTATION, LocalObjectReference, Subject, references_of

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Annotations(msgspec.Struct, gc=False):
    mirror: str | msgspec.UnsetType | None = msgspec.field(name=MIRROR_ANNOTATION, default=msgspec.UNSET)


class _Metadata(msgspec.Struct, rename="camel", gc=False):
    name: str | None = None
    generate_name: str | None = None
    labels: dict[str, str] | None = None
    annotations: _Annotations | None = None


class _Container(msgspec.Struct, gc=False):
    image: str | None = None


class _ImageVolume(msgspec.Struct, gc=False):
    reference: str | None = None


class _Volume(msgspec.Struct, gc=False):
    image: _ImageVolume | None = None


class _PodSpec(msgspec.Struct, rename="camel", gc=False):
    service_account_name: str | None = None
    image_pull_secrets: list[LocalObjectReference | None] | None = None
    containers: list[_Container | None] | None = None
    init_containers: list[_Container | None] | None = None
    ephemeral_containers: list[_Container | None] | None = None
    volumes: list[_Volume | None] | None = None

    def images(self) -> tuple[str, ...]:
        lists = (self.containers, self.init_containers, self.ephemeral_containers)
        found = [each.image for containers in lists if containers for each in containers if each and each.image]
        if self.volumes:
            found += [each.image.reference for each in self.volumes if each and each.image and each.image.reference]
        return tuple(found)


class AdmittedObject(msgspec.Struct, rename="camel", gc=False):
    """A Pod or a ServiceAccount, whichever it turns out to be: the fields that a decision reads."""

    kind: str | None = None
    metadata: _Metadata | None = None
    spec: _PodSpec | None = None
    image_pull_secrets: list[LocalObjectReference | None] | None = None

    def as_pod(self, namespace: str) -> Subject | None:
        """Return the Subject of a Pod, or None when it has no ``spec``: then there is no place for a reference."""
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
            service_account=self.spec.service_account_name or "",
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


def _decisive_annotations(annotations: _Annotations | None) -> dict[str, str]:
    if annotations is None or annotations.mirror is msgspec.UNSET:
        return {}
    return {MIRROR_ANNOTATION: annotations.mirror or ""}


def pod_subject(obj: Mapping[str, object], namespace: str) -> Subject | None:
    """Return the Subject of a Pod in parsed JSON; None when a field that decides has a wrong type."""
    admitted = _convert(obj)
    return None if admitted is None else admitted.as_pod(namespace)


def service_account_subject(obj: Mapping[str, object], namespace: str) -> Subject | None:
    """Return the Subject of a ServiceAccount in parsed JSON; None when a field that decides has a wrong type."""
    admitted = _convert({key: value for key, value in obj.items() if key != "spec"})
    return None if admitted is None else admitted.as_service_account(namespace)


def _convert(obj: Mapping[str, object]) -> AdmittedObject | None:
    try:
        return msgspec.convert(obj, AdmittedObject)
    except msgspec.ValidationError:
        return None
