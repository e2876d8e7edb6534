"""Read the fields of Pods that tell about their pulls, and the time at which a copy got its content.

Both are read only where the chart has granted the right, and only while a rotation is tried: nothing is watched.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec evaluates the annotations
from typing import TYPE_CHECKING

import msgspec

from webhook.kube.listing import list_decoder, list_objects
from webhook.kube.resources import PODS, SECRETS, Collection
from webhook.kube.wire import ObjectMeta, decoder
from webhook.rules.dockerconfig import COPY_KEY
from webhook.rules.ownership import Writer, is_ours
from webhook.rules.pulls import LONGEST_MESSAGE, PullingPod, WaitingContainer
from webhook.rules.references import LocalObjectReference, references_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.kube.client import Client

NOT_ENDED = "status.phase!=Succeeded,status.phase!=Failed"
"""Selects Pods that may still pull an image."""


class _PodMeta(ObjectMeta, frozen=True, rename="camel"):
    creation_timestamp: datetime | None = None


class _Container(msgspec.Struct, frozen=True):
    name: str = ""
    image: str = ""


class _Waiting(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _Terminated(msgspec.Struct, frozen=True, rename="camel"):
    finished_at: datetime | None = None


class _State(msgspec.Struct, frozen=True):
    waiting: _Waiting | None = None
    terminated: _Terminated | None = None


class _ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    state: _State = _State()
    last_state: _State = _State()


class _PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    image_pull_secrets: list[LocalObjectReference | None] | None = None
    containers: tuple[_Container, ...] | None = None
    init_containers: tuple[_Container, ...] | None = None
    ephemeral_containers: tuple[_Container, ...] | None = None

    @property
    def all_containers(self) -> tuple[_Container, ...]:
        return (*(self.init_containers or ()), *(self.containers or ()), *(self.ephemeral_containers or ()))


class _PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    start_time: datetime | None = None
    container_statuses: tuple[_ContainerStatus, ...] | None = None
    init_container_statuses: tuple[_ContainerStatus, ...] | None = None
    ephemeral_container_statuses: tuple[_ContainerStatus, ...] | None = None

    @property
    def all_statuses(self) -> tuple[_ContainerStatus, ...]:
        lists = (self.init_container_statuses, self.container_statuses, self.ephemeral_container_statuses)
        return tuple(status for statuses in lists for status in statuses or ())


class PodObject(msgspec.Struct, frozen=True):
    """A core/v1 Pod."""

    metadata: _PodMeta
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()

    def pulling(self) -> PullingPod | None:
        """Return the fields that tell about pulls; None for a Pod that is being deleted."""
        metadata, created = self.metadata, self.metadata.creation_timestamp
        if metadata.deletion_timestamp is not None or created is None:
            return None
        images = {container.name: container.image for container in self.spec.all_containers if container.image}
        return PullingPod(
            namespace=metadata.namespace,
            name=metadata.name,
            created=created,
            accepted=self.status.start_time,
            references=references_of(self.spec.image_pull_secrets).names,
            images=tuple(dict.fromkeys(images.values())),
            waiting=tuple(
                WaitingContainer(
                    images[status.name],
                    status.state.waiting.reason,
                    status.state.waiting.message[:LONGEST_MESSAGE],
                    None if status.last_state.terminated is None else status.last_state.terminated.finished_at,
                )
                for status in self.status.all_statuses
                if status.state.waiting is not None and status.name in images
            ),
        )


_decode_pods = list_decoder(PodObject)


def each_pod(client: Client, namespace: str | None, use: Callable[[PullingPod], None]) -> None:
    """Call ``use`` with each Pod that may still pull an image, in one namespace or in all; page by page.

    Raises:
        ApiError: the Pods cannot be read; Forbidden if the right to list them is missing.
    """

    def take(obj: PodObject) -> None:
        if (pod := obj.pulling()) is not None:
            use(pod)

    list_objects(client, Collection(PODS, namespace, fields=NOT_ENDED), _decode_pods, take)


class _TimedWriter(Writer, frozen=True, gc=False):
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
    times = [writer.time for writer in copy.metadata.managed_fields if writer.time is not None and is_ours(writer)]
    return max(times, default=None)
