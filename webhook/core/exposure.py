"""Which images of running Pods could be pulled on a node that has never pulled them.

An image is covered when one of the Pod's references has a credential for its registry. Whether an image needs one
cannot be told from here: but where a pull secret of the configuration has one for its registry, it most likely does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from webhook.core.coverage import uncovered

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence


class Exposure(StrEnum):
    """What would become of an image on a fresh node."""

    COVERED = "covered"
    EXPOSED = "exposed"
    """No reference covers it, although there is a credential for its registry: it would fail."""
    UNKNOWN = "unknown"
    """No credential for its registry is known: it is public, or fails; or a Secret may not be read."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What made a Pod, or the Pod itself; the images and references of its Pods."""

    namespace: str
    title: str
    images: tuple[str, ...]
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImageExposure:
    """One image of one workload, and a sentence."""

    namespace: str
    workload: str
    image: str
    exposure: Exposure
    why: str


def exposures(
    workload: Workload,
    credentials: Mapping[str, Collection[str] | None],
    configured: Mapping[str, Collection[str]],
) -> Iterator[ImageExposure]:
    """Yield how each image of a workload stands.

    ``credentials`` holds for each reference the registries of the Secret that it names in the namespace: empty where
    there is no such Secret, None where it may not be read. ``configured`` holds those of each pull secret of the
    configuration.
    """
    for image in workload.images:
        exposure, why = _judge(image, workload.references, credentials, configured)
        yield ImageExposure(workload.namespace, workload.title, image, exposure, why)


def _judge(
    image: str,
    references: Sequence[str],
    credentials: Mapping[str, Collection[str] | None],
    configured: Mapping[str, Collection[str]],
) -> tuple[Exposure, str]:
    covering = [name for name in references if not uncovered([image], credentials.get(name) or ())]
    if covering:
        return Exposure.COVERED, f"by {covering[0]}"
    unread = [name for name in references if credentials.get(name, ()) is None]
    if unread:
        return Exposure.UNKNOWN, f"Secret {unread[0]} may not be read"
    could = [name for name, registries in configured.items() if not uncovered([image], registries)]
    if not could:
        return Exposure.UNKNOWN, "no credential for its registry is known: it may be public"
    if could[0] not in references:
        return Exposure.EXPOSED, f"{could[0]} has a credential for its registry, and the Pods do not reference it"
    return Exposure.EXPOSED, f"the Secret {could[0]} that the Pods reference is not there, or has no credential for it"
