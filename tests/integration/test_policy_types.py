"""The API server's own type checker finds nothing wrong with any expression in the policies of the chart.

It is a controller, and only the cluster of this module runs it, because it takes as much CPU as the API server.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.programs import CONTROLLERS, TYPE_CHECKER
from tests.integration.site.playground import COPY, SOURCE, Playground, eventually

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"

SECRET = {"secretName": SOURCE}
SELECTING = {"name": "of-some", "sources": [SECRET], "namespaceSelector": {"matchLabels": {"team": "a"}}}
LIMITED = {"name": "of-patterns", "sources": [{**SECRET, "namespaces": ["team-*", "x"]}, {"secretName": "other"}]}
PROVIDER = {"credentialProvider": {"name": "fake", "command": "fake", "images": ["registry.example.com"]}}
TOKEN = {
    "name": "token",
    "registry": "registry.example.com",
    "username": "jwt",
    "audience": "registry",
    "lifetime": "10m",
    "serviceAccountName": "puller",
}


def pull_secret(*sources: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": COPY, "sources": list(sources)}]


VALUES: dict[str, dict[str, Any]] = {
    "one pull secret and a retired one": {"retired": ["old"]},
    "no pull secret": {"pullSecrets": []},
    "a pull secret of each kind": {"pullSecrets": [*pull_secret(SECRET), SELECTING, LIMITED], "retired": ["old"]},
    "a reserved opt-in": {"guard": {"reserveOptIn": True}},
    "sources that are renewed": {"pullSecrets": pull_secret(PROVIDER, {"serviceAccountToken": TOKEN})},
    "tokens of each namespace": {
        "pullSecrets": pull_secret(SECRET, {"serviceAccountToken": {**TOKEN, "perNamespace": True}})
    },
}


@pytest.fixture(scope="module")
def checking() -> Iterator[Cluster]:
    with Cluster.start(controllers=(*CONTROLLERS, TYPE_CHECKER)) as cluster:
        yield cluster


def policies(ours: Playground) -> list[dict[str, Any]]:
    """Return the policies of an installation."""
    prefix = f"{ours.installation.fullname}-"
    items: list[dict[str, Any]] = ours.cluster.api.call("GET", POLICIES)["items"]
    return [policy for policy in items if policy["metadata"]["name"].startswith(prefix)]


def are_checked(found: list[dict[str, Any]]) -> bool:
    """Return True if there are policies, and each has been checked as it is now."""
    return bool(found) and all(
        policy.get("status", {}).get("observedGeneration") == policy["metadata"]["generation"] for policy in found
    )


def warnings_about(ours: Playground) -> dict[str, Any]:
    """Return what the type checker says about each policy of an installation, if anything."""
    checked = eventually(lambda: policies(ours), are_checked)
    found = {policy["metadata"]["name"]: policy["status"].get("typeChecking", {}) for policy in checked}
    return {name: types["expressionWarnings"] for name, types in found.items() if "expressionWarnings" in types}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_every_expression_is_sound(checking: Cluster, values: dict[str, Any]) -> None:
    with Playground.make(checking, **values) as ours:
        assert warnings_about(ours) == {}


def test_an_expression_that_is_not_sound_is_found(checking: Cluster) -> None:
    with Playground.make(checking) as ours:
        name = policies(ours)[0]["metadata"]["name"]
        wrong = [
            {"op": "add", "path": "/spec/validations/-", "value": {"expression": "object.metadata.nothing == 'x'"}}
        ]
        ours.cluster.api.json_patch(f"{POLICIES}/{name}", wrong)
        assert list(warnings_about(ours)) == [name]
