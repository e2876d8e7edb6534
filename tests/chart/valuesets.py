"""Values that matter: each is a snapshot, and is tried against a real API server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.chart.rendered import SAMPLE

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
"""What has the form of a certificate; a real one would expire."""

_PROXY = {"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"}
_PODS: Mapping[str, Any] = {
    "priorityClassName": "system-cluster-critical",
    "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 1,
                    "podAffinityTerm": {
                        "topologyKey": "kubernetes.io/hostname",
                        "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "pull-secret-webhook"}},
                    },
                }
            ]
        }
    },
    "extraArgs": ["--log-level=debug"],
    "extraEnv": [_PROXY],
    "extraVolumes": [{"name": "roots", "configMap": {"name": "corporate-roots"}}],
    "extraVolumeMounts": [{"name": "roots", "mountPath": "/etc/roots", "readOnly": True}],
    "podLabels": {"sidecar": "none"},
    "podAnnotations": {"sidecar.istio.io/inject": "false"},
    "deploymentAnnotations": {"example.com/owner": "platform"},
}

EVERYTHING: Mapping[str, Any] = {
    **SAMPLE,
    "namespaceOverride": "",
    "commonLabels": {"team": "platform"},
    "commonAnnotations": {"example.com/contact": "platform@example.com"},
    "image": {"repository": "registry.example.com/psw", "digest": f"sha256:{'a' * 64}"},
    "imagePullSecrets": [{"name": "own-registry"}],
    "pullSecrets": [
        *SAMPLE["pullSecrets"],
        {
            "name": "cloud-credentials",
            "sources": [
                {
                    "credentialProvider": {
                        "name": "ecr",
                        "command": "ecr-credential-provider",
                        "args": ["--v=2"],
                        "env": [{"name": "AWS_REGION", "value": "eu-west-1"}],
                        "inheritEnv": ["AWS_ROLE_ARN"],
                        "images": ["123456789012.dkr.ecr.eu-west-1.amazonaws.com"],
                        "defaultLifetime": "1h",
                        "serviceAccountToken": {
                            "audience": "sts.amazonaws.com",
                            "serviceAccountName": "puller",
                            "annotations": {"eks.amazonaws.com/ecr-role-arn": "arn:aws:iam::123456789012:role/pull"},
                        },
                    },
                    "namespaces": ["team-*"],
                },
                {
                    "serviceAccountToken": {
                        "name": "zot",
                        "registry": "zot.example.com",
                        "username": "jwt",
                        "audience": "zot.example.com",
                        "lifetime": "30m",
                        "serviceAccountName": "puller",
                    }
                },
            ],
            "copies": {"labels": {"team": "platform"}, "annotations": {"example.com/contact": "platform@example.com"}},
        },
    ],
    "providers": {"image": "registry.example.com/ecr-credential-provider:v1.37.1", "path": "usr/local/bin"},
    "sourceSecrets": [
        {"name": "harbor", "registry": "registry.example.com", "username": "robot", "password": "invented"}
    ],
    "webhook": {
        **_PODS,
        "autoscaling": {"enabled": True},
        "failurePolicy": {"pods": "Fail", "serviceAccounts": "Fail"},
        "clientCA": PEM,
        "clientAllowedNames": ["kube-apiserver"],
        "namespaceSelector": {"matchLabels": {"tier": "prod"}},
        "objectSelector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["legacy"]}]},
        "matchConditions": [
            {"name": "not-by-the-kubelet", "expression": "!('system:nodes' in request.userInfo.groups)"}
        ],
    },
    "sync": {**_PODS, "replicas": 3, "flowControl": {"enabled": True}},
    "networkPolicy": {
        "enabled": True,
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [{"port": 3128, "protocol": "TCP"}]}],
        "syncEgress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443, "protocol": "TCP"}]}],
    },
    "guard": {"reserveOptIn": True},
    "monitoring": {
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboard": {"enabled": True, "annotations": {"grafana_folder": "Platform"}},
    },
    "extraObjects": [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "{{ .Release.Name }}-more", "namespace": "{{ .Release.Namespace }}"},
        }
    ],
}
"""What can be had, all at once."""

VALUE_SETS: Mapping[str, Mapping[str, Any]] = {
    "defaults": {},
    "sample": SAMPLE,
    "everything": EVERYTHING,
    "cert-manager": {**SAMPLE, "certificates": {"mode": "cert-manager"}},
    "provided": {**SAMPLE, "certificates": {"mode": "provided"}, "webhook": {"replicas": 1}, "sync": {"replicas": 1}},
    "outside": {**SAMPLE, "deployments": {"enabled": False}, "webhook": {"url": "https://127.0.0.1:9443"}},
    "openshift": {
        **SAMPLE,
        "podSecurityContext": {"runAsUser": None, "runAsGroup": None},
        "networkPolicy": {"enabled": True, "dnsPorts": [53, 5353]},
        "monitoring": {"serviceMonitor": {"enabled": True}},
    },
}
