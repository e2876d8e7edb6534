"""Two releases with labels and names of their own share a cluster, and leave each other's namespaces alone."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e.release import Release, pull_secret
from tests.e2e.site import COPY, OPT_IN, Site

THEIR_LABEL = "second.example.com/inject"
THEIR_COPY = "second-credentials"


def test_each_release_serves_its_own_label(site: Site, install: Callable[..., Release]) -> None:
    install("first")
    second = install("second", optIn={"label": THEIR_LABEL, "value": "yes"}, pullSecrets=[pull_secret(THEIR_COPY)])
    of_first = site.create_namespace("of-first", {OPT_IN: "enabled"})
    of_second = site.create_namespace("of-second", {THEIR_LABEL: "yes"})
    of_both = site.create_namespace("of-both", {OPT_IN: "enabled", THEIR_LABEL: "yes"})
    expected = {of_first: {COPY}, of_second: {THEIR_COPY}, of_both: {COPY, THEIR_COPY}}

    def copies(namespace: str) -> set[str]:
        return {secret["metadata"]["name"] for secret in site.get("secrets", "-n", namespace)["items"]}

    def each_its_own() -> bool:
        return all(copies(name) == names == set(site.references(name)) for name, names in expected.items())

    site.wait(each_its_own, "each namespace has the copies and references of its labels, and no others")
    second.uninstall()
    expected |= {of_second: set(), of_both: {COPY}}
    site.wait(each_its_own, "what the second release gave is gone, and what the first gave is there")
