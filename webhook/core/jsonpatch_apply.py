"""Apply our own JSON Patches, so that ``plan`` can show the object that the API server would store.

It supports only ``add`` and ``remove`` with the paths of webhook.core.jsonpatch; the API server decides about all
others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook.core.jsonpatch import PatchOperation

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
