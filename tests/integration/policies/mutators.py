"""Other people's tools: a MutatingAdmissionPolicy that changes the objects which this project writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.cluster.cluster import Cluster
from tests.integration.policies.judge import ADMISSION, await_policies

LABEL = "policy.example.com/team"
PLAIN_LABEL = "costcenter"
ANNOTATION = "policy.example.com/seen"
REFERENCE = "mirror-credentials"

STAMP = f"""Object{{metadata: Object.metadata{{
  labels: {{"{LABEL}": "platform", "{PLAIN_LABEL}": "x"}},
  annotations: {{"{ANNOTATION}": request.userInfo.username}}}}}}"""

APPEND = f"""
  object.?imagePullSecrets.orValue([]).exists(each, each.?name.orValue("") == "{REFERENCE}") ? [] :
  has(object.imagePullSecrets) ?
  [JSONPatch{{op: "add", path: "/imagePullSecrets/-", value: Object.imagePullSecrets{{name: "{REFERENCE}"}}}}] :
  [JSONPatch{{op: "add", path: "/imagePullSecrets", value: [Object.imagePullSecrets{{name: "{REFERENCE}"}}]}}]"""

PREPEND = APPEND.replace("/imagePullSecrets/-", "/imagePullSecrets/0")

MUTATED = "example.com/mutated"
"""The label of the namespaces that a policy is about; its value is the name of the policy."""


@contextmanager
def mutating(
    cluster: Cluster, name: str, resource: str, operations: list[str], *mutations: dict[str, Any]
) -> Iterator[None]:
    """Have a policy of somebody else's in force in the namespaces that are labelled with its name."""
    about = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": f"{name}-{resource}"}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": [resource], "operations": operations}
    spec = {
        "matchConstraints": {"namespaceSelector": {"matchLabels": {MUTATED: name}}, "resourceRules": [rule]},
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "mutations": list(mutations),
    }
    policy = {"kind": "MutatingAdmissionPolicy", **about, "spec": spec}
    binding = {
        "kind": "MutatingAdmissionPolicyBinding",
        **about,
        "spec": {"policyName": f"{name}-{resource}"},
    }
    cluster.api.call("POST", f"{ADMISSION}/mutatingadmissionpolicies", policy)
    cluster.api.call("POST", f"{ADMISSION}/mutatingadmissionpolicybindings", binding)
    await_policies(cluster)
    try:
        yield
    finally:
        cluster.api.call("DELETE", f"{ADMISSION}/mutatingadmissionpolicybindings/{name}-{resource}")
        cluster.api.call("DELETE", f"{ADMISSION}/mutatingadmissionpolicies/{name}-{resource}")


def applied(expression: str) -> dict[str, Any]:
    """Return a mutation that merges a configuration into the object."""
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def patched(expression: str) -> dict[str, Any]:
    """Return a mutation by JSON Patch."""
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}
