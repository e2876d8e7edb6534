"""Build JSON Patches (RFC 6902) that add references, and apply them to an object.

The API server rejects the user's request if a patch does not apply, whatever the failure policy is. So an operation
refers only to parts that exist in the object. ``plan`` applies patches to show the object that the API server would
store. It supports only the operations that are built here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook.rules.references import References

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
    # "-" is the position after the last entry (RFC 6901, section 4). It fails if the list is absent or null.
    return [{"op": "add", "path": f"{path}/-", "value": entry} for entry in missing]


def removals(path: str, references: References, names: Sequence[str]) -> list[PatchOperation]:
    """Return the operations that remove every entry with one of ``names`` from the list at ``path``.

    They run from the last to the first, because each removal shifts the entries after it.
    """
    positions = [position for position, name in references.entries() if name in names]
    return [{"op": "remove", "path": f"{path}/{position}"} for position in reversed(positions)]


def expect_resource_version(resource_version: str) -> PatchOperation:
    """Return the operation that makes a patch fail if the object has changed since it was read."""
    # Positions are right only in this version. A failed test refuses the whole patch (RFC 6902, section 5).
    return {"op": "test", "path": "/metadata/resourceVersion", "value": resource_version}


_END = "-"


def apply(document: Mapping[str, object], operations: Sequence[PatchOperation]) -> dict[str, object]:
    """Return ``document`` with ``operations`` applied. The input is not changed; unchanged parts are shared.

    Raises KeyError, IndexError, TypeError or ValueError for an operation that does not fit the document, which is a bug
    in the caller.
    """
    result: dict[str, object] = dict(document)
    for operation in operations:
        *parents, last = operation["path"].removeprefix("/").split("/")
        container: Any = result
        for name in parents:
            # Each step copies, because a YAML alias uses one value in several places.
            container[name] = container[name].copy()
            container = container[name]
        _change(container, last, operation)
    return result


def _change(container: Any, last: str, operation: PatchOperation) -> None:  # noqa: ANN401 - a list or a mapping
    match operation["op"]:
        case "add" if last == _END:
            container.append(operation["value"])
        case "add":
            container[last] = operation["value"]
        case "remove":
            del container[int(last)]
        case other:
            raise ValueError(f"{other} is not an operation that changes a document")
