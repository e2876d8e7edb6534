"""Find the workload that a Pod belongs to, without a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from webhook.kube.wire import decoder

if TYPE_CHECKING:
    from collections.abc import Callable

TEMPLATE_HASH = "pod-template-hash"
"""The label that links ReplicaSets to their Deployment; its value is the last part of their names."""


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

    @property
    def workload(self) -> str:
        """The Pod's Deployment or other controller, such as ``Deployment/api``; the Pod itself without one."""
        owner = next((each for each in self.owner_references if each.controller), None)
        if owner is None:
            return f"Pod/{self.name}"
        template = (self.labels or {}).get(TEMPLATE_HASH, "")
        if owner.kind == "ReplicaSet" and template and owner.name.endswith(f"-{template}"):
            return f"Deployment/{owner.name.removesuffix(f'-{template}')}"
        return f"{owner.kind}/{owner.name}"


class _Owned(msgspec.Struct, frozen=True):
    metadata: OwnedMetadata


_decode: Callable[[bytes | msgspec.Raw], _Owned] = decoder(_Owned)


def owned_metadata(pod: bytes | msgspec.Raw) -> OwnedMetadata:
    """Return the metadata of a Pod in JSON."""
    return _decode(pod).metadata
