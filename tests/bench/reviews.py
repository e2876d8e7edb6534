"""AdmissionReviews of a given size, as the API server sends them for a Pod."""

from __future__ import annotations

import json
from typing import Any

NAMESPACE = "team-a"


def pod_review(size: int) -> bytes:
    """Return the review of a Pod creation with about ``size`` bytes: containers, environment and managedFields."""
    containers: list[dict[str, Any]] = []
    while len(body := _review(containers)) < size:
        containers.append(_container(len(containers)))
    return body


def _review(containers: list[dict[str, Any]]) -> bytes:
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    resource = {"group": "", "version": "v1", "resource": "pods"}
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "name": "",
        "namespace": NAMESPACE,
        "operation": "CREATE",
        "userInfo": {
            "username": "system:serviceaccount:kube-system:replicaset-controller",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"],
        },
        "object": _pod(containers),
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }
    document = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}
    return json.dumps(document, separators=(",", ":")).encode()


def _pod(containers: list[dict[str, Any]]) -> dict[str, Any]:
    names: dict[str, Any] = {
        f'k:{{"name":"{container["name"]}"}}': {".": {}, "f:image": {}, "f:env": {}} for container in containers
    }
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "generateName": "web-7d5c9c7b9f-",
            "namespace": NAMESPACE,
            "labels": {"app": "web", "pod-template-hash": "7d5c9c7b9f"},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": "web-7d5c9c7b9f",
                    "uid": "0",
                    "controller": True,
                }
            ],
            "managedFields": [
                {"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": {"f:spec": names}}
            ],
        },
        "spec": {"containers": containers, "serviceAccountName": "default", "restartPolicy": "Always"},
    }


def _container(number: int) -> dict[str, Any]:
    return {
        "name": f"container-{number}",
        "image": f"registry.example.com/team/application-{number}:v1.2.3",
        "ports": [{"name": "http", "containerPort": 8080 + number, "protocol": "TCP"}],
        "env": [{"name": f"VARIABLE_{index}", "value": f"value of the variable {index}"} for index in range(8)],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [{"name": "kube-api-access", "mountPath": "/var/run/secrets", "readOnly": True}],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080 + number}, "periodSeconds": 10},
        "imagePullPolicy": "IfNotPresent",
        "terminationMessagePath": "/dev/termination-log",
    }
