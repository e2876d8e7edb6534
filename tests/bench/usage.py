"""``python -m tests.bench.usage``: ``usage`` and ``revoke --dry-run`` at scale, on a real API server (PODS=10000).

Ten Pods are in each namespace. They reference the copy; every tenth namespace has a Secret of its own, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from tests.bench.filling import Filling
from tests.bench.plan import PATIENCE_SECONDS, run, show
from tests.cluster.cluster import Cluster
from tests.integration.day.disorder import settle
from tests.integration.site.playground import COPY, REGISTRY, SOURCE, Playground, dockerconfigjson, eventually
from webhook.kube.resources import PODS, SECRETS, Resource

PODS_IN_NAMESPACE = 10
OWN_SECRET = 10
"""Every so many namespaces have a Secret of their own."""

ENVIRONMENT = [{"name": f"SETTING_{number}", "value": "x" * 40} for number in range(20)]
"""Pods of real applications have a few kilobytes."""


def objects(names: list[str]) -> Iterator[tuple[Resource, dict[str, Any], str]]:
    """Yield the Secrets and the Pods of all namespaces."""
    for position, name in enumerate(names):
        references = [{"name": COPY}]
        if position % OWN_SECRET == 0:
            references.append({"name": "own"})
            data = dockerconfigjson("own", f"{REGISTRY}/team")
            yield SECRETS, {"metadata": {"name": "own"}, "type": "kubernetes.io/dockerconfigjson", "data": data}, name
        for number in range(PODS_IN_NAMESPACE):
            images = [f"{REGISTRY}/team/app-{number}:1", "nginx"]
            containers = [{"name": f"c{at}", "image": image, "env": ENVIRONMENT} for at, image in enumerate(images)]
            spec = {"containers": containers, "imagePullSecrets": references}
            yield PODS, {"metadata": {"name": f"web-{number}"}, "spec": spec}, name


def main() -> None:
    """Measure and print."""
    size = int(os.environ.get("PODS", "10000"))
    names = [f"team-{number:05}" for number in range(size // PODS_IN_NAMESPACE)]
    with Cluster.start() as cluster, Playground.make(cluster) as playground:
        playground.set_source("first")
        filling = Filling(cluster.kubeconfig)
        filling.create(names, {playground.label: "enabled"})
        sync = playground.installation.start_sync()
        sync.wait_ready()
        last = f"/api/v1/namespaces/{names[-1]}/serviceaccounts/default"
        eventually(lambda: cluster.api.answers(last), seconds=PATIENCE_SECONDS)
        settle(sync, seconds=PATIENCE_SECONDS)
        sync.stop()
        filling.make(objects(names))
        release = playground.installation.release
        for arguments in (("usage",), ("usage", SOURCE), ("usage", "--anonymous"), ("revoke", SOURCE, "--dry-run")):
            show(f"{size} Pods, {' '.join(arguments)}", run(cluster.kubeconfig, release, *arguments))


if __name__ == "__main__":
    main()
