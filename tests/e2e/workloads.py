"""Manifests of everything that makes Pods, each of the private image; they satisfy the restricted standard."""

from __future__ import annotations

from typing import Any

PodSpec = dict[str, Any]
Manifest = dict[str, Any]

SLEEP = ["/bin/busybox", "sleep", "86400"]
TRUE = ["/bin/busybox", "true"]


def container(image: str, name: str = "main", command: list[str] | None = None) -> dict[str, Any]:
    """Return a container that the restricted standard lets in."""
    return {
        "name": name,
        "image": image,
        "command": command or SLEEP,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def pod_spec(image: str, command: list[str] | None = None, **more: Any) -> PodSpec:  # noqa: ANN401 (any field of a PodSpec)
    """Return a Pod's spec with one container and an init container, quick to end."""
    return {
        "containers": [container(image, command=command)],
        "initContainers": [container(image, "before", TRUE)],
        "terminationGracePeriodSeconds": 1,
        **more,
    }


def pod(name: str, image: str, **more: Any) -> Manifest:  # noqa: ANN401
    """Return a bare Pod."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec(image, **more)}


def workloads(image: str) -> list[Manifest]:
    """Return one of each kind that makes Pods; the names are the kinds'."""
    once = {"spec": pod_spec(image, TRUE, restartPolicy="Never")}
    return [
        _workload("apps/v1", "Deployment", replicas=2, **_selected("deployment", image)),
        _workload("apps/v1", "StatefulSet", serviceName="none", **_selected("statefulset", image)),
        _workload("apps/v1", "DaemonSet", **_selected("daemonset", image)),
        _workload("batch/v1", "Job", template=once),
        _workload("batch/v1", "CronJob", schedule="* * * * *", jobTemplate={"spec": {"template": once}}),
    ]


def _workload(version: str, kind: str, **spec: Any) -> Manifest:  # noqa: ANN401
    return {"apiVersion": version, "kind": kind, "metadata": {"name": kind.lower()}, "spec": spec}


def _selected(app: str, image: str) -> dict[str, Any]:
    labels = {"app": app}
    return {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod_spec(image)}}
