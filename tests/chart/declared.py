"""What the chart's values.yaml declares: each value with its default and what its comment says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tests.cluster.helm import CHART

_COMMENT = re.compile(r" *# ?(?:-- )?(.*)")
_KEY = re.compile(r"( *)(\w+):")


@dataclass(frozen=True, slots=True)
class Value:
    """One value: its path (``webhook.replicas``), its default, and the words of its ``# --`` comment."""

    path: str
    default: Any
    meaning: str


def values() -> list[Value]:
    """Return every value that a ``# --`` comment stands above, in their order."""
    text = (CHART / "values.yaml").read_text()
    defaults = yaml.safe_load(text)
    return [Value(path, at(defaults, path), meaning) for path, meaning in _commented(text)]


def at(tree: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 (a value is any JSON)
    """Return what stands at a path of nested mappings."""
    found: Any = tree
    for name in path.split("."):
        found = found[name]
    return found


def nested(path: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 (a value is any JSON)
    """Return the mappings in which ``value`` stands at ``path``."""
    for name in reversed(path.split(".")):
        value = {name: value}
    whole: dict[str, Any] = value
    return whole


def _commented(text: str) -> Iterator[tuple[str, str]]:
    parents: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("# -- ") or (comment and line.lstrip().startswith("#")):
            found = _COMMENT.fullmatch(line)
            assert found
            comment.append(found[1])
            continue
        if key := _KEY.match(line):
            parents = [*(parent for parent in parents if parent[0] < len(key[1])), (len(key[1]), key[2])]
            if comment:
                yield ".".join(name for _, name in parents), " ".join(comment)
        comment = []


def strict_schema() -> dict[str, Any]:
    """Return the schema of the values by which the templates check them."""
    loaded: dict[str, Any] = json.loads((CHART / "files" / "values.json").read_text())
    return loaded


WHOLES = {"labels", "annotations", "resources", "probe", "labelSelector", "asKubernetesHasIt", "listAsKubernetesHasIt"}
"""Definitions of values that are set as a whole, as are those with a short form: what is inside is Kubernetes' own."""


def in_schema(
    whole: dict[str, Any] | None = None, part: dict[str, Any] | None = None, above: str = ""
) -> Iterator[str]:
    """Yield the path of every value that the schema knows."""
    whole = whole or strict_schema()
    for key, value in (part or whole)["properties"].items():
        name = value.get("$ref", "").rpartition("/")[2]
        resolved = whole["definitions"][name] if name else value
        if "properties" in resolved and name not in WHOLES and "string" not in resolved["type"]:
            yield from in_schema(whole, resolved, f"{above}{key}.")
        else:
            yield f"{above}{key}"


_WHOLE_FIELDS = {"optIn", "healing", "pullSecrets[]", "pullSecrets[].sources[]", "pullSecrets[].serviceAccounts"}
"""Fields of the configuration that are never set as a whole."""


RENEWING = {f"pullSecrets[].sources[].{kind}" for kind in ("credentialProvider", "serviceAccountToken")}
"""Fields of the configuration whose own fields docs/renewing.md describes."""


def in_configuration() -> Iterator[str]:
    """Yield the path of every field of the configuration document that the schema of the values knows."""
    whole = strict_schema()
    for name in ("optIn", "excludedNamespaces", "pullSecrets", "retired", "healing"):
        yield from _fields(whole["properties"][name], whole["definitions"], name)


def _fields(part: dict[str, Any], definitions: dict[str, Any], path: str) -> Iterator[str]:
    part = definitions[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
    if path not in _WHOLE_FIELDS:
        yield path
    if path in RENEWING:
        return
    for name, field in part.get("properties", {}).items():
        yield from _fields(field, definitions, f"{path}.{name}")
    items = part.get("items", {})
    if "properties" in items or items.get("$ref", "").endswith("pullSecret"):
        yield from (found for found in _fields(items, definitions, f"{path}[]") if found != f"{path}[]")
