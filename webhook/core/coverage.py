"""Which images a credential is for: the registries of a pull secret against image references, as the kubelet does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from webhook.core.credential import DOCKER_HUB_KEY, decode_base64, normalise
from webhook.core.dockerconfig import COPY_KEY, LEGACY_KEY
from webhook.core.imageref import DOCKER_HUB, matches

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from webhook.core.model import Configuration
    from webhook.core.preview.secrets import Sources


class _Document(msgspec.Struct):
    auths: dict[str, msgspec.Raw]


def registries_in(payload: bytes) -> frozenset[str]:
    """Return the registries that a ``.dockerconfigjson`` has credentials for; none when it cannot be read."""
    try:
        keys = msgspec.json.decode(payload, type=_Document).auths
    except msgspec.MsgspecError:
        return frozenset()
    return frozenset(pattern for key in keys if (pattern := registry_of(key)) is not None)


def registries_of(data: Mapping[str, str]) -> frozenset[str]:
    """Return the registries that a Secret with this ``data`` has credentials for, of either type that nodes know."""
    whole, legacy = (decode_base64(data.get(key, "")) or b"" for key in (COPY_KEY, LEGACY_KEY))
    return registries_in(whole) if whole else registries_in(b'{"auths":%s}' % legacy)


def registry_of(key: str) -> str | None:
    """Return the registry that a key of ``auths`` names, as ``registries`` writes it; None when it names none."""
    try:
        registry = normalise(key)
    except ValueError:
        return None
    return DOCKER_HUB if registry == DOCKER_HUB_KEY else registry


def uncovered(images: Collection[str], registries: Collection[str]) -> tuple[str, ...]:
    """Return the images that belong to none of ``registries``."""
    known = tuple(registries)
    return tuple(image for image in dict.fromkeys(images) if not matches(image, known))


def registries_for(configuration: Configuration, sources: Sources) -> dict[str, frozenset[str]]:
    """Return for which registries each pull secret has credentials, where its sources are all known and valid."""
    known = {entry.name: [sources.credentials(name) for name in entry.sources] for entry in configuration.pull_secrets}
    return {
        name: frozenset(
            registry for keys in found if keys for key in keys if (registry := registry_of(key)) is not None
        )
        for name, found in known.items()
        if all(keys is not None for keys in found)
    }
