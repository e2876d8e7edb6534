"""Pods that cannot pull, on a cluster without a kubelet: their statuses are written as the kubelet writes them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from tests.integration.site.playground import REGISTRY, Playground, eventually
from webhook.rules.healing_state import encode_healing
from webhook.rules.ownership import MANAGED_BY, MANAGED_BY_LABEL

IMAGE = f"{REGISTRY}/app:1"

WAITING = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}


def permit_evictions(site: Playground, reserved: int = 0) -> None:
    """Store that the last minute had so many evictions, as a leader before does: otherwise sync waits a minute."""
    value = b64encode(encode_healing(reserved, {})).decode()
    labels = {MANAGED_BY_LABEL: MANAGED_BY}
    name, namespace = site.installation.state_secret, site.installation.namespace
    body = {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "data": {"_healing": value}}
    site.apply(namespace, "Secret", name, body)


def template(image: str = IMAGE, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 (any JSON)
    """Return a Pod template with the label ``app: stuck``."""
    return {"metadata": {"labels": {"app": "stuck"}}, "spec": {"containers": [{"name": "app", "image": image}], **spec}}


def create_replica_set(site: Playground, namespace: str, name: str, replicas: int, **pods: Any) -> None:  # noqa: ANN401
    """Create a ReplicaSet, and wait for its Pods."""
    labels = {"app": "stuck", "owner": name}
    whole = template(**pods)
    whole["metadata"] = {"labels": labels}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": whole}
    body = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name}, "spec": spec}
    site.cluster.api.call("POST", f"/apis/apps/v1/namespaces/{namespace}/replicasets", body)
    eventually(lambda: pods_of(site, namespace, name), lambda seen: len(seen) == replicas)


def pods_of(site: Playground, namespace: str, owner: str = "") -> dict[str, dict[str, Any]]:
    """Return the Pods of a namespace, or of one owner in it, by name."""
    items: Sequence[dict[str, Any]] = site.cluster.api.call("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
    return {
        item["metadata"]["name"]: item
        for item in items
        if not owner or owner in [each["name"] for each in item["metadata"].get("ownerReferences", [])]
    }


def set_state(
    site: Playground, pod: Mapping[str, Any], state: Mapping[str, Any] = WAITING, phase: str = "Pending"
) -> None:
    """Write the state of each container of a Pod."""
    statuses = [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": state,
        }
        for container in pod["spec"]["containers"]
    ]
    metadata = pod["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
    body = {"status": {"phase": phase, "containerStatuses": statuses}}
    site.cluster.api.call("PATCH", path, body, "application/merge-patch+json")


def get_stuck(site: Playground, namespace: str) -> dict[str, dict[str, Any]]:
    """Have each Pod of a namespace fail to pull; return them by name."""
    found = pods_of(site, namespace)
    for pod in found.values():
        set_state(site, pod)
    return found
