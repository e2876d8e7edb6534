"""Read Namespaces, ServiceAccounts, Pods and the Pod templates of workloads from manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from webhook.rules.objects import Namespace, declined_names
from webhook.rules.subject import pod_subject, service_account_subject

if TYPE_CHECKING:
    from collections.abc import Iterable

    from webhook.report.preview.manifest import Manifest
    from webhook.rules.objects import Subject

_TEMPLATES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("apps", "Deployment"): ("spec", "template"),
    ("apps", "StatefulSet"): ("spec", "template"),
    ("apps", "DaemonSet"): ("spec", "template"),
    ("apps", "ReplicaSet"): ("spec", "template"),
    ("", "ReplicationController"): ("spec", "template"),
    ("batch", "Job"): ("spec", "template"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
    ("", "PodTemplate"): ("template",),
    ("serving.knative.dev", "Service"): ("spec", "template"),
    ("serving.knative.dev", "Configuration"): ("spec", "template"),
    ("serving.knative.dev", "Revision"): (),
    ("argoproj.io", "Rollout"): ("spec", "template"),
}
"""The path of the Pod template in each kind of workload; a Revision is a template itself."""

_BUILT_IN = ("", "apps", "batch")
"""Groups whose kinds always have a template."""

_USUAL = ("spec", "template")


class _Metadata(msgspec.Struct, rename="camel"):
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    deletion_timestamp: str | None = None
    uid: str | None = None


class _Namespace(msgspec.Struct):
    metadata: _Metadata


def is_workload(manifest: Manifest) -> bool:
    """Return whether this makes Pods from a template. A Rollout with a ``workloadRef`` does not."""
    path = _TEMPLATES.get((manifest.group, manifest.kind))
    if path is None:
        return has_unknown_kind(manifest)
    return manifest.group in _BUILT_IN or isinstance(_at(manifest.body, (*path, "spec")), Mapping)


def has_unknown_kind(manifest: Manifest) -> bool:
    """Return whether this has a Pod template at the usual path, but an unknown kind."""
    is_known = (manifest.group, manifest.kind) in _TEMPLATES
    return not is_known and isinstance(_at(manifest.body, (*_USUAL, "spec", "containers")), list)


def is_subject(manifest: Manifest) -> bool:
    """Return whether this is a Pod, a ServiceAccount or a workload."""
    return manifest.is_core("Pod") or manifest.is_core("ServiceAccount") or is_workload(manifest)


def read_namespace(manifest: Manifest) -> Namespace | None:
    """Return a Namespace as decisions read it; None when a relevant field has a wrong type."""
    try:
        metadata = msgspec.convert(manifest.body, _Namespace).metadata
    except msgspec.ValidationError:
        return None
    terminating, declined = metadata.deletion_timestamp is not None, declined_names(metadata.annotations or {})
    return Namespace(manifest.name, metadata.labels or {}, terminating, declined, metadata.uid or "")


def read_annotations(manifest: Manifest) -> Mapping[str, str]:
    """Return the annotations of an object; empty when they are unreadable."""
    try:
        return msgspec.convert(manifest.body, _Namespace).metadata.annotations or {}
    except msgspec.ValidationError:
        return {}


def read_subject(manifest: Manifest) -> Subject | None:
    """Return the subject of a decision, for a workload one of its Pods; None when it is unreadable."""
    if manifest.is_core("ServiceAccount"):
        return service_account_subject(manifest.body, manifest.namespace)
    if manifest.is_core("Pod"):
        return pod_subject(manifest.body, manifest.namespace)
    template = _at(manifest.body, _TEMPLATES.get((manifest.group, manifest.kind), _USUAL))
    subject = pod_subject(template, manifest.namespace) if isinstance(template, Mapping) else None
    return None if subject is None else msgspec.structs.replace(subject, name=manifest.name)


def _at(body: object, path: Iterable[str]) -> object:
    for field in path:
        body = body.get(field) if isinstance(body, Mapping) else None
    return body
