"""cert-manager's controllers and its injector of authorities, as one process beside the cluster.

Its validating webhook is not there: what the chart sets needs neither its defaults nor its refusals.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.cluster import binaries, build
from tests.cluster.cluster import Cluster
from tests.cluster.supervise import Program

NAMESPACE = "cert-manager"
VERSION = "v1.21.2"
_MODULE = "github.com/cert-manager/cert-manager"
_TARGET = build.Target(
    sources=Path(__file__).parent,
    names=("certmanager",),
    title=f"cert-manager {VERSION}",
    expectation="2 minutes on two cores",
    manifests={_MODULE: "deploy/crds"},
)


def find() -> Path:
    """Return the folder with the program and its manifests, after a build if they are not there yet."""
    return binaries.built(_TARGET, f"certmanager-{VERSION}")


def start(cluster: Cluster) -> Program:
    """Install cert-manager's kinds, and start it."""
    folder = find()
    kinds = sorted((folder / _MODULE).glob("*.yaml"))
    for kind in kinds:
        cluster.kubectl("apply", "--server-side", "-f", str(kind))
    cluster.kubectl("wait", "--for=condition=established", "crd", "--all", "--timeout=60s")
    cluster.kubectl("create", "namespace", NAMESPACE)
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "POD_NAMESPACE": NAMESPACE}
    return cluster.keeper.start("certmanager", [str(folder / "certmanager")], environment)
