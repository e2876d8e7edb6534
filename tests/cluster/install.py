"""The project's chart on a local cluster, with its processes outside the cluster.

Everything comes from ``helm template``: the configuration, the rights, the webhook configuration. The processes run
with tokens of the chart's own ServiceAccounts, never as cluster-admin: the rights that are tested are those that ship.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster import helm, processes
from tests.cluster.cluster import READY_SECONDS, Cluster
from tests.cluster.errors import ClusterFailed
from tests.cluster.mounted import MountedConfigMap
from tests.cluster.ports import free_port
from tests.cluster.processes import PullSecrets
from tests.cluster.programs import LOOPBACK
from tests.cluster.supervise import wait_until

RELEASE = "psw"
NAMESPACE = "pull-secret-webhook"
MANAGER = "helm"
CONFIGURATION_KEY = "config.yaml"
_HOOK = "helm.sh/hook"


class Installation:
    """One release of the chart; ended by `uninstall` or by leaving the ``with`` block."""

    def __init__(self, cluster: Cluster, release: str, namespace: str, values: Mapping[str, Any]) -> None:
        self.cluster = cluster
        self.release = release
        self.namespace = namespace
        self.webhook_port = free_port()
        self._values = dict(values)
        self._processes: dict[str, PullSecrets] = {}
        self._runs_hooks = False
        self._objects = self._render_all()
        self.cluster.apply([self._own_namespace, *self._objects], MANAGER)
        self.fullname: str = self._only("MutatingWebhookConfiguration")["metadata"]["name"]
        self.configuration = MountedConfigMap(cluster.directory / f"{release}-configuration", self._document())
        self.webhook_kubeconfig = cluster.kubeconfig_for(f"{self.fullname}-webhook", namespace)
        self.sync_kubeconfig = cluster.kubeconfig_for(f"{self.fullname}-sync", namespace)

    @property
    def processes(self) -> Mapping[str, PullSecrets]:
        """What has been started, by the names it was started with."""
        return self._processes

    @property
    def configuration_file(self) -> Path:
        """The configuration document, where a Pod of the chart would find it."""
        return self.configuration.directory / CONFIGURATION_KEY

    @property
    def webhook_configuration(self) -> str:
        return self.fullname

    @property
    def tls_secret(self) -> str:
        return f"{self.fullname}-tls"

    @property
    def ca_secret(self) -> str:
        return f"{self.fullname}-ca"

    @property
    def state_secret(self) -> str:
        return f"{self.fullname}-state"

    @property
    def lease(self) -> str:
        return f"{self.fullname}-sync"

    @cached_property
    def check_kubeconfig(self) -> Path:
        """A kubeconfig of the identity of ``helm test``."""
        self.allow_hooks()
        return self.cluster.kubeconfig_for(f"{self.fullname}-check", self.namespace)

    @cached_property
    def cleanup_kubeconfig(self) -> Path:
        """A kubeconfig of the identity of the pre-delete hook."""
        self.allow_hooks()
        return self.cluster.kubeconfig_for(f"{self.fullname}-cleanup", self.namespace)

    def allow_hooks(self) -> None:
        """Make what Helm makes for the cleanup's Job and the check's Pod while they run; it stays to the end."""
        if not self._runs_hooks:
            self._runs_hooks = True
            rights = self._hook_rights()
            self._objects += rights
            self.cluster.apply(rights, MANAGER)
            if not wait_until(lambda: all(map(self._has_first_right, rights)), READY_SECONDS):
                raise ClusterFailed("the API server does not know the rights of the hooks yet")

    def serve_command(self) -> list[str]:
        """Return the arguments of ``pullsecrets`` for the webhook, all but its plain port."""
        return [
            "serve",
            f"--config={self.configuration_file}",
            f"--kubeconfig={self.webhook_kubeconfig}",
            f"--namespace={self.namespace}",
            f"--tls-secret={self.namespace}/{self.tls_secret}",
            f"--secure-port={self.webhook_port}",
        ]

    def sync_command(self) -> list[str]:
        """Return the arguments of ``pullsecrets`` for the sync loop, all but its plain port."""
        issuing = [
            f"--webhook-configuration={self.webhook_configuration}",
            f"--tls-secret={self.tls_secret}",
            f"--ca-secret={self.ca_secret}",
            f"--tls-san={LOOPBACK}",
        ]
        mode = self._values.get("certificates", {}).get("mode", "self-managed")
        return [
            "sync",
            f"--config={self.configuration_file}",
            f"--kubeconfig={self.sync_kubeconfig}",
            f"--namespace={self.namespace}",
            f"--release={self.release}",
            f"--lease-name={self.lease}",
            f"--config-map={self.fullname}",
            f"--state-secret={self.state_secret}",
            *(issuing if mode == "self-managed" else ()),
        ]

    def start_serve(self, *flags: str, name: str = "serve") -> PullSecrets:
        """Start the webhook with further flags, if any; several need several names and secure ports."""
        return self._start(name, [*self.serve_command(), *flags])

    def start_sync(self, *flags: str, name: str = "sync", environment: Mapping[str, str] | None = None) -> PullSecrets:
        """Start the sync loop with further flags and variables, if any; several need several names."""
        return self._start(name, [*self.sync_command(), *flags], environment)

    def cleanup_command(self) -> list[str]:
        """Return the arguments of ``pullsecrets`` for the pre-delete hook."""
        return [
            "cleanup",
            f"--config={self.configuration_file}",
            f"--kubeconfig={self.cleanup_kubeconfig}",
            f"--release-namespace={self.namespace}",
            f"--release={self.release}",
            f"--webhook-configuration={self.webhook_configuration}",
        ]

    def set_configuration(self, **values: Any) -> None:  # noqa: ANN401 (Helm values are any JSON)
        """Upgrade the release to these values on top of those it has, and swap the mounted document."""
        self._values |= values
        before, self._objects = self._objects, self._render_all()
        self.cluster.apply(self._objects, MANAGER)
        kept = {_identity(item) for item in self._objects}
        self.cluster.delete(item for item in before if _identity(item) not in kept)
        self.configuration.publish(self._document())

    def uninstall(self) -> None:
        """Stop what was started and delete what was installed, the namespace last."""
        for process in self._processes.values():
            process.kill()
        self.delete_objects()
        self.cluster.delete([self._own_namespace])

    def delete_objects(self) -> None:
        """Delete what was installed, as Helm does after its pre-delete hook; the processes go on.

        Helm deletes in the reverse order of an installation: rights go before the ServiceAccounts that have them. So no
        process can create again what the garbage collector deletes with its owner.
        """
        self.cluster.delete(reversed(self._objects))

    def _start(self, name: str, arguments: list[str], environment: Mapping[str, str] | None = None) -> PullSecrets:
        started = processes.start(self.cluster.keeper, f"{self.release}-{name}", arguments, environment)
        self._processes[name] = started
        return self._processes[name]

    def render(self, **changes: Any) -> list[dict[str, Any]]:  # noqa: ANN401 (Helm values are any JSON)
        """Return the objects of the chart, with ``changes`` of the values; nothing is applied."""
        values = {
            **self._values,
            "deployments": {"enabled": False},
            "webhook": {**self._values.get("webhook", {}), "url": f"https://{LOOPBACK}:{self.webhook_port}"},
            **changes,
        }
        rendered = helm.template(self.release, self.namespace, values)
        return [item for item in rendered if _HOOK not in item["metadata"].get("annotations", {})]

    def _render_all(self) -> list[dict[str, Any]]:
        return [*self.render(), *(self._hook_rights() if self._runs_hooks else ())]

    @property
    def _own_namespace(self) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}

    def _has_first_right(self, role: dict[str, Any]) -> bool:
        """Return whether the first rule of a role is in force for the account of its name; True if it is no role."""
        if not role.get("rules"):
            return True
        rule, metadata = role["rules"][0], role["metadata"]
        asked = {"group": rule["apiGroups"][0], "namespace": metadata.get("namespace", "")}
        asked["name"] = rule.get("resourceNames", [""])[0]
        user = f"system:serviceaccount:{self.namespace}:{metadata['name']}"
        return self.cluster.may(user, rule["verbs"][0], rule["resources"][0], **asked)

    def _hook_rights(self) -> list[dict[str, Any]]:
        rendered = helm.template(self.release, self.namespace, {**self._values, "deployments": {"enabled": True}})
        hooks = [
            item
            for item in rendered
            if _HOOK in item["metadata"].get("annotations", {}) and item["kind"] not in ("Job", "Pod")
        ]
        for item in hooks:
            item["metadata"]["annotations"] = {}
        return hooks

    def _only(self, kind: str) -> dict[str, Any]:
        found, *others = (item for item in self._objects if item["kind"] == kind)
        if others:
            raise ValueError(f"the chart renders more than one {kind}")
        return found

    def _document(self) -> dict[str, str]:
        data: dict[str, str] = self._only("ConfigMap")["data"]
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.uninstall()


def install(
    cluster: Cluster, release: str = RELEASE, namespace: str = NAMESPACE, values: Mapping[str, Any] | None = None
) -> Installation:
    """Install the chart; no process runs yet."""
    return Installation(cluster, release, namespace, values or {})


def _identity(item: Mapping[str, Any]) -> tuple[str, str, str]:
    return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]
