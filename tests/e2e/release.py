"""One release of the chart, by ``helm install`` as anybody would do it, with both Deployments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.cluster.helm import CHART, installable
from tests.e2e.site import COPY, OPT_IN, SECONDS, SOURCE, Site

RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/warn": "restricted",
}
_TIMEOUT = f"--timeout={SECONDS:g}s"


def pull_secret(name: str = COPY, source: str = SOURCE) -> dict[str, Any]:
    """Return an entry of the chart's ``pullSecrets`` with one source."""
    return {"name": name, "sources": [{"secretName": source}]}


class Release:
    """A release in a namespace of its own, which enforces the restricted Pod security standard."""

    def __init__(self, site: Site, name: str, namespace: str = "", **values: Any) -> None:  # noqa: ANN401 (any JSON)
        self.site = site
        self.name = name
        self.values: dict[str, Any] = installable({"pullSecrets": [pull_secret()], **values})
        self.namespace = namespace or site.create_namespace(f"{name}-system", RESTRICTED)
        site.set_source(self.namespace, site.password)

    @property
    def fullname(self) -> str:
        """What the names of its objects begin with; two of its Deployments add their component."""
        return self.name if CHART.name in self.name else f"{self.name}-{CHART.name}"

    @property
    def deployments(self) -> tuple[str, str]:
        """Both Deployments, as kubectl's arguments."""
        return f"deployment/{self.fullname}-webhook", f"deployment/{self.fullname}-sync"

    def install(self) -> None:
        """Install it, and return when its Pods are ready."""
        self._helm("install", self.values)

    def upgrade(self, **values: Any) -> None:  # noqa: ANN401
        """Change values, and return when the new Pods are ready."""
        self.values |= values
        self._helm("upgrade", self.values)

    def rollback(self) -> None:
        """Go back to the revision before."""
        self.site.helm("rollback", self.name, f"--namespace={self.namespace}", "--wait", _TIMEOUT)

    def uninstall(self) -> None:
        """Uninstall it; the namespace stays, as Helm leaves it."""
        self.site.helm("uninstall", self.name, f"--namespace={self.namespace}", "--wait", _TIMEOUT)

    def exists(self) -> bool:
        """Whether Helm knows it."""
        return self.name in self.site.helm("list", f"--namespace={self.namespace}", "--short").split()

    def restart(self) -> None:
        """Replace every Pod of it, one after the other, and wait until that is done."""
        for deployment in self.deployments:
            self.site.kubectl("rollout", "restart", deployment, "-n", self.namespace)
        for deployment in self.deployments:
            self.site.kubectl("rollout", "status", deployment, "-n", self.namespace, _TIMEOUT)

    def create_tenant(self, prefix: str, labels: Mapping[str, str] | None = None) -> str:
        """Create a namespace that has opted in, and wait until its copy and its reference are there."""
        namespace = self.site.create_namespace(prefix, {OPT_IN: "enabled", **(labels or {})})
        self.wait_settled(namespace)
        return namespace

    def wait_settled(self, namespace: str) -> None:
        """Wait for the copy, the reference on the ServiceAccount that each namespace has, and that of new Pods."""
        site = self.site
        site.wait(lambda: site.exists("secret", COPY, "-n", namespace), f"the copy in {namespace}")
        site.wait(lambda: COPY in site.references(namespace), f"the reference on default of {namespace}")
        # The API server learns of ServiceAccounts and webhooks by watches.
        site.wait(lambda: COPY in site.references_of_new_pods(namespace), f"the reference of new Pods in {namespace}")

    def _helm(self, command: str, values: Mapping[str, Any]) -> None:
        repository, _, tag = self.site.image.rpartition(":")
        image = {"repository": repository, "tag": tag, "pullPolicy": "IfNotPresent"}
        options = [f"--namespace={self.namespace}", "--wait", _TIMEOUT, "--values=-"]
        self.site.helm(command, self.name, str(CHART), *options, stdin=json.dumps({"image": image, **values}))
