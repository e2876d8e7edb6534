"""Knative Services of the private image, and what becomes of their Revisions."""

from __future__ import annotations

from typing import Any

from tests.e2e.site import Site
from tests.e2e.workloads import container


def knative_service(namespace: str, image: str) -> dict[str, Any]:
    """Return a Knative Service that needs no defaults from Knative's own webhook."""
    user = container(image, "user-container") | {"readinessProbe": {"successThreshold": 1, "tcpSocket": {"port": 0}}}
    template = {"spec": {"containerConcurrency": 0, "timeoutSeconds": 300, "containers": [user]}}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "hello", "namespace": namespace},
        "spec": {"template": template, "traffic": [{"latestRevision": True, "percent": 100}]},
    }


def revision(site: Site, namespace: str) -> dict[str, Any]:
    """Return the one Revision of a namespace; nothing where there is none yet."""
    found = site.get("revisions.serving.knative.dev", "-n", namespace)["items"]
    return found[0] if found else {}


def wait_resolved(site: Site, namespace: str, image: str) -> None:
    """Wait until the namespace's Revision has the digest of its image."""
    repository = image.rpartition(":")[0]

    def resolved() -> bool:
        statuses = revision(site, namespace).get("status", {}).get("containerStatuses", [])
        return any(status.get("imageDigest", "").startswith(f"{repository}@sha256:") for status in statuses)

    site.wait(resolved, "the Revision knows the digest of its image")
