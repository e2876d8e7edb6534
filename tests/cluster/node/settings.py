"""What the programs of a node are started with, and the files that they read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "node"
POD_RANGE = "10.244.0.0/24"
SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "localhost/pause:1"
CNI_PROGRAMS = "/usr/lib/cni"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a node has its files, and whom it trusts."""

    directory: Path
    cluster_ca: Path
    cgroup: str

    def write_containerd(self) -> Path:
        """Write containerd's configuration, and that of the Pods' network, which it sets up."""
        network = self.directory / "cni"
        network.mkdir()
        (network / "10-node.conflist").write_text(json.dumps(_network(self.directory)))
        file = self.directory / "containerd.toml"
        values = {"directory": self.directory, "socket": SOCKET, "pause": PAUSE_IMAGE, "cni": CNI_PROGRAMS}
        file.write_text(_CONTAINERD.format(**values))
        return file

    def trust_registry(self, host: str, ca: Path) -> None:
        """Have containerd accept a registry's certificate by this authority; it reads this at each pull."""
        folder = self.directory / "registries" / host
        folder.mkdir(parents=True)
        (folder / "hosts.toml").write_text(f'server = "https://{host}"\n[host."https://{host}"]\nca = "{ca}"\n')

    def write_kubelet(self) -> Path:
        """Write the kubelet's configuration."""
        resolver = self.directory / "resolv.conf"
        resolver.write_text("nameserver 127.0.0.1\n")  # there is no DNS in here
        file = self.directory / "kubelet.json"
        file.write_text(json.dumps(_kubelet(self, resolver)))
        return file


_CONTAINERD = """\
version = 2
root = "{directory}/containerd"
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
# Where CAP_SYS_RESOURCE is missing, runc could not lower the score of a Pod's sandbox.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{cni}"
conf_dir = "{directory}/cni"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{directory}/registries"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"""


def _network(directory: Path) -> dict[str, Any]:
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": POD_RANGE}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(directory / "addresses"),
    }
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "ipMasq": True, "hairpinMode": True}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [{**bridge, "ipam": addresses}]}


def _kubelet(settings: Settings, resolver: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"x509": {"clientCAFile": str(settings.cluster_ca)}},
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{settings.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "resolvConf": str(resolver),
        "podLogsDir": str(settings.directory / "logs"),
        "volumePluginDir": str(settings.directory / "volume-plugins"),
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": False,
        # The disk is the machine's: how full it is says nothing about this node.
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "serializeImagePulls": False,
        # Otherwise pulls of many Pods fail because of the kubelet, and not because of a registry.
        "registryPullQPS": 0,
        # Mounted ConfigMaps follow within seconds instead of a minute.
        "syncFrequency": "5s",
        "fileCheckFrequency": "0s",
        "httpCheckFrequency": "0s",
    }


def kubelet(directory: Path, address: str, configuration: Path, kubeconfig: Path) -> Sequence[str]:
    """Return the kubelet's flags."""
    return [
        f"--config={configuration}",
        f"--kubeconfig={kubeconfig}",
        f"--root-dir={directory / 'kubelet'}",
        f"--hostname-override={NAME}",
        f"--node-ip={address}",
    ]


def scheduler(kubeconfig: Path) -> Sequence[str]:
    """Return the scheduler's flags; it serves nothing that anybody asks for."""
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    ]


def proxy(kubeconfig: Path) -> Sequence[str]:
    """Return kube-proxy's flags; it leaves the machine's own limits of connection tracking alone."""
    return [
        f"--kubeconfig={kubeconfig}",
        f"--hostname-override={NAME}",
        "--proxy-mode=iptables",
        f"--cluster-cidr={POD_RANGE}",
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    ]
