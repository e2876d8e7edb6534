"""Decide which images of running Pods could be pulled on a node that has never pulled them.

An image is covered when one of the Pod's references has a credential for its registry. The need for a credential is
unknown here. But if a configured pull secret has a credential for the registry, the image most likely needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from webhook.core.coverage import uncovered

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence


class Exposure(StrEnum):
    """The expected result of a pull on a fresh node."""

    COVERED = "covered"
    EXPOSED = "exposed"
    """No reference covers the image, although a credential for its registry exists: the pull would fail."""
    UNKNOWN = "unknown"
    """No credential for the registry is known: the image is public, or fails. Or a Secret is unreadable."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The owner of a Pod, or the Pod itself, with the images and references of its Pods."""

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
    """Yield the exposure of each image of a workload.

    ``credentials`` has for each reference the registries of the Secret that it names in the namespace. The value is
    empty without such a Secret, and None if it is unreadable. ``configured`` has the registries of each configured pull
    secret.
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
        return Exposure.UNKNOWN, f"Secret {unread[0]} cannot be read with your rights"
    could = [name for name, registries in configured.items() if not uncovered([image], registries)]
    if not could:
        return Exposure.UNKNOWN, "no credential for its registry is known: it may be public"
    if could[0] not in references:
        return Exposure.EXPOSED, f"{could[0]} has a credential for its registry, and the Pods do not reference it"
    return Exposure.EXPOSED, f"the Secret {could[0]} that the Pods reference is missing, or has no credential for it"
