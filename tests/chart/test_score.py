"""kube-score's opinion of what is rendered; what we do otherwise is named with its reason.

kubeconform would say no more than the API server itself does in tests/integration/test_chart.py, and needs schemas from
the network; checkov finds the same as kube-score, and weighs 290 MB.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable
from typing import Any

import pytest

from tests.chart.rendered import NAMESPACE, RELEASE
from tests.chart.valuesets import VALUE_SETS
from tests.cluster import helm
from tests.cluster.binaries import kubernetes_version

KUBE_SCORE = "github.com/zegl/kube-score/cmd/kube-score@v1.20.0"
GO = shutil.which("go")
GOOD = 10

ACCEPTED = {
    "container-image-pull-policy": "IfNotPresent: a Pod must be able to start while the registry is away",
    "container-ephemeral-storage-request-and-limit": "nothing is written but logs, which the kubelet rotates",
    "container-resources": "no CPU limit: a webhook that is throttled lets calls run into their timeout",
    "pod-networkpolicy": "off by default: one that does not fit the network cuts the webhook off",
    "deployment-has-host-podantiaffinity": "topologySpreadConstraints spread the Pods",
    "pod-probes": "the Pod of helm test ends by itself",
    "deployment-replicas": "one replica, where somebody asks for it",
    "container-security-context-user-group-id": "OpenShift chooses the user itself",
}


def rendered() -> str:
    """Return everything that the value sets render, each in a namespace of its own."""
    objects = [
        item for name, values in VALUE_SETS.items() for item in helm.template(RELEASE, f"{NAMESPACE}-{name}", values)
    ]
    return "\n---\n".join(map(json.dumps, objects))


def findings(objects: Iterable[dict[str, Any]]) -> set[str]:
    """Return the ids of the checks that something does not pass."""
    return {
        check["check"]["id"]
        for item in objects
        for check in item["checks"]
        if not check["skipped"] and check["grade"] < GOOD
    }


@pytest.mark.skipif(GO is None, reason="there is no Go on PATH to run kube-score with")
def test_kube_score_finds_nothing_that_is_not_meant() -> None:
    version = ".".join(kubernetes_version().split(".")[:2])
    command = [str(GO), "run", KUBE_SCORE, "score", "--output-format=json"]
    command.append(f"--kubernetes-version=v{version.removeprefix('v')}")
    done = subprocess.run([*command, "-"], input=rendered(), capture_output=True, text=True, check=False)
    if not done.stdout:
        pytest.skip(f"kube-score cannot be had: {done.stderr.strip()[-200:]}")
    assert findings(json.loads(done.stdout)) == set(ACCEPTED)
