"""Knative Serving's controller, as a process beside the cluster: it resolves tags to digests, and makes Deployments.

Its webhook, autoscaler and networking are not there: a Service that spells out what the webhook would default needs
none of them to get its first Deployment.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.cluster import binaries, build
from tests.cluster.cluster import Cluster
from tests.cluster.supervise import Program

NAMESPACE = "knative-serving"
VERSION = "v0.42.2"
_SERVING, _NETWORKING, _CACHING = "knative.dev/serving", "knative.dev/networking", "knative.dev/caching"
_TARGET = build.Target(
    sources=Path(__file__).parent,
    names=("controller",),
    title=f"Knative Serving's controller {VERSION}",
    expectation="2 to 3 minutes on two cores",
    package="knative.dev/serving/cmd/controller",
    manifests=dict.fromkeys((_SERVING, _NETWORKING, _CACHING), "config"),
)
_KINDS = (
    f"{_SERVING}/core/300-resources",
    f"{_NETWORKING}/certificate.yaml",
    f"{_NETWORKING}/domain-claim.yaml",
    f"{_NETWORKING}/ingress.yaml",
    f"{_NETWORKING}/serverlessservice.yaml",
    f"{_CACHING}/image.yaml",
)
_SETTINGS = (f"{_SERVING}/core/configmaps", f"{_NETWORKING}/config-network.yaml")


def find() -> Path:
    """Return the folder with the controller and its manifests, after a build if they are not there yet."""
    return binaries.built(_TARGET, f"knative-{VERSION}")


def start(cluster: Cluster, queue_image: str) -> Program:
    """Install Serving's kinds and settings, and start its controller; ``queue_image`` stands in for its sidecar."""
    folder = find()
    for kind in _KINDS:
        cluster.kubectl("apply", "--server-side", "-f", str(folder / kind))
    cluster.kubectl("wait", "--for=condition=established", "crd", "--all", "--timeout=60s")
    cluster.kubectl("create", "namespace", NAMESPACE)
    for settings in _SETTINGS:
        cluster.kubectl("apply", "--server-side", "-n", NAMESPACE, "-f", str(folder / settings))
    sidecar = f'{{"data": {{"queue-sidecar-image": "{queue_image}"}}}}'
    cluster.kubectl("patch", "configmap", "config-deployment", "-n", NAMESPACE, f"--patch={sidecar}")
    environment = {
        **os.environ,
        "SYSTEM_NAMESPACE": NAMESPACE,
        "CONFIG_LOGGING_NAME": "config-logging",
        "CONFIG_OBSERVABILITY_NAME": "config-observability",
        "METRICS_DOMAIN": "knative.dev/internal/serving",
        "POD_NAME": "controller",
        "KUBERNETES_MIN_VERSION": "v1.28.0",
        "KUBECONFIG": str(cluster.kubeconfig),
        "SSL_CERT_FILE": str(cluster.ca_file),
    }
    return cluster.keeper.start("knative-controller", [str(folder / "controller")], environment)
