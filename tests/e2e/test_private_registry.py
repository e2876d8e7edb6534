"""The scenario of Knative's guide, nothing faked: a kubelet that a private registry turns away, and then lets in."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.release import RESTRICTED, Release
from tests.e2e.site import COPY, OPT_IN, Local, Site
from tests.e2e.workloads import container, pod, workloads

TURNED_AWAY = {"ErrImagePull", "ImagePullBackOff"}


@pytest.fixture(scope="module")
def release(install: Callable[..., Release]) -> Release:
    return install("guide")


@pytest.fixture(scope="module")
def tenant(release: Release) -> str:
    """A namespace that has opted in, and enforces the restricted standard."""
    return release.create_tenant("tenant", RESTRICTED)


def running(site: Site, namespace: str) -> bool:
    """Whether there are Pods, and each runs or has run to its end."""
    found = site.get("pods", "-n", namespace)["items"]
    return bool(found) and all(pod["status"]["phase"] in {"Running", "Succeeded"} for pod in found)


@pytest.mark.usefixtures("release")
def test_without_us_the_kubelet_is_turned_away(site: Site) -> None:
    namespace = site.create_namespace("control")
    site.apply(pod("web", site.private_image) | {"metadata": {"name": "web", "namespace": namespace}})

    def turned_away() -> bool:
        statuses = site.get("pod", "web", "-n", namespace)["status"].get("initContainerStatuses", [])
        reasons = {status["state"].get("waiting", {}).get("reason") for status in statuses}
        return bool(reasons & TURNED_AWAY)

    site.wait(turned_away, "a Pod that nobody gave a reference is turned away")
    assert site.references(namespace, "pod", "web") == []
    assert not site.exists("secret", COPY, "-n", namespace)


def test_every_kind_of_workload_pulls(site: Site, tenant: str) -> None:
    manifests = workloads(site.private_image)
    site.apply(*(manifest | {"metadata": {**manifest["metadata"], "namespace": tenant}} for manifest in manifests))
    for kind in ("deployment", "statefulset", "daemonset"):
        site.kubectl("rollout", "status", f"{kind}/{kind}", "-n", tenant, "--timeout=90s")
    site.kubectl("wait", "--for=condition=complete", "job/job", "-n", tenant, "--timeout=90s")
    site.wait(lambda: running(site, tenant), "every Pod runs")


def test_the_pods_of_a_cron_job_pull(site: Site, tenant: str) -> None:
    def succeeded() -> bool:
        jobs = site.get("jobs", "-n", tenant)["items"]
        owned = [job for job in jobs if job["metadata"].get("ownerReferences", [{}])[0].get("kind") == "CronJob"]
        return any(job["status"].get("succeeded") for job in owned)

    site.wait(succeeded, "a Job of the CronJob has succeeded")


def test_a_bare_pod_and_its_ephemeral_container_pull(site: Site, tenant: str) -> None:
    overrides = {"apiVersion": "v1", "spec": {"containers": [container(site.private_image, "bare")]}}
    image, patch = f"--image={site.private_image}", f"--overrides={json.dumps(overrides)}"
    site.kubectl("run", "bare", image, patch, "-n", tenant)
    site.wait_ready(tenant, "bare")
    debugger = container(site.private_image, "debugger") | {"imagePullPolicy": "Always"}
    body = json.dumps({"spec": {"ephemeralContainers": [debugger]}})
    site.kubectl("patch", "pod", "bare", "-n", tenant, "--subresource=ephemeralcontainers", f"--patch={body}")

    def debugging() -> bool:
        statuses = site.get("pod", "bare", "-n", tenant)["status"].get("ephemeralContainerStatuses", [])
        return any("running" in status["state"] for status in statuses)

    site.wait(debugging, "the ephemeral container runs")


@pytest.fixture
def rotated(site: Site, local: Local) -> Iterator[str]:
    """A password that the registry lets in instead of the one before, which it lets in again for later scenarios."""
    local.registry.set_password("second-password")
    local.registry.wait_open_to(_basic(site.user, "second-password"))
    yield "second-password"
    local.registry.set_password(site.password)
    local.registry.wait_open_to(_basic(site.user, site.password))


def test_a_rotated_credential_pulls(site: Site, release: Release, tenant: str, rotated: str) -> None:
    before = site.get("secret", COPY, "-n", tenant)
    site.set_source(release.namespace, rotated)

    def follows() -> bool:
        copy = site.get("secret", COPY, "-n", tenant)
        return rotated in base64.b64decode(copy["data"][".dockerconfigjson"]).decode()

    site.wait(follows, "the copy follows its source")
    assert site.get("secret", COPY, "-n", tenant)["metadata"]["uid"] == before["metadata"]["uid"]
    always = pod("fresh", site.private_image)
    for part in ("containers", "initContainers"):
        always["spec"][part][0]["imagePullPolicy"] = "Always"
    site.apply(always | {"metadata": {"name": "fresh", "namespace": tenant}})
    site.wait_ready(tenant, "fresh")


def test_opting_out_takes_everything_away_and_leaves_running_pods_alone(site: Site, tenant: str) -> None:
    def long_running() -> dict[str, int]:
        pods = site.get("pods", "-n", tenant, "--field-selector=status.phase=Running", "-l", "app")["items"]
        return {pod["metadata"]["uid"]: pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods}

    before = long_running()
    assert before
    site.kubectl("label", "namespace", tenant, f"{OPT_IN}-")
    site.wait(lambda: not site.exists("secret", COPY, "-n", tenant), "the copy is gone")
    assert site.references(tenant) == []
    assert long_running() == before


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
