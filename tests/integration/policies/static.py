"""A cluster whose API server reads admission policies from folders, as KEP-5793 has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import programs
from tests.cluster.cluster import Cluster

CONFIG = "apiserver.config.k8s.io/v1"
PLUGINS = ("MutatingAdmissionPolicy", "ValidatingAdmissionPolicy")


@dataclass(frozen=True, slots=True)
class StaticCluster:
    """A running cluster, and the folders that its API server reads."""

    cluster: Cluster
    folder: Path

    @classmethod
    @contextmanager
    def start(cls) -> Iterator[StaticCluster]:
        """Start a cluster with empty folders."""
        with Cluster.start() as cluster:
            found = cls(cluster, cluster.directory / "static")
            cluster.stop_program(programs.API_SERVER)
            found.restart()
            yield found

    def restart(self) -> None:
        """Start the API server, which is stopped, with the folders."""
        self.cluster.start_program(programs.API_SERVER, f"--admission-control-config-file={self._configuration()}")
        self.cluster.wait_ready()

    def publish(self, plugin: str, content: str) -> None:
        """Replace the file of a plugin; the API server sees the old one or the new one."""
        file = self.folder / plugin / "pull-secrets.yaml"
        new = file.with_suffix(".new")
        new.write_text(content)
        new.rename(file)

    def _configuration(self) -> Path:
        plugins = []
        for name in PLUGINS:
            place = self.folder / name
            place.mkdir(parents=True, exist_ok=True)
            about = {"apiVersion": CONFIG, "kind": f"{name}Configuration", "staticManifestsDir": str(place)}
            plugins.append({"name": name, "configuration": about})
        file = self.folder / "admission.yaml"
        file.write_text(json.dumps({"apiVersion": CONFIG, "kind": "AdmissionConfiguration", "plugins": plugins}))
        return file
