"""Knative Serving resolves a private tag to its digest by what is on the ServiceAccount, before there is any Pod."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.knative.services import knative_service, revision, wait_resolved
from tests.e2e.release import Release
from tests.e2e.site import Site


@pytest.fixture(scope="module")
def release(knative: None, install: Callable[..., Release]) -> Release:  # noqa: ARG001 (it must run)
    return install("serverless")


def test_in_a_labelled_namespace_the_digest_is_found_and_the_pod_pulls(site: Site, release: Release) -> None:
    namespace = release.create_tenant("functions")
    site.apply(knative_service(namespace, site.private_image))
    wait_resolved(site, namespace, site.private_image)

    def pulled() -> bool:
        pods = site.get("pods", "-n", namespace, "-l", "serving.knative.dev/service=hello")["items"]
        containers = [status for pod in pods for status in pod["status"].get("containerStatuses", [])]
        return any(status["name"] == "user-container" and "running" in status["state"] for status in containers)

    site.wait(pulled, "the container of the Revision's Pod runs")


@pytest.mark.usefixtures("release")
def test_in_an_unlabelled_namespace_the_container_is_missing(site: Site) -> None:
    namespace = site.create_namespace("without")
    site.apply(knative_service(namespace, site.private_image))

    def missing() -> bool:
        conditions = revision(site, namespace).get("status", {}).get("conditions", [])
        return any(c.get("reason") == "ContainerMissing" and "401" in c.get("message", "") for c in conditions)

    site.wait(missing, "the Revision says ContainerMissing, for 401 of the registry")
