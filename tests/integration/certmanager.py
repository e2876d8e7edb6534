"""What of cert-manager this chart uses: the two kinds, with exactly the fields it may set, on a real API server.

Not cert-manager's own definitions: a field that is not named here is refused, so that the chart cannot drift.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.integration.playground import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.cluster.cluster import Cluster

GROUP = "cert-manager.io"
_TEXT = {"type": "string", "minLength": 1}
_GO_DURATION = {"type": "string", "pattern": "^([0-9]+(h|m|s))+$"}
_TEXTS = {"type": "array", "items": _TEXT}


def _object(properties: Mapping[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), **({"required": list(required)} if required else {})}


_ISSUER_REFERENCE = _object({"name": _TEXT, "kind": _TEXT, "group": _TEXT}, ("name",))
_PRIVATE_KEY = _object(
    {
        "algorithm": {"enum": ["RSA", "ECDSA", "Ed25519"], "type": "string"},
        "size": {"type": "integer"},
        "rotationPolicy": {"enum": ["Never", "Always"], "type": "string"},
    }
)
_CERTIFICATE = _object(
    {
        "isCA": {"type": "boolean"},
        "commonName": {**_TEXT, "maxLength": 64},
        "dnsNames": _TEXTS,
        "ipAddresses": _TEXTS,
        "usages": _TEXTS,
        "secretName": _TEXT,
        "duration": _GO_DURATION,
        "renewBefore": _GO_DURATION,
        "privateKey": _PRIVATE_KEY,
        "issuerRef": _ISSUER_REFERENCE,
    },
    ("secretName", "issuerRef"),
)
_ISSUER = _object({"selfSigned": _object({}), "ca": _object({"secretName": _TEXT}, ("secretName",))})


def _definition(kind: str, plural: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    schema = _object({"spec": spec}, ("spec",))
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [version],
        },
    }


DEFINITIONS = [
    _definition("Certificate", "certificates", _CERTIFICATE),
    _definition("Issuer", "issuers", _ISSUER),
]


def define(cluster: Cluster) -> None:
    """Make the two kinds known to a cluster; harmless when they are."""
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": DEFINITIONS})
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=items)
    for definition in DEFINITIONS:
        plural = definition["spec"]["names"]["plural"]
        eventually(lambda plural=plural: cluster.api.answers(f"/apis/{GROUP}/v1/{plural}"))  # type: ignore[misc]
