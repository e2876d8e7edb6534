"""Write JSON Patches (RFC 6902) that add references and lose nothing.

The API server fails the user's request when a patch does not apply, with any failure policy. So an operation here
refers only to parts that the object had when it was read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook.core.inject import References

POD_PATH = "/spec/imagePullSecrets"
SERVICE_ACCOUNT_PATH = "/imagePullSecrets"


class PatchOperation(TypedDict):
    """One operation of a JSON Patch."""

    op: Literal["add", "remove", "test"]
    path: str
    value: NotRequired[object]


def additions(path: str, references: References, names: Sequence[str]) -> list[PatchOperation]:
    """Return the operations that make the list at ``path`` reference each of ``names``; none if it already does.

    A list that is absent or null is added as a whole, which RFC 6902 allows over a null. To an existing list, each
    missing name is appended. Entries are never replaced, moved or repeated.
    """
    missing = [{"name": name} for name in dict.fromkeys(names) if name not in references.names]
    if not missing:
        return []
    if not references.present:
        return [{"op": "add", "path": path, "value": missing}]
    return [{"op": "add", "path": f"{path}/-", "value": entry} for entry in missing]


def removals(path: str, references: References, names: Sequence[str]) -> list[PatchOperation]:
    """Return the operations that remove every entry with one of ``names`` from the list at ``path``.

    They run from the last to the first, because each removal shifts the entries after it.
    """
    positions = [position for position, name in references.entries() if name in names]
    return [{"op": "remove", "path": f"{path}/{position}"} for position in reversed(positions)]


def expect_resource_version(resource_version: str) -> PatchOperation:
    """Return the operation that makes a patch fail if the object has changed since it was read."""
    return {"op": "test", "path": "/metadata/resourceVersion", "value": resource_version}
