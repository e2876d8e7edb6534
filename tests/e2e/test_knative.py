"""Knative Serving resolves a private tag to its digest by what is on the ServiceAccount, before there is any Pod."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.node.settings import PAUSE_IMAGE
from tests.e2e.knative import serving
from tests.e2e.release import Release
from tests.e2e.site import Site
from tests.e2e.workloads import container


@pytest.fixture(scope="module")
def release(site: Site, install: Callable[..., Release]) -> Release:
    if site.local:
        serving.start(site.local.node.cluster, PAUSE_IMAGE)
    elif not site.exists("crd", "services.serving.knative.dev"):
        pytest.skip("needs Knative Serving, and the cluster that E2E_KUBECONFIG names does not have it")
    return install("serverless")


def service(namespace: str, image: str) -> dict[str, Any]:
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


def test_in_a_labelled_namespace_the_digest_is_found_and_the_pod_pulls(site: Site, release: Release) -> None:
    namespace = release.create_tenant("functions")
    site.apply(service(namespace, site.private_image))
    repository = site.private_image.rpartition(":")[0]

    def resolved() -> bool:
        statuses = revision(site, namespace).get("status", {}).get("containerStatuses", [])
        return any(status.get("imageDigest", "").startswith(f"{repository}@sha256:") for status in statuses)

    site.wait(resolved, "the Revision knows the digest of its image")

    def pulled() -> bool:
        pods = site.get("pods", "-n", namespace, "-l", "serving.knative.dev/service=hello")["items"]
        containers = [status for pod in pods for status in pod["status"].get("containerStatuses", [])]
        return any(status["name"] == "user-container" and "running" in status["state"] for status in containers)

    site.wait(pulled, "the container of the Revision's Pod runs")


@pytest.mark.usefixtures("release")
def test_in_an_unlabelled_namespace_the_container_is_missing(site: Site) -> None:
    namespace = site.create_namespace("without")
    site.apply(service(namespace, site.private_image))

    def missing() -> bool:
        conditions = revision(site, namespace).get("status", {}).get("conditions", [])
        return any(c.get("reason") == "ContainerMissing" and "401" in c.get("message", "") for c in conditions)

    site.wait(missing, "the Revision says ContainerMissing, for 401 of the registry")
