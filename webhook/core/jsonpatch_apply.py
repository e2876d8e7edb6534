"""Applying our own JSON Patches, so that ``plan`` can show the object that the API server would store.

Only ``add`` and ``remove`` with the paths that webhook.core.jsonpatch writes; the API server is the judge of the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook.core.jsonpatch import PatchOperation

_END = "-"


def apply(document: Mapping[str, object], operations: Sequence[PatchOperation]) -> dict[str, object]:
    """Return ``document`` with ``operations`` applied; nothing is changed in place, what they leave alone is shared.

    KeyError, IndexError, TypeError or ValueError for an operation that does not fit the document: such a patch is a
    bug of whoever wrote it.
    """
    result: dict[str, object] = dict(document)
    for operation in operations:
        *parents, last = operation["path"].removeprefix("/").split("/")
        container: Any = result
        for name in parents:
            # Copied at each step: a YAML alias makes one value stand in several places.
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
            raise ValueError(f"{other} is no operation that changes a document")
