"""Kinds that another project defines, made known to a real API server with exactly the fields that our chart may set.

Not that project's own definitions: a field that is not named is refused, so that the chart cannot drift.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.cluster.cluster import Cluster
from tests.integration.site.playground import eventually

_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

TEXT: Mapping[str, Any] = {"type": "string", "minLength": 1}


def an_object(properties: Mapping[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
    """Return the schema of an object that has these fields and no others."""
    return {"type": "object", "properties": dict(properties), **({"required": list(required)} if required else {})}


def a_list(items: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "items": dict(items)}


def a_map(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a mapping with any names."""
    return {"type": "object", "additionalProperties": dict(values)}


def definition(group: str, kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a namespaced kind whose whole content is its ``spec``."""
    plural = f"{kind.lower()}s"
    schema = an_object({"spec": spec}, ("spec",))
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [version],
        },
    }


def define(cluster: Cluster, definitions: Sequence[Mapping[str, Any]]) -> None:
    """Make kinds known to a cluster; harmless when they are."""
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": definitions})
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=items)
    for known in definitions:
        path = f"/apis/{known['spec']['group']}/v1/{known['spec']['names']['plural']}"
        eventually(lambda path=path: cluster.api.answers(path))  # type: ignore[misc]
        eventually(lambda known=known: _is_discovered(cluster, known["spec"]))  # type: ignore[misc]


def _is_discovered(cluster: Cluster, spec: Mapping[str, Any]) -> bool:
    """Return True if kubectl and Helm find the kind: the list of all kinds has it a moment after it is served."""
    groups = cluster.api.request("GET", "/apis", headers={"Accept": _DISCOVERY}).json()["items"]
    versions = (each for group in groups if group["metadata"]["name"] == spec["group"] for each in group["versions"])
    return any(spec["names"]["plural"] == each["resource"] for version in versions for each in version["resources"])
