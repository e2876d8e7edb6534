"""What each program of the control plane is started with.

A further program is one more line in ``binary/main.go``, one more function here and one more step in ``Cluster.start``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.pki import Pki

ETCD = "etcd"
API_SERVER = "kube-apiserver"
CONTROLLER_MANAGER = "kube-controller-manager"
SCHEDULER = "kube-scheduler"
KUBELET = "kubelet"
PROXY = "kube-proxy"
KUBECTL = "kubectl"

LOOPBACK = "127.0.0.1"
SERVICE_RANGE = "10.96.0.0/16"
SERVICE_IP = "10.96.0.1"
"""The address of the `kubernetes` Service: the first of the range."""

ETCD_BYTES = 8 * 2**30
"""The most that etcd stores: its authors advise against more. By default it refuses writes from 2 GiB on."""

CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "statefulset-controller",
)
"""What makes Pods and ServiceAccounts, what admits them, and what takes a namespace away: the rest only takes time."""

TYPE_CHECKER = "validatingadmissionpolicy-status-controller"
"""The controller that checks the types in policies. For one installation it takes as much CPU as the API server."""

_BODIES_WITHOUT_CREDENTIALS = [{"group": "", "resources": ["pods", "serviceaccounts", "namespaces"]}]
_CONTROL_PLANE = ["system:apiserver", "system:kube-controller-manager"]
_READING = ["get", "list", "watch"]
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "users": _CONTROL_PLANE, "verbs": _READING},
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"], "verbs": _READING},
        {"level": "None", "nonResourceURLs": ["/readyz*", "/livez*", "/metrics"]},
        # A webhook's patch is in the annotations from level Request on.
        {"level": "Request", "verbs": ["create", "update", "patch"], "resources": _BODIES_WITHOUT_CREDENTIALS},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the programs of one cluster find their files and each other."""

    directory: Path
    pki: Pki
    etcd_port: int
    api_port: int
    controllers: tuple[str, ...] = CONTROLLERS
    node_address: str | None = None
    """The address by which Pods reach the API server, where there is a node to run them."""

    @property
    def etcd_url(self) -> str:
        return f"https://{LOOPBACK}:{self.etcd_port}"

    @property
    def etcd_data(self) -> Path:
        return self.directory / "etcd"

    @property
    def api_url(self) -> str:
        return f"https://{LOOPBACK}:{self.api_port}"

    @property
    def audit_log(self) -> Path:
        return self.directory / "audit.log"


def etcd(layout: Layout) -> list[str]:
    """Return the flags of an etcd without fsync: its data lives no longer than the cluster."""
    pair, ca = layout.pki.etcd, layout.pki.etcd_ca
    return [
        f"--data-dir={layout.etcd_data}",
        f"--listen-client-urls={layout.etcd_url}",
        f"--advertise-client-urls={layout.etcd_url}",
        # Nobody joins, but etcd insists on a peer address: any port, closed to all without a certificate.
        f"--listen-peer-urls=https://{LOOPBACK}:0",
        "--log-level=warn",
        "--unsafe-no-fsync",
        f"--quota-backend-bytes={ETCD_BYTES}",
        "--client-cert-auth",
        f"--trusted-ca-file={ca}",
        f"--cert-file={pair.certificate}",
        f"--key-file={pair.key}",
        "--peer-client-cert-auth",
        f"--peer-trusted-ca-file={ca}",
        f"--peer-cert-file={pair.certificate}",
        f"--peer-key-file={pair.key}",
    ]


def api_server(layout: Layout) -> list[str]:
    """Return the flags of an API server with RBAC, the default admission plugins and an audit log."""
    pki = layout.pki
    policy = layout.directory / "audit-policy.yaml"
    policy.write_text(json.dumps(AUDIT_POLICY))
    return [
        *(_for_a_node(pki, layout.node_address) if layout.node_address else _for_loopback()),
        f"--secure-port={layout.api_port}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--etcd-servers={layout.etcd_url}",
        f"--etcd-cafile={pki.etcd_ca}",
        f"--etcd-certfile={pki.etcd.certificate}",
        f"--etcd-keyfile={pki.etcd.key}",
        f"--tls-cert-file={pki.api_server.certificate}",
        f"--tls-private-key-file={pki.api_server.key}",
        f"--client-ca-file={pki.ca}",
        "--allow-privileged",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki.service_account_key}",
        f"--service-account-signing-key-file={pki.service_account_key}",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={layout.audit_log}",
        # Without it, SIGTERM waits 60 s for the watches of clients that have no reason to end them.
        "--shutdown-watch-termination-grace-period=1s",
        # One file however long a bench runs: a reader never has to follow a rotation.
        "--audit-log-maxsize=0",
    ]


def _for_loopback() -> list[str]:
    return [
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        "--endpoint-reconciler-type=none",
        "--authorization-mode=RBAC",
    ]


def _for_a_node(pki: Pki, address: str) -> list[str]:
    # Only within a network namespace of its own (`tests.cluster.node.sandbox`): nobody else is there to connect.
    return [
        "--bind-address=0.0.0.0",
        f"--advertise-address={address}",
        "--authorization-mode=Node,RBAC",
        "--enable-aggregator-routing=true",
        f"--kubelet-client-certificate={pki.admin.certificate}",
        f"--kubelet-client-key={pki.admin.key}",
    ]


def controller_manager(layout: Layout, kubeconfig: Path) -> list[str]:
    """Return the flags of a controller manager that serves nothing; without a node only some controllers."""
    controllers = ("*",) if layout.node_address else layout.controllers
    return [
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        # Each controller by its own ServiceAccount: the user named above has next to no rights.
        "--use-service-account-credentials",
        "--secure-port=0",
        f"--controllers={','.join(controllers)}",
        f"--service-account-private-key-file={layout.pki.service_account_key}",
        f"--root-ca-file={layout.pki.ca}",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--concurrent-namespace-syncs=20",
        "--concurrent-serviceaccount-token-syncs=5",
    ]
