"""Somebody with a stolen token of one of the chart's ServiceAccounts, and what he may try."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.cluster.api import Answer, Api
from tests.integration.site.playground import COPY, REGISTRY, Playground, dockerconfigjson
from webhook.rules.ownership import copy_labels, labels_for

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"


@dataclass(frozen=True, slots=True)
class Impostor:
    """Requests of one identity; each answer is the API server's own."""

    api: Api
    playground: Playground

    @classmethod
    def of(cls, playground: Playground, component: str) -> Impostor:
        """Steal a token: ``webhook``, ``sync`` or ``cleanup``."""
        installation = playground.installation
        if component == "cleanup":
            installation.allow_hooks()
        name = f"{installation.fullname}-{component}"
        return cls(playground.cluster.api_as(name, installation.namespace), playground)

    @property
    def our_labels(self) -> dict[str, str]:
        return labels_for(self.playground.installation.release, self.playground.installation.namespace)

    def copy_labels(self, namespace: str) -> dict[str, str]:
        """Return the labels of a copy in a namespace; of a namespace that cannot be read, a UID that is wrong."""
        found = self.playground.cluster.api.request("GET", f"/api/v1/namespaces/{namespace}")
        uid = found.json()["metadata"]["uid"] if found.status == 200 else "unknown"
        installation = self.playground.installation
        return copy_labels(installation.release, installation.namespace, uid)

    def apply_secret(self, namespace: str, name: str = COPY, *, query: str = "", **changes: Any) -> Answer:  # noqa: ANN401
        """Write a Secret by server-side apply, as sync writes a copy, but for the ``changes``."""
        metadata = {"name": name, "namespace": namespace, "labels": self.copy_labels(namespace)}
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata | changes.pop("metadata", {}),
            "type": "kubernetes.io/dockerconfigjson",
            "data": dockerconfigjson("stolen", REGISTRY),
            **changes,
        }
        path = f"/api/v1/namespaces/{namespace}/secrets/{name}?fieldManager=impostor&force=true{query}"
        return self.api.request("PATCH", path, body, APPLY)

    def delete_secret(self, namespace: str, name: str = COPY, query: str = "") -> Answer:
        return self.api.request("DELETE", f"/api/v1/namespaces/{namespace}/secrets/{name}{query}")

    def patch_account(self, namespace: str, body: Mapping[str, Any], name: str = "default", query: str = "") -> Answer:
        """Change a ServiceAccount by a merge patch."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}{query}"
        return self.api.request("PATCH", path, body, MERGE)

    def reference(self, namespace: str, *names: str, account: str = "default", query: str = "") -> Answer:
        """Make a ServiceAccount reference exactly these names."""
        return self.patch_account(namespace, {"imagePullSecrets": [{"name": name} for name in names]}, account, query)
