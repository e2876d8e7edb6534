"""``helm uninstall`` leaves the cluster as it was before, but for the namespace and the sources: those are a user's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.release import Release
from tests.e2e.site import COPY, OPT_IN
from tests.e2e.workloads import pod

if TYPE_CHECKING:
    from tests.e2e.site import Site

_IDENTITY = '{range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name}{"\\n"}{end}'
_CHANGE_BY_THEMSELVES = {
    "events",
    "events.events.k8s.io",
    "leases.coordination.k8s.io",
    "ipaddresses.networking.k8s.io",
}


def everything(site: Site, *namespaces: str) -> set[str]:
    """Return what belongs to no namespace, or to one of these, as ``Kind/namespace/name``."""
    kinds = site.kubectl("api-resources", "--verbs=list", "--output=name").split()
    listed = ",".join(kind for kind in kinds if kind not in _CHANGE_BY_THEMSELVES)
    found = site.kubectl("get", listed, "--all-namespaces", f"--output=jsonpath={_IDENTITY}").splitlines()
    return {identity for identity in found if identity.split("/")[1] in {"", *namespaces}}


def leases(site: Site, namespace: str) -> str:
    return site.kubectl("get", "leases", "-n", namespace, "--output=name")


def test_uninstall_leaves_nothing_of_ours_and_running_pods_alone(site: Site) -> None:
    release = Release(site, "fleeting")
    tenant = site.create_namespace("guest", {OPT_IN: "enabled"})
    before = everything(site, release.namespace, tenant)
    release.install()
    release.wait_settled(tenant)
    site.apply(pod("web", site.private_image) | {"metadata": {"name": "web", "namespace": tenant}})
    site.kubectl("wait", "--for=condition=ready", "pod/web", "-n", tenant, "--timeout=90s")
    release.uninstall()
    left: set[str] = set()

    def as_before() -> bool:
        left.clear()
        left.update(everything(site, release.namespace, tenant) - before - {f"Pod/{tenant}/web"})
        return not left

    try:
        site.wait(as_before, "the cluster is as it was before the installation")
    finally:
        assert left == set()
    assert before <= everything(site, release.namespace, tenant)
    assert leases(site, release.namespace) == ""
    assert site.references(tenant) == []
    web = site.get("pod", "web", "-n", tenant)
    assert web["status"]["phase"] == "Running"
    assert [entry["name"] for entry in web["spec"]["imagePullSecrets"]] == [COPY]
