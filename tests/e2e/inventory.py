"""What there is on a cluster, to compare before an installation and after its end."""

from __future__ import annotations

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


def await_left(site: Site, before: set[str], left: set[str], *namespaces: str) -> None:
    """Wait until this is left beside what was there before; a failure says what else is."""
    now: set[str] = set()

    def as_expected() -> bool:
        now.clear()
        now.update(everything(site, *namespaces))
        return now - before == left

    try:
        site.wait(as_expected, "the cluster is as it was before the installation")
    finally:
        assert now - before == left
    assert before <= now
