"""The rendered chart, with the questions that the tests ask of it."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.cluster import helm

RELEASE = "psw"
NAMESPACE = "psw-system"
FULLNAME = "psw-pull-secret-webhook"

READERS = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}
"""The people who have the rights of "reader"."""

SAMPLE: Mapping[str, Any] = {
    "pullSecrets": [
        {"name": "registry-credentials", "sources": [{"secretName": "harbor"}, {"secretName": "ghcr"}]},
        {
            "name": "vendor-credentials",
            "sources": [{"secretName": "ghcr"}],
            "namespaceSelector": {"matchLabels": {"department": "payments"}},
        },
    ],
    "retired": ["old-credentials"],
}
"""Values with all that rights depend on: several names, a source twice, a selector, a retired name."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The rules of one Role (with its namespace) or ClusterRole (without), and the subjects they are bound to."""

    namespace: str | None
    rules: list[dict[str, Any]]
    subjects: list[dict[str, str]]


@dataclass(frozen=True)
class Rendered:
    """The objects of one ``helm template``."""

    objects: list[dict[str, Any]] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [item for item in self.objects if item["kind"] == kind]

    def one(self, kind: str, suffix: str = "") -> dict[str, Any]:
        (found,) = (item for item in self.of_kind(kind) if item["metadata"]["name"] == f"{FULLNAME}{suffix}")
        return found

    def container(self, component: str) -> dict[str, Any]:
        (container,) = self.one("Deployment", f"-{component}")["spec"]["template"]["spec"]["containers"]
        return dict(container)

    def webhook(self, resource: str) -> dict[str, Any]:
        webhooks = self.one("MutatingWebhookConfiguration")["webhooks"]
        (found,) = (item for item in webhooks if item["name"] == f"{resource}.pullsecrets.webhook")
        return dict(found)

    def grants(self) -> Iterator[Grant]:
        """Yield each role with its subjects; a role that nothing binds, or a binding without a role, is an error."""
        for kind in ("Role", "ClusterRole"):
            bindings = {
                (item["metadata"].get("namespace"), item["roleRef"]["name"]): item
                for item in self.of_kind(f"{kind}Binding")
            }
            for role in self.of_kind(kind):
                namespace = role["metadata"].get("namespace")
                binding = bindings.pop((namespace, role["metadata"]["name"]))
                assert binding["roleRef"]["kind"] == kind
                yield Grant(namespace, role["rules"], binding["subjects"])
            assert bindings == {}

    def rights(self, component: str) -> list[tuple[str | None, dict[str, Any]]]:
        """Return (namespace or None, rule) of every right of one ServiceAccount of the chart, or of "reader"."""
        subject = {"kind": "ServiceAccount", "name": f"{FULLNAME}-{component}", "namespace": NAMESPACE}
        if component == "reader":
            subject = READERS
        mine = [grant for grant in self.grants() if grant.subjects == [subject]]
        return sorted(((grant.namespace, rule) for grant in mine for rule in grant.rules), key=repr)


def render(values: Mapping[str, Any] | None = None) -> Rendered:
    """Render the chart with these values; `HelmFailed` with what Helm says against them."""
    return Rendered(copy.deepcopy(_objects(json.dumps(values or {}))))


@functools.cache
def _objects(values: str) -> list[dict[str, Any]]:
    """Render each set of values once a session: most of the time of these tests is Helm's."""
    return helm.template(RELEASE, NAMESPACE, json.loads(values))
