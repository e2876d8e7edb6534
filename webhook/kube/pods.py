"""Decode Pods, with the fields that healing, rotations and reports read, and read them from the API server.

A decoded Pod is short-lived: each reader turns it into its own value. :func:`to_pulled_pod` makes those of bounded size
that healing keeps. It keeps the images of at most :data:`MAX_IMAGES` containers, because a tenant chooses their number.
A rotation reads Pods only while it is tried, and only where the chart has granted the right.

Source: k8s.io/api/core/v1/types.go (PodSpec, PodStatus, ContainerStatus).
"""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from sys import intern
from typing import TYPE_CHECKING

import msgspec

from webhook.errors import ApiUnavailable
from webhook.kube.listing import list_decoder, list_objects
from webhook.kube.objects import NO_LABELS, read_reference_list
from webhook.kube.resources import PODS, SECRETS, Collection
from webhook.kube.wire import ObjectMeta, decoder
from webhook.rules.decoding import NOT_DECODED
from webhook.rules.dockerconfig import COPY_KEY
from webhook.rules.gates import MIRROR_ANNOTATION
from webhook.rules.healing import PodOwner, PulledPod
from webhook.rules.images import LONGEST_REFERENCE
from webhook.rules.objects import Subject
from webhook.rules.ownership import FieldManager, is_ours
from webhook.rules.pulls import LONGEST_MESSAGE, PULL_FAILURES, PullingPod, WaitingContainer
from webhook.rules.references import LocalObjectReference, references_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from webhook.kube.client import Client
    from webhook.rules.configuration import Configuration

# A field selector can name the phase of a Pod, but not the state of a container.
PENDING = "status.phase=Pending"
"""Selects Pods that have not begun to run."""

NOT_ENDED = "status.phase!=Succeeded,status.phase!=Failed"
"""Selects Pods that may still pull an image."""

MAX_IMAGES = 32
"""Distinct images that are kept of one Pod. Pods have a handful."""

_NEVER = "Never"
"""The pull policy of images that the kubelet does not pull."""

TEMPLATE_HASH = "pod-template-hash"
"""The label that links ReplicaSets to their Deployment; its value is the last part of their names."""

LONGEST_JOB_SECONDS = 7 * 24 * 3600.0
"""A Job of a CronJob has the scheduled minute at the end of its name; its Pods begin within this time.

Source: k8s.io/kubernetes v1.37, pkg/controller/cronjob/utils.go (getJobName).
"""


class _Owner(msgspec.Struct, frozen=True, rename="camel"):
    kind: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    controller: bool | None = None


class PodMeta(ObjectMeta, frozen=True, rename="camel"):
    """The metadata of a Pod, with its owners."""

    creation_timestamp: str = ""
    owner_references: tuple[_Owner, ...] = ()

    @property
    def created(self) -> datetime | None:
        """The time of creation; None for one that the API server has not stored."""
        # Since Python 3.11 it reads the Z at the end of the API server's times.
        return datetime.fromisoformat(self.creation_timestamp) if self.creation_timestamp else None

    @property
    def mirror(self) -> str | None:
        """The annotation of a mirror Pod; None for any other."""
        return (self.annotations or NO_LABELS).get(MIRROR_ANNOTATION)

    @property
    def controller(self) -> _Owner | None:
        """The controller that replaces the Pod, such as a ReplicaSet."""
        # The API server accepts at most one owner with controller: true.
        return next((owner for owner in self.owner_references if owner.controller), None)

    @property
    def workload(self) -> str:
        """The Pod's Deployment or other controller, such as ``Deployment/api``; the Pod itself without one.

        Only the direct owner is named in a Pod. The names of ReplicaSets and Jobs show the owner of these.
        """
        owner = self.controller
        if owner is None:
            return f"Pod/{self.name}"
        template = (self.labels or NO_LABELS).get(TEMPLATE_HASH, "")
        # A ReplicaSet that was created by hand has no such label, and may have any name.
        if owner.kind == "ReplicaSet" and template and owner.name.endswith(f"-{template}"):
            return f"Deployment/{owner.name.removesuffix(f'-{template}')}"
        if owner.kind == "Job" and (cron_job := self._cron_job(owner.name)):
            return f"CronJob/{cron_job}"
        return f"{owner.kind}/{owner.name}"

    def _cron_job(self, job: str) -> str:
        """Return the CronJob whose name a Job has; empty if its number is not the minute of a schedule."""
        name, _, minute = job.rpartition("-")
        created = self.created
        # isdigit alone accepts characters such as ², which int() refuses.
        if not (name and minute.isascii() and minute.isdigit() and created):
            return ""
        # A tenant can write a name of any length here, and a number of 400 digits is too large for a float.
        age = created.timestamp() - int(minute[:12]) * 60
        return name if 0 <= age <= LONGEST_JOB_SECONDS else ""


class _Mount(msgspec.Struct, frozen=True):
    name: str = ""


class _Container(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    image: str = ""
    image_pull_policy: str = ""
    restart_policy: str = ""
    volume_mounts: tuple[_Mount, ...] | None = None


class _ImageVolume(msgspec.Struct, frozen=True, rename="camel"):
    reference: str = ""
    pull_policy: str = ""


class _Volume(msgspec.Struct, frozen=True):
    name: str = ""
    image: _ImageVolume | None = None


_decode_references: Callable[[bytes | msgspec.Raw], list[LocalObjectReference | None] | None] = decoder(
    list[LocalObjectReference | None] | None
)


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The spec of a Pod. Its references are decoded when they are needed, because a tenant chooses their number."""

    service_account_name: str = ""
    image_pull_secrets: msgspec.Raw = msgspec.Raw(b"null")
    containers: tuple[_Container, ...] | None = None
    init_containers: tuple[_Container, ...] | None = None
    ephemeral_containers: tuple[_Container, ...] | None = None
    volumes: tuple[_Volume, ...] | None = None

    @property
    def references(self) -> tuple[str, ...]:
        """The names in ``imagePullSecrets``. Raises ApiUnavailable if it is not a list of references."""
        return references_of(_decode_references(self.image_pull_secrets)).names

    @property
    def all_containers(self) -> tuple[_Container, ...]:
        """The containers, init containers and ephemeral containers, in this order."""
        return (*(self.containers or ()), *(self.init_containers or ()), *(self.ephemeral_containers or ()))

    @property
    def image_volumes(self) -> dict[str, _ImageVolume]:
        """The volumes that are images, by name."""
        return {volume.name: volume.image for volume in self.volumes or () if volume.image is not None}

    def images(self) -> tuple[str, ...]:
        """Return the images of all containers and volumes, each once."""
        named = [container.image for container in self.all_containers]
        named += [volume.reference for volume in self.image_volumes.values()]
        return tuple(filter(None, dict.fromkeys(named)))

    def pulled_images(self, *, is_replaced: bool) -> tuple[str, ...]:
        """Return the images that the kubelet pulls; a new Pod has no ephemeral containers."""
        lists = (self.init_containers, self.containers, None if is_replaced else self.ephemeral_containers)
        images = [
            container.image
            for containers in lists
            for container in containers or ()
            if container.image_pull_policy != _NEVER
        ]
        images += [volume.reference for volume in self.image_volumes.values() if volume.pull_policy != _NEVER]
        return tuple(filter(None, dict.fromkeys(images)))


class _Waiting(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _Running(msgspec.Struct, frozen=True):
    """A state without the fields that are not read."""


class _Terminated(msgspec.Struct, frozen=True, rename="camel"):
    finished_at: str = ""


class _State(msgspec.Struct, frozen=True):
    waiting: _Waiting | None = None
    running: _Running | None = None
    terminated: _Terminated | None = None


_NO_STATE = _State()


class _ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    restart_count: int = 0
    state: _State = _NO_STATE
    last_state: _State = _NO_STATE

    @property
    def is_running(self) -> bool:
        return self.state.running is not None

    @property
    def has_begun(self) -> bool:
        # A container that has ended waits again before its restart (CrashLoopBackOff), so its state is not enough.
        return self.restart_count > 0 or any(
            state.running or state.terminated for state in (self.state, self.last_state)
        )

    @property
    def fails_to_pull(self) -> bool:
        return self.state.waiting is not None and self.state.waiting.reason in PULL_FAILURES

    @property
    def ended(self) -> datetime | None:
        """The time when the container last ended; None if that is not known."""
        last = self.last_state.terminated
        return datetime.fromisoformat(last.finished_at) if last is not None and last.finished_at else None


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The status of a Pod."""

    phase: str = ""
    start_time: str = ""
    container_statuses: tuple[_ContainerStatus, ...] | None = None
    init_container_statuses: tuple[_ContainerStatus, ...] | None = None
    ephemeral_container_statuses: tuple[_ContainerStatus, ...] | None = None

    @property
    def all_statuses(self) -> tuple[_ContainerStatus, ...]:
        """The statuses of init containers, containers and ephemeral containers, in this order."""
        lists = (self.init_container_statuses, self.container_statuses, self.ephemeral_container_statuses)
        return tuple(status for statuses in lists for status in statuses or ())


class PodObject(msgspec.Struct, frozen=True):
    """A core/v1 Pod."""

    metadata: PodMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


decode_pod: Callable[[bytes | msgspec.Raw], PodObject] = decoder(PodObject)
_decode_pods = list_decoder(PodObject)


def to_pulling_pod(obj: PodObject) -> PullingPod | None:
    """Return the fields that show pulls; None for a Pod that is being deleted."""
    metadata, status, created = obj.metadata, obj.status, obj.metadata.created
    # The kubelet pulls no more images for a Pod that is being deleted.
    if metadata.deletion_timestamp is not None or created is None:
        return None
    images = {container.name: container.image for container in obj.spec.all_containers if container.image}
    return PullingPod(
        namespace=metadata.namespace,
        name=metadata.name,
        created=created,
        # The kubelet sets startTime when it accepts a Pod, before it pulls the images.
        accepted=datetime.fromisoformat(status.start_time) if status.start_time else None,
        references=obj.spec.references,
        images=tuple(dict.fromkeys(images.values())),
        waiting=tuple(
            WaitingContainer(
                images[container_status.name], waiting.reason, waiting.message[:LONGEST_MESSAGE], container_status.ended
            )
            for container_status in status.all_statuses
            if (waiting := container_status.state.waiting) is not None and container_status.name in images
        ),
    )


def each_pod(client: Client, namespace: str | None, use: Callable[[PullingPod], None]) -> None:
    """Call ``use`` with each Pod that may still pull an image, in one namespace or in all; page by page.

    Raises:
        ApiError: the Pods cannot be read; Forbidden if the right to list them is missing.
    """

    def take(obj: PodObject) -> None:
        if (pod := to_pulling_pod(obj)) is not None:
            use(pod)

    list_objects(client, Collection(PODS, namespace, fields=NOT_ENDED), _decode_pods, take)


def to_pulled_pod(obj: PodObject, configuration: Configuration) -> PulledPod:
    """Return the part of a Pod that healing reads.

    Raises:
        ApiUnavailable: its ``imagePullSecrets`` is not a list of references, which no API server sends.
    """
    metadata, spec, label = obj.metadata, obj.spec, configuration.opt_in.label
    try:
        references = read_reference_list(spec.image_pull_secrets, configuration.secret_names)
    except NOT_DECODED:
        raise ApiUnavailable("the API server's answer is not the requested JSON") from None
    # Only the label that a decision reads: a tenant chooses the number of the others.
    value = (metadata.labels or NO_LABELS).get(label)
    return PulledPod(
        subject=Subject(
            kind="Pod",
            name=metadata.name,
            # Pods of one owner have equal texts. Interned, they share them.
            namespace=intern(metadata.namespace),
            labels=NO_LABELS if value is None else {label: intern(value)},
            annotations=NO_LABELS if metadata.mirror is None else {MIRROR_ANNOTATION: ""},
            references=references,
            service_account=intern(spec.service_account_name),
            images=_kept(_images(spec)),
        ),
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        created=metadata.creation_timestamp,
        owner=_owner(metadata),
        failing=_kept(_failing(spec, obj.status)),
        has_run=_has_run(spec, obj.status),
        terminating=metadata.deletion_timestamp is not None,
    )


def _owner(metadata: PodMeta) -> PodOwner | None:
    owner = metadata.controller
    if owner is None:
        return None
    group = owner.api_version.rpartition("/")[0]
    return PodOwner(intern(group), intern(owner.kind), intern(owner.name), intern(owner.uid))


def _kept(images: Iterator[str]) -> tuple[str, ...]:
    # Distinct before they are cut, so that a repeated image takes no place of another.
    unique_images = dict.fromkeys(image for image in images if 0 < len(image) <= LONGEST_REFERENCE)
    return tuple(intern(image) for image in islice(unique_images, MAX_IMAGES))


def _images(spec: PodSpec) -> Iterator[str]:
    # Without ephemeral containers, which the replacement of an evicted Pod does not have.
    for container in (*(spec.containers or ()), *(spec.init_containers or ())):
        yield container.image
    for volume in spec.image_volumes.values():
        yield volume.reference


def _failing(spec: PodSpec, status: PodStatus) -> Iterator[str]:
    """Yield the images that cannot be pulled: those of a container, and of the image volumes that it mounts.

    A container that mounts an image which cannot be pulled waits for the same reason as for its own image.
    """
    volumes = spec.image_volumes
    for containers, statuses in (
        (spec.containers, status.container_statuses),
        (spec.init_containers, status.init_container_statuses),
    ):
        failing = {container_status.name for container_status in statuses or () if container_status.fails_to_pull}
        for container in containers or ():
            if container.name in failing:
                yield container.image
                mounts = container.volume_mounts or ()
                yield from (volumes[mount.name].reference for mount in mounts if mount.name in volumes)


def _has_run(spec: PodSpec, status: PodStatus) -> bool:
    """Return whether an eviction would interrupt something.

    An init container that has ended does not count, because Kubernetes may repeat it at any time. One that runs does,
    and so does a sidecar (an init container that is always restarted) that has begun.
    """
    # KEP-753: a sidecar is an init container with restartPolicy Always.
    sidecars = {container.name for container in spec.init_containers or () if container.restart_policy == "Always"}
    inits, ephemeral = status.init_container_statuses or (), status.ephemeral_container_statuses or ()
    return (
        status.phase not in ("", "Pending")
        or any(container.has_begun for container in status.container_statuses or ())
        or any(container.is_running or (container.name in sidecars and container.has_begun) for container in inits)
        # An ephemeral container that runs is usually a debug session of a person.
        or any(container.is_running for container in ephemeral)
    )


class _TimedWriter(FieldManager, frozen=True, gc=False):
    time: datetime | None = None


class _WrittenMeta(msgspec.Struct, frozen=True, rename="camel"):
    managed_fields: tuple[_TimedWriter, ...] = ()


class _WrittenSecret(msgspec.Struct, frozen=True):
    metadata: _WrittenMeta
    data: dict[str, str] = {}

    def __repr__(self) -> str:
        return "Secret"


_decode_written: Callable[[bytes], _WrittenSecret] = decoder(_WrittenSecret)


def written_at(client: Client, name: str, namespace: str, content: str) -> datetime | None:
    """Return the time when we last wrote a copy, by the API server's clock; None if it has another content.

    ``content`` is base64 text. Raises ApiError if the copy cannot be read.
    """
    copy = _decode_written(client.get(SECRETS, name, namespace))
    if copy.data.get(COPY_KEY) != content:
        return None
    # A Secret does not store when its content changed. managedFields has the time of the last apply of each manager.
    times = [writer.time for writer in copy.metadata.managed_fields if writer.time is not None and is_ours(writer)]
    return max(times, default=None)
