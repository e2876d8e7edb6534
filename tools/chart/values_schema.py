"""Generate values.schema.json; ``python -m tools.chart.values_schema`` writes it into the chart.

Helm checks every installation with that file, and editors complete values with it. It is made of the strict schema in
files/values.json and of the comments in values.yaml. Helm reports a wrong type, a missing or unknown name, a regular
expression and a condition in words that do not help, so the templates check those (templates/_values.tpl).
"""

from __future__ import annotations

import json
from typing import Any

from tests.chart.declared import strict_schema, values
from tests.cluster.helm import CHART

KEPT = ("enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems")
"""Keywords that Helm reports with the path and the expected value."""

FILE = CHART / "values.schema.json"


def values_schema() -> dict[str, Any]:
    """Return the schema, with a description for each value that has a comment."""
    strict = strict_schema()
    meanings = {value.path: value.meaning for value in values()}
    return {
        "$schema": strict["$schema"],
        "title": "Values of the pull-secret-webhook chart",
        **_loosened(strict, strict["definitions"], meanings, ""),
    }


def _loosened(part: dict[str, Any], definitions: dict[str, Any], meanings: dict[str, str], path: str) -> dict[str, Any]:
    if "$ref" in part:
        part = definitions[part["$ref"].rpartition("/")[2]]
    schema: dict[str, Any] = {"description": meanings[path]} if path in meanings else {}
    schema |= {key: part[key] for key in KEPT if key in part}
    if "properties" in part:
        schema["properties"] = {
            name: _loosened(inner, definitions, meanings, f"{path}.{name}" if path else name)
            for name, inner in part["properties"].items()
        }
    if isinstance(part.get("additionalProperties"), dict):
        schema["additionalProperties"] = _loosened(part["additionalProperties"], definitions, meanings, f"{path}.*")
    if "items" in part:
        schema["items"] = _loosened(part["items"], definitions, meanings, f"{path}[]")
    return schema


def text() -> str:
    """Return the schema as the chart has it."""
    return json.dumps(values_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
