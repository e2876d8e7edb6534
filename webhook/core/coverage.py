"""Match the registries of a pull secret against image references, as the kubelet does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from webhook.core.credential import decode_base64
from webhook.core.dockerconfig import COPY_KEY, LEGACY_KEY
from webhook.core.registrykey import KeyUnusable, read_key

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from webhook.core.model import Configuration
    from webhook.core.preview.secrets import Sources


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
