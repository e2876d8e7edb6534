"""Read the Pods that run: the workload of each, its images, and the Secrets that it references, each once."""

from __future__ import annotations

from datetime import UTC, datetime  # msgspec evaluates the annotation
from typing import TYPE_CHECKING

import msgspec

from webhook.errors import Forbidden, UsageError
from webhook.inspect.namespaces import list_namespaces, refuse_absent
from webhook.inspect.reader import lacking
from webhook.inspect.secrets import read_sources
from webhook.kube.objects import decode_secret
from webhook.kube.resources import PODS, SECRETS, Collection
from webhook.kube.wire import decoder
from webhook.report.coverage import Coverage, Workload, exposures, registries_for, registries_of
from webhook.rules.names import problem_of_subdomain
from webhook.rules.subject import AdmittedObject

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.inspect.reader import Reader
    from webhook.inspect.release import Installed

RUNNING = {"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"}
"""Pods that may still pull an image."""

TEMPLATE_HASH = "pod-template-hash"
"""The label that links ReplicaSets to their Deployment; its value is the last part of their names."""


LONGEST_JOB_SECONDS = 7 * 24 * 3600.0
"""A Job of a CronJob has the scheduled minute at the end of its name; its Pods begin within this time.

Source: k8s.io/kubernetes v1.37, pkg/controller/cronjob/utils.go (getJobName).
"""


class _Owner(msgspec.Struct, frozen=True):
    kind: str
    name: str
    controller: bool = False


class OwnedMetadata(msgspec.Struct, frozen=True, rename="camel"):
    """The metadata of a Pod, with its owners."""

    name: str
    namespace: str
    labels: dict[str, str] | None = None
    owner_references: tuple[_Owner, ...] = ()
    creation_timestamp: datetime | None = None

    @property
    def is_controlled(self) -> bool:
        """True if a controller replaces the Pod, such as a ReplicaSet."""
        return any(owner.controller for owner in self.owner_references)

    @property
    def workload(self) -> str:
        """The Pod's Deployment or other controller, such as ``Deployment/api``; the Pod itself without one.

        Only the direct owner is named in a Pod. The names of ReplicaSets and Jobs show the owner of these.
        """
        owner = next((each for each in self.owner_references if each.controller), None)
        if owner is None:
            return f"Pod/{self.name}"
        template = (self.labels or {}).get(TEMPLATE_HASH, "")
        if owner.kind == "ReplicaSet" and template and owner.name.endswith(f"-{template}"):
            return f"Deployment/{owner.name.removesuffix(f'-{template}')}"
        if owner.kind == "Job" and (cron_job := self._cron_job(owner.name)):
            return f"CronJob/{cron_job}"
        return f"{owner.kind}/{owner.name}"

    def _cron_job(self, job: str) -> str:
        """Return the CronJob whose name a Job has; empty if its number is not the minute of a schedule."""
        name, _, minute = job.rpartition("-")
        if not (name and minute.isascii() and minute.isdigit() and self.creation_timestamp):
            return ""
        age = self.creation_timestamp.timestamp() - int(minute[:12]) * 60
        return name if 0 <= age <= LONGEST_JOB_SECONDS else ""


class _Owned(msgspec.Struct, frozen=True):
    metadata: OwnedMetadata


_decode: Callable[[bytes | msgspec.Raw], _Owned] = decoder(_Owned)


def owned_metadata(pod: bytes | msgspec.Raw) -> OwnedMetadata:
    """Return the metadata of a Pod in JSON."""
    return _decode(pod).metadata


_decode_spec: Callable[[bytes | msgspec.Raw], AdmittedObject] = decoder(AdmittedObject)


def read_coverage(reader: Reader, installed: Installed, namespace: str, selector: str) -> Coverage:
    """Return the coverage of each image of each workload, in one namespace or in those of a label selector."""
    configured = registries_for(installed.configuration, read_sources(reader, installed, datetime.now(UTC)))
    workloads = _workloads(reader, installed, namespace, selector)
    secrets = _Secrets(reader)
    found = [
        exposure
        for workload in workloads
        for exposure in exposures(
            workload, {name: secrets.registries(workload.namespace, name) for name in workload.references}, configured
        )
    ]
    return Coverage(tuple(dict.fromkeys(found)))  # Pods of one workload may differ in other images


def _workloads(reader: Reader, installed: Installed, namespace: str, selector: str) -> list[Workload]:
    """Return each workload once, with the images and references of its Pods that differ."""
    named = list_namespaces(reader, installed.configuration, selector) if selector else None
    wanted = None if named is None else {each.name for each in named}
    found: dict[Workload, None] = {}
    try:
        for each in reader.each(Collection(PODS, namespace or None), msgspec.Raw, RUNNING):
            metadata = owned_metadata(each)
            subject = _decode_spec(each).as_pod(metadata.namespace)
            if subject is not None and (wanted is None or metadata.namespace in wanted):
                images = tuple(dict.fromkeys(subject.images))
                found[Workload(metadata.namespace, metadata.workload, images, subject.references.names)] = None
    except Forbidden:
        raise UsageError(f"{lacking('list', 'pods', namespace)}: ask for it, or name a namespace with -n") from None
    if namespace and not found:
        refuse_absent(reader, namespace)  # an absent namespace would look like one without work
    return sorted(found, key=lambda workload: (workload.namespace, workload.title))


class _Secrets:
    """Reads each Secret once; stores its registries and nothing else."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known: dict[tuple[str, str], frozenset[str] | None] = {}

    def registries(self, namespace: str, name: str) -> frozenset[str] | None:
        """Return the registries that a Secret covers; empty if it does not exist, None if it cannot be read."""
        key = (namespace, name)
        if key not in self._known:
            self._known[key] = self._read(namespace, name)
        return self._known[key]

    def _read(self, namespace: str, name: str) -> frozenset[str] | None:
        # A tenant may reference "..", which is another path at the API server.
        is_possible = problem_of_subdomain(name) is None
        content, known = self._reader.optional(SECRETS, name, namespace) if is_possible else (None, True)
        if content is None:
            return frozenset() if known else None
        return registries_of(decode_secret(content).data or {})
