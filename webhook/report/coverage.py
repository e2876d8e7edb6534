"""Find the images that credentials cover, as the kubelet matches them.

An image of a running Pod is covered if one of the references of the Pod has a credential for its registry. It is not
known whether an image needs a credential. It probably does if a configured pull secret has one for its registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from webhook.rules.credential import decode_base64
from webhook.rules.dockerconfig import COPY_KEY, LEGACY_KEY
from webhook.rules.registry_key import KeyUnusable, read_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from webhook.report.preview.secrets import Sources
    from webhook.rules.configuration import Configuration


class _Document(msgspec.Struct):
    auths: dict[str, msgspec.Raw]


def registries_in(payload: bytes) -> frozenset[str]:
    """Return the registries in a ``.dockerconfigjson``; none when it is unreadable."""
    try:
        keys = msgspec.json.decode(payload, type=_Document).auths
    except msgspec.MsgspecError:
        return frozenset()
    return frozenset(registry for key in keys if (registry := _registry(key)) is not None)


def registries_of(data: Mapping[str, str]) -> frozenset[str]:
    """Return the registries in the ``data`` of a Secret of either type that nodes support."""
    whole, legacy = (decode_base64(data.get(key, "")) or b"" for key in (COPY_KEY, LEGACY_KEY))
    return registries_in(whole) if whole else registries_in(b'{"auths":%s}' % legacy)


def _registry(key: str) -> str | None:
    try:
        return str(read_key(key))
    except KeyUnusable:
        return None


def uncovered(images: Collection[str], registries: Collection[str]) -> tuple[str, ...]:
    """Return the images for which the kubelet has no credential in the given keys."""
    keys = [read_key(registry) for registry in registries]
    return tuple(image for image in dict.fromkeys(images) if not any(key.covers(image) for key in keys))


def registries_for(configuration: Configuration, sources: Sources) -> dict[str, frozenset[str]]:
    """Return the registries of each pull secret whose sources are all known and valid."""
    known = {entry.name: [sources.credentials(name) for name in entry.sources] for entry in configuration.pull_secrets}
    return {
        name: frozenset(key for keys in found if keys for key in keys)
        for name, found in known.items()
        if all(keys is not None for keys in found)
    }


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
