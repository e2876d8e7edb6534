"""What of cert-manager this chart uses: the two kinds, with exactly the fields it may set, on a real API server."""

from __future__ import annotations

from tests.cluster.cluster import Cluster
from tests.integration.neighbours import definitions
from tests.integration.neighbours.definitions import TEXT, a_list, an_object, definition

GROUP = "cert-manager.io"
_GO_DURATION = {"type": "string", "pattern": "^([0-9]+(h|m|s))+$"}

_ISSUER_REFERENCE = an_object({"name": TEXT, "kind": TEXT, "group": TEXT}, ("name",))
_PRIVATE_KEY = an_object(
    {
        "algorithm": {"enum": ["RSA", "ECDSA", "Ed25519"], "type": "string"},
        "size": {"type": "integer"},
        "rotationPolicy": {"enum": ["Never", "Always"], "type": "string"},
    }
)
_CERTIFICATE = an_object(
    {
        "isCA": {"type": "boolean"},
        "commonName": {**TEXT, "maxLength": 64},
        "dnsNames": a_list(TEXT),
        "ipAddresses": a_list(TEXT),
        "usages": a_list(TEXT),
        "secretName": TEXT,
        "duration": _GO_DURATION,
        "renewBefore": _GO_DURATION,
        "privateKey": _PRIVATE_KEY,
        "issuerRef": _ISSUER_REFERENCE,
    },
    ("secretName", "issuerRef"),
)
_ISSUER = an_object({"selfSigned": an_object({}), "ca": an_object({"secretName": TEXT}, ("secretName",))})


def define(cluster: Cluster) -> None:
    """Make the two kinds known to a cluster; harmless when they are."""
    kinds = (("Certificate", _CERTIFICATE), ("Issuer", _ISSUER))
    definitions.define(cluster, [definition(GROUP, kind, spec) for kind, spec in kinds])
