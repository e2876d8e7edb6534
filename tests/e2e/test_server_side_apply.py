"""A tenant applies a ServiceAccount server-side, before and after an opt-in, an opt-out and an uninstallation."""

from __future__ import annotations

import json

from tests.e2e.release import Release
from tests.e2e.site import COPY, OPT_IN, Site

ACCOUNT = "builder"


def test_a_tenants_server_side_apply_meets_no_conflict(site: Site) -> None:
    release = Release(site, "applied")
    tenant = site.create_namespace("applier")
    release.install()

    def apply(*names: str) -> None:
        metadata = {"name": ACCOUNT, "namespace": tenant}
        references = [{"name": name} for name in names]
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "imagePullSecrets": references}
        site.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(body))

    def wait_for(*names: str) -> None:
        site.wait(lambda: site.has_references(tenant, ACCOUNT, *names), f"{ACCOUNT} references {names}")

    apply("mine")
    site.kubectl("label", "namespace", tenant, f"{OPT_IN}=enabled")
    wait_for("mine", COPY)
    apply("mine")
    apply("mine", "more")
    wait_for("mine", "more", COPY)
    site.kubectl("label", "namespace", tenant, f"{OPT_IN}-")
    wait_for("mine", "more")
    apply("other")
    site.kubectl("label", "namespace", tenant, f"{OPT_IN}=enabled")
    wait_for("other", COPY)
    release.uninstall()
    wait_for("other")
    apply("last")
    wait_for("last")
