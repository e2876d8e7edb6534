"""values.yaml, its comments, its schema and the templates name the same values."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import yaml

from tests.cluster.helm import CHART

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES = CHART / "values.yaml"
WHOLES = {"webhook.resources", "sync.resources", "cleanup.resources"}
"""Values that a template hands on as they are: what is inside them is Kubernetes' own."""


def leaves(values: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, value in values.items():
        path = f"{above}{key}"
        if isinstance(value, dict) and path not in WHOLES:
            yield from leaves(value, f"{path}.")
        else:
            yield path


def declared() -> set[str]:
    return set(leaves(yaml.safe_load(VALUES.read_text())))


def used() -> set[str]:
    templates = [path for path in (CHART / "templates").rglob("*") if path.is_file()]
    return {path for file in templates for path in re.findall(r"\.Values\.([\w.]+)", file.read_text())}


def in_schema(schema: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, value in schema["properties"].items():
        if "properties" in value:
            yield from in_schema(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def documented() -> set[str]:
    """Return the path of every value that a helm-docs comment stands above."""
    found, parents = set(), list[tuple[int, str]]()
    comment = False
    for line in VALUES.read_text().splitlines():
        if line.lstrip().startswith("#"):
            comment = comment or line.lstrip().startswith("# -- ")
            continue
        if key := re.match(r"( *)(\w+):", line):
            parents = [parent for parent in parents if parent[0] < len(key[1])]
            parents.append((len(key[1]), key[2]))
            if comment:
                found.add(".".join(name for _, name in parents))
        comment = False
    return found


def test_every_value_is_used_and_every_used_value_is_declared() -> None:
    assert used() == declared()


def test_every_value_is_in_the_schema_and_the_schema_has_no_others() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(in_schema(schema)) - {"global"} == declared()


def test_every_value_is_documented() -> None:
    assert documented() == declared()


def objects_of(schema: object) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from objects_of(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects_of(value)


def test_no_object_of_the_schema_takes_fields_that_it_does_not_name() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    found = list(objects_of(schema))
    assert len(found) > 10
    assert all(item["additionalProperties"] is False for item in found)
