"""Where the scenarios run: a cluster, a private registry with an image that only its user can pull, and our image.

Usually all of it is within a sandbox of this machine. ``E2E_KUBECONFIG`` names a cluster that exists instead; then it
can pull what ``E2E_IMAGE`` (ours) and ``E2E_PRIVATE_IMAGE`` name, the latter by ``E2E_REGISTRY_USERNAME`` and
``E2E_REGISTRY_PASSWORD``.
"""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster import helm
from tests.cluster.node.node import Node
from tests.cluster.supervise import wait_until
from tests.e2e.registry import Registry
from tests.e2e.workloads import pod
from webhook.rules.ownership import FIELD_MANAGER

OPT_IN = "pullsecrets.webhook/inject"
COPY = "registry-credentials"
SOURCE = "harbor"
SECONDS = 90.0
"""Enough for whatever a kubelet and its controllers do, on a machine that is busy with other things."""

_COMMAND_SECONDS = 300


class CommandFailed(Exception):
    """A command of the scenario ended with another code than 0."""


@dataclass(frozen=True, slots=True)
class Local:
    """What only a cluster of this machine has: its processes, its registry, its API server's metrics."""

    node: Node
    registry: Registry


@dataclass(frozen=True, slots=True)
class Site:
    """One cluster, by its kubeconfig, and what there is to pull."""

    kubeconfig: Path
    kubectl_path: str
    image: str
    private_image: str
    user: str
    password: str
    local: Local | None = None
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    @property
    def registry_host(self) -> str:
        """The registry of the private image, as a Secret names it."""
        return self.private_image.split("/", 1)[0]

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return its standard output."""
        return self._run([self.kubectl_path, *arguments], stdin)

    def helm(self, *arguments: str, stdin: str | None = None) -> str:
        """Run helm and return its standard output."""
        return self._run([str(helm.find()), *arguments], stdin)

    def program(self, path: str, *arguments: str, stdin: str | None = None) -> str:
        """Run another program as a user of the cluster, and return its standard output."""
        return self._run([path, *arguments], stdin)

    def run(self, command: str) -> str:
        """Run a command of the documentation as a reader's shell would."""
        return self._run(["sh", "-e", "-c", command], None)

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return the object, or the list of objects, that kubectl gets."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "--output=json"))
        return found

    def exists(self, *arguments: str) -> bool:
        """Whether there is such an object."""
        return bool(self.kubectl("get", *arguments, "--ignore-not-found", "--output=name").strip())

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Create objects, or bring them up to date."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def create_namespace(self, prefix: str, labels: Mapping[str, str] | None = None) -> str:
        """Create a namespace with a name of its own, and wait for its ServiceAccount."""
        name = f"{prefix}-{uuid.uuid4().hex[:6]}"
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels or {})}})
        self.wait(lambda: self.exists("serviceaccount", "default", "-n", name), f"the ServiceAccount of {name}")
        return name

    def set_source(self, namespace: str, password: str, name: str = SOURCE) -> None:
        """Put the registry's credential into a source Secret."""
        authorization = {"username": self.user, "password": password}
        document = json.dumps({"auths": {self.registry_host: authorization}})
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": namespace},
                "type": "kubernetes.io/dockerconfigjson",
                "stringData": {".dockerconfigjson": document},
            }
        )

    def references(self, namespace: str, kind: str = "serviceaccount", name: str = "default") -> list[str]:
        """Return the names in an object's ``imagePullSecrets``."""
        found = self.get(kind, name, "-n", namespace)
        return [entry["name"] for entry in found.get("spec", found).get("imagePullSecrets", [])]

    def references_of_new_pods(self, namespace: str) -> list[str]:
        """Return the names in the ``imagePullSecrets`` of a Pod that is created; nothing is stored."""
        probe = pod("probe", self.private_image) | {"metadata": {"name": "probe", "namespace": namespace}}
        created = self.kubectl("create", "--dry-run=server", "--output=json", "-f", "-", stdin=json.dumps(probe))
        return [entry["name"] for entry in json.loads(created)["spec"].get("imagePullSecrets", [])]

    def has_references(self, namespace: str, account: str, *names: str) -> bool:
        """Return whether a ServiceAccount has exactly these references, and nobody but its tenant owns the list.

        After an addition that the webhook did not see, the list is owned by this project for a moment. A server-side
        apply of the tenant would meet a conflict then.
        """
        found = self.get("serviceaccount", account, "-n", namespace, "--show-managed-fields")
        owners = [
            entry["manager"]
            for entry in found["metadata"].get("managedFields", [])
            if "f:imagePullSecrets" in entry["fieldsV1"]
        ]
        is_ours = any(owner.startswith(FIELD_MANAGER) for owner in owners)
        return [entry["name"] for entry in found.get("imagePullSecrets", [])] == list(names) and not is_ours

    def wait_ready(self, namespace: str, *pods: str) -> None:
        """Wait until these Pods, or all Pods of a namespace, are ready; a failure shows what became of them."""
        chosen = pods or ("--all",)
        command = ["wait", "--for=condition=ready", "pods", *chosen, "-n", namespace, f"--timeout={SECONDS:g}s"]
        try:
            self.kubectl(*command)
        except CommandFailed as error:
            raise AssertionError(f"{error}\n{self.kubectl('describe', 'pods', *pods, '-n', namespace)}") from None

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
        """Wait until the condition holds; the failure names what was waited for, and shows the Pods."""
        if not wait_until(condition, seconds):
            pods = self.kubectl("get", "pods", "--all-namespaces", "--output=wide")
            raise AssertionError(f"after {seconds:g} s still not: {what}\n{pods}")

    def _run(self, argv: list[str], stdin: str | None) -> str:
        environment = {**self.environment, "KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(
            argv, env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=_COMMAND_SECONDS
        )
        if done.returncode != 0:
            raise CommandFailed(f"{' '.join(argv)}: {done.stderr.strip()}")
        return done.stdout
