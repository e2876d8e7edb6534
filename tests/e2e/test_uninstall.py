"""``helm uninstall`` leaves the cluster as it was before, but for the namespace and the sources: those are a user's."""

from __future__ import annotations

from tests.e2e.inventory import await_left, everything
from tests.e2e.release import Release
from tests.e2e.site import COPY, OPT_IN, Site
from tests.e2e.workloads import pod


def leases(site: Site, namespace: str) -> str:
    return site.kubectl("get", "leases", "-n", namespace, "--output=name")


def test_uninstall_leaves_nothing_of_ours_and_running_pods_alone(site: Site) -> None:
    release = Release(site, "fleeting")
    tenant = site.create_namespace("guest", {OPT_IN: "enabled"})
    before = everything(site, release.namespace, tenant)
    release.install()
    release.wait_settled(tenant)
    site.apply(pod("web", site.private_image) | {"metadata": {"name": "web", "namespace": tenant}})
    site.wait_ready(tenant, "web")
    release.uninstall()
    await_left(site, before, {f"Pod/{tenant}/web"}, release.namespace, tenant)
    assert leases(site, release.namespace) == ""
    assert site.references(tenant) == []
    web = site.get("pod", "web", "-n", tenant)
    assert web["status"]["phase"] == "Running"
    assert [entry["name"] for entry in web["spec"]["imagePullSecrets"]] == [COPY]
