"""docs/status.md has the fields that the status has, and no other."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.unit.documented import DOCS, first_column, rows, section
from webhook.ops.sync_status import SyncStatus
from webhook.rules.copy_status import CopyState


def shape_of(kind: Any, path: str = "") -> dict[str, str]:  # noqa: ANN401 - msgspec's own types
    """Return the JSON type of each field of a msgspec type, by its path as ``pullSecrets[].name``."""
    match kind:
        case msgspec.inspect.StructType():
            found = {} if not path else {path: "object"}
            for field in kind.fields:
                found |= shape_of(field.type, f"{path}.{field.encode_name}" if path else field.encode_name)
            return found
        case msgspec.inspect.VarTupleType(item_type=item):
            return {path: "list"} | {
                name: what for name, what in shape_of(item, f"{path}[]").items() if name != f"{path}[]"
            }
        case msgspec.inspect.UnionType(types=types):
            (only,) = (each for each in types if not isinstance(each, msgspec.inspect.NoneType))
            found = shape_of(only, path)
            return found | {path: f"{found[path]} or null"}
        case msgspec.inspect.DictType():
            return {path: "object"}
        case msgspec.inspect.StrType() | msgspec.inspect.EnumType():
            return {path: "text"}
        case msgspec.inspect.BoolType():
            return {path: "boolean"}
    return {path: "number"}


def test_the_documented_fields_of_the_status_are_those_that_it_has() -> None:
    documented = {cells[0].strip("`"): cells[1] for cells in rows(section(DOCS / "status.md", "Fields"))}
    assert documented == shape_of(msgspec.inspect.type_info(SyncStatus))


def test_the_documented_states_of_a_copy_are_those_that_there_are() -> None:
    assert first_column("status.md", "States") == list(CopyState)
