"""Decode Pods that have not begun to run into values of bounded size, for healing.

Only Pods in the phase ``Pending`` are read. Of each, the images of at most :data:`MAX_IMAGES` containers are kept,
because a tenant chooses their number.

Source: k8s.io/api/core/v1/types.go (PodStatus, ContainerStatus).
"""

from __future__ import annotations

from itertools import islice
from sys import intern
from typing import TYPE_CHECKING

import msgspec

from webhook.errors import ApiUnavailable
from webhook.kube.objects import NO_LABELS, read_reference_list
from webhook.rules.gates import MIRROR_ANNOTATION
from webhook.rules.healing import PodOwner, PulledPod
from webhook.rules.images import LONGEST_REFERENCE
from webhook.rules.objects import Subject
from webhook.rules.pulls import PULL_FAILURES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.rules.configuration import Configuration

PENDING = "status.phase=Pending"
"""The field selector of the Pods that are read."""

MAX_IMAGES = 32
"""Distinct images that are kept of one Pod. Pods have a handful."""


class _Owner(msgspec.Struct, frozen=True, rename="camel"):
    kind: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    controller: bool | None = None


class _Annotations(msgspec.Struct, frozen=True):
    mirror: str | None = msgspec.field(name=MIRROR_ANNOTATION, default=None)


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: _Annotations | None = None
    owner_references: tuple[_Owner, ...] = ()


class _Mount(msgspec.Struct, frozen=True):
    name: str = ""


class _Container(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    image: str = ""
    restart_policy: str = ""
    volume_mounts: tuple[_Mount, ...] | None = None


class _ImageVolume(msgspec.Struct, frozen=True):
    reference: str = ""


class _Volume(msgspec.Struct, frozen=True):
    name: str = ""
    image: _ImageVolume | None = None


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    service_account_name: str = ""
    image_pull_secrets: msgspec.Raw = msgspec.Raw()
    containers: tuple[_Container, ...] | None = None
    init_containers: tuple[_Container, ...] | None = None
    volumes: tuple[_Volume, ...] | None = None


class _Present(msgspec.Struct, frozen=True):
    """A state without the fields that are not read."""


class _Waiting(msgspec.Struct, frozen=True):
    reason: str = ""


class _State(msgspec.Struct, frozen=True):
    waiting: _Waiting | None = None
    running: _Present | None = None
    terminated: _Present | None = None


_NO_STATE = _State()


class _ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    restart_count: int = 0
    state: _State | None = None
    last_state: _State | None = None

    @property
    def is_running(self) -> bool:
        return (self.state or _NO_STATE).running is not None

    @property
    def has_begun(self) -> bool:
        states = (self.state or _NO_STATE, self.last_state or _NO_STATE)
        return self.restart_count > 0 or any(state.running or state.terminated for state in states)

    @property
    def fails_to_pull(self) -> bool:
        waiting = (self.state or _NO_STATE).waiting
        return waiting is not None and waiting.reason in PULL_FAILURES


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    phase: str = ""
    container_statuses: tuple[_ContainerStatus, ...] | None = None
    init_container_statuses: tuple[_ContainerStatus, ...] | None = None
    ephemeral_container_statuses: tuple[_ContainerStatus, ...] | None = None


class PodObject(msgspec.Struct, frozen=True):
    """A core/v1 Pod, with the fields that healing reads."""

    metadata: _Metadata
    spec: _Spec = _Spec()
    status: _Status = _Status()


def to_pulled_pod(obj: PodObject, configuration: Configuration) -> PulledPod:
    """Return the part of a Pod that healing reads.

    Raises:
        ApiUnavailable: its ``imagePullSecrets`` is not a list of references, which no API server sends.
    """
    metadata, spec, label = obj.metadata, obj.spec, configuration.opt_in.label
    try:
        references = read_reference_list(spec.image_pull_secrets, configuration.secret_names)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ApiUnavailable("the API server's answer is not the requested JSON") from None
    mirror = metadata.annotations is not None and metadata.annotations.mirror is not None
    value = (metadata.labels or NO_LABELS).get(label)
    return PulledPod(
        subject=Subject(
            kind="Pod",
            name=metadata.name,
            namespace=intern(metadata.namespace),
            labels=NO_LABELS if value is None else {label: intern(value)},
            annotations={MIRROR_ANNOTATION: ""} if mirror else NO_LABELS,
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


def _owner(metadata: _Metadata) -> PodOwner | None:
    owner = next((each for each in metadata.owner_references if each.controller), None)
    if owner is None:
        return None
    group = owner.api_version.rpartition("/")[0]
    return PodOwner(intern(group), intern(owner.kind), intern(owner.name), intern(owner.uid))


def _kept(images: Iterator[str]) -> tuple[str, ...]:
    found = dict.fromkeys(image for image in images if 0 < len(image) <= LONGEST_REFERENCE)
    return tuple(intern(image) for image in islice(found, MAX_IMAGES))


def _images(spec: _Spec) -> Iterator[str]:
    for container in (*(spec.containers or ()), *(spec.init_containers or ())):
        yield container.image
    yield from _volume_images(spec).values()


def _volume_images(spec: _Spec) -> dict[str, str]:
    return {volume.name: volume.image.reference for volume in spec.volumes or () if volume.image is not None}


def _failing(spec: _Spec, status: _Status) -> Iterator[str]:
    """Yield the images that cannot be pulled: those of a container, and of the image volumes that it mounts.

    A container that mounts an image which cannot be pulled waits for the same reason as for its own image.
    """
    volumes = _volume_images(spec)
    for containers, statuses in (
        (spec.containers, status.container_statuses),
        (spec.init_containers, status.init_container_statuses),
    ):
        failing = {each.name for each in statuses or () if each.fails_to_pull}
        for container in containers or ():
            if container.name in failing:
                yield container.image
                yield from (volumes[mount.name] for mount in container.volume_mounts or () if mount.name in volumes)


def _has_run(spec: _Spec, status: _Status) -> bool:
    """Return whether an eviction would interrupt something.

    An init container that has ended does not count, because Kubernetes may repeat it at any time. One that runs does,
    and so does a sidecar (an init container that is always restarted) that has begun.
    """
    sidecars = {each.name for each in spec.init_containers or () if each.restart_policy == "Always"}
    inits, ephemeral = status.init_container_statuses or (), status.ephemeral_container_statuses or ()
    return (
        status.phase not in ("", "Pending")
        or any(each.has_begun for each in status.container_statuses or ())
        or any(each.is_running or (each.name in sidecars and each.has_begun) for each in inits)
        or any(each.is_running for each in ephemeral)
    )
