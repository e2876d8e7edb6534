"""Reading Namespaces, ServiceAccounts, Pods and the Pods of workloads from manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from webhook.core.selection import Namespace, declined_names
from webhook.core.subject import pod_subject, service_account_subject

if TYPE_CHECKING:
    from webhook.core.inject import Subject
    from webhook.core.preview.manifest import Manifest

_TEMPLATES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("apps", "Deployment"): ("spec", "template"),
    ("apps", "StatefulSet"): ("spec", "template"),
    ("apps", "DaemonSet"): ("spec", "template"),
    ("apps", "ReplicaSet"): ("spec", "template"),
    ("", "ReplicationController"): ("spec", "template"),
    ("batch", "Job"): ("spec", "template"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
}
"""Where a workload has the template of its Pods."""


class _Metadata(msgspec.Struct, rename="camel"):
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    deletion_timestamp: str | None = None
    uid: str | None = None


class _Namespace(msgspec.Struct):
    metadata: _Metadata


def is_workload(manifest: Manifest) -> bool:
    """Whether this is a kind that makes Pods from a template."""
    return (manifest.group, manifest.kind) in _TEMPLATES


def is_subject(manifest: Manifest) -> bool:
    """Whether this is a Pod or a ServiceAccount, or something that makes Pods."""
    return manifest.is_core("Pod") or manifest.is_core("ServiceAccount") or is_workload(manifest)


def read_namespace(manifest: Manifest) -> Namespace | None:
    """Return what decisions read of a Namespace; None when a field that decides has a wrong type."""
    try:
        metadata = msgspec.convert(manifest.body, _Namespace).metadata
    except msgspec.ValidationError:
        return None
    terminating, declined = metadata.deletion_timestamp is not None, declined_names(metadata.annotations or {})
    return Namespace(manifest.name, metadata.labels or {}, terminating, declined, metadata.uid or "")


def read_annotations(manifest: Manifest) -> Mapping[str, str]:
    """Return the annotations of an object; none when they cannot be read."""
    try:
        return msgspec.convert(manifest.body, _Namespace).metadata.annotations or {}
    except msgspec.ValidationError:
        return {}


def read_subject(manifest: Manifest) -> Subject | None:
    """Return what is decided about, for a workload one of its Pods; None when it cannot be read."""
    if manifest.is_core("ServiceAccount"):
        return service_account_subject(manifest.body, manifest.namespace)
    if manifest.is_core("Pod"):
        return pod_subject(manifest.body, manifest.namespace)
    template: object = manifest.body
    for field in _TEMPLATES[manifest.group, manifest.kind]:
        template = template.get(field) if isinstance(template, Mapping) else None
    subject = pod_subject(template, manifest.namespace) if isinstance(template, Mapping) else None
    return None if subject is None else msgspec.structs.replace(subject, name=manifest.name)
