"""A cluster with one real node, within a sandbox."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster import programs
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterFailed
from tests.cluster.node import sandbox, settings
from tests.cluster.node.requirements import SEARCH_PATH
from tests.cluster.supervise import last_lines, wait_until

DIRECTORY = Path("/run/node")
"""In memory, in the sandbox: what is pulled, mounted and logged is gone with it."""

CONTAINERD = "containerd"
READY_SECONDS = 120.0
_CONTAINERD_SECONDS = 30.0


class Node:
    """A control plane and its node; made by `start`, ended by leaving the ``with`` block and with the sandbox."""

    def __init__(self, cluster: Cluster, directory: Path, cgroup: str) -> None:
        self.cluster = cluster
        self.settings = settings.Settings(directory, cluster.ca_file, cgroup)
        self._environment = {**os.environ, "PATH": SEARCH_PATH}

    @classmethod
    def start(cls, images: Sequence[Path]) -> Self:
        """Start everything, import the images (OCI or Docker archives), and return when the node is ready."""
        cgroup = sandbox.cgroup()
        if not cgroup:
            raise ClusterFailed("a node runs within a sandbox only: see tests.cluster.node.sandbox")
        DIRECTORY.mkdir()
        node = cls(Cluster.start(sandbox.ADDRESS), DIRECTORY, cgroup)
        try:
            node._start(images)
        except BaseException:
            node.cluster.stop()
            raise
        return node

    def _start(self, images: Sequence[Path]) -> None:
        keeper, cluster = self.cluster.keeper, self.cluster
        argv = [CONTAINERD, f"--config={self.settings.write_containerd()}"]
        containerd = keeper.start(CONTAINERD, argv, self._environment)
        containerd.wait_ready(self._answers, _CONTAINERD_SECONDS)
        for image in images:
            self.import_image(image)
        user = f"system:node:{settings.NAME}"
        identities = {
            programs.SCHEDULER: ("system:kube-scheduler", []),
            programs.KUBELET: (user, ["system:nodes"]),
            programs.PROXY: ("system:kube-proxy", []),
        }
        kubeconfigs = {
            name: cluster.kubeconfig_with_client_certificate(*identity) for name, identity in identities.items()
        }
        configuration = self.settings.write_kubelet()
        flags = {
            programs.SCHEDULER: settings.scheduler(kubeconfigs[programs.SCHEDULER]),
            programs.KUBELET: settings.kubelet(
                self.settings.directory, sandbox.ADDRESS, configuration, kubeconfigs[programs.KUBELET]
            ),
            programs.PROXY: settings.proxy(kubeconfigs[programs.PROXY]),
        }
        for name, arguments in flags.items():
            keeper.start(name, [str(cluster.program_path(name)), *arguments], self._environment)
        self._wait_ready()

    def import_image(self, archive: Path) -> None:
        """Give the node an image that it need not pull."""
        self._ctr("images", "import", str(archive))

    def remove_images(self, registry: str) -> None:
        """Forget the images of a registry, as a fresh node has none. Their layers have no name of their own."""
        names = [name for name in self._ctr("images", "list", "--quiet").split() if name.startswith(registry)]
        if names:
            self._ctr("images", "remove", "--sync", *names)

    def process_id(self, container: str) -> int:
        """Return the process id of a container's first process; the container as a Pod's status names it."""
        name = container.removeprefix("containerd://")
        for line in self._ctr("tasks", "list").splitlines():
            task, pid, *_ = line.split()
            if task == name:
                return int(pid)
        raise ClusterFailed(f"no process of the container {name} runs")

    def process_status(self, container: str) -> dict[str, str]:
        """Return what ``/proc`` says of a container's first process: see proc_pid_status(5)."""
        status = Path(f"/proc/{self.process_id(container)}/status").read_text()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in status.splitlines())}

    def root_is_read_only(self, container: str) -> bool:
        """Whether the root file system that a container's process sees is mounted read-only."""
        mounts = Path(f"/proc/{self.process_id(container)}/mounts").read_text().splitlines()
        fields = [line.split() for line in mounts]
        return any(place == "/" and "ro" in options.split(",") for _, place, _, options, *_ in fields)

    def _wait_ready(self) -> None:
        condition = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'

        def ready() -> bool:
            return self.cluster.kubectl("get", "node", settings.NAME, "-o", condition, check=False) == "True"

        if not wait_until(ready, READY_SECONDS):
            log = last_lines(self.cluster.directory / f"{programs.KUBELET}.log")
            raise ClusterFailed(f"the node is not ready after {READY_SECONDS:g} s:{log}")

    def _answers(self) -> bool:
        try:
            return bool(self._ctr("version"))
        except ClusterFailed:
            return False

    def _ctr(self, *arguments: str) -> str:
        argv = ["ctr", "--namespace=k8s.io", *arguments]
        done = subprocess.run(argv, env=self._environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ClusterFailed(f"{' '.join(argv)}: {done.stderr.strip()}")
        return done.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.cluster.stop()
