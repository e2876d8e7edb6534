"""Other clients of the API server: each patches a ConfigMap of its own, with a pause, and notes how long it took."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from tests.cluster.cluster import Cluster
from webhook.kube.client import Client
from webhook.kube.connect import connect
from webhook.kube.resources import Resource

NAMESPACE = "neighbours"
CLIENTS = 4
PAUSE_SECONDS = 0.25
"""So long that they are no load themselves."""

_CONFIG_MAPS = Resource("/api/v1", "ConfigMap", "configmaps")
_RULE = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}


class Neighbours:
    """Clients with the rights of a usual ServiceAccount: the administrator's requests never wait for others."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._taken: list[float] = []
        self._failed: list[Exception] = []
        cluster.create_namespace(NAMESPACE)
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
        cluster.api.call("POST", f"{rbac}/roles", {"metadata": {"name": NAMESPACE}, "rules": [_RULE]})
        subject = {"kind": "ServiceAccount", "name": "default", "namespace": NAMESPACE}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAMESPACE}
        binding = {"metadata": {"name": NAMESPACE}, "subjects": [subject], "roleRef": role}
        cluster.api.call("POST", f"{rbac}/rolebindings", binding)
        for number in range(CLIENTS):
            body = {"metadata": {"name": f"client-{number}"}, "data": {"count": "0"}}
            cluster.api.call("POST", f"/api/v1/namespaces/{NAMESPACE}/configmaps", body)
        kubeconfig = cluster.kubeconfig_for("default", NAMESPACE)
        self._threads = [
            threading.Thread(target=self._run, args=(connect(kubeconfig), number), daemon=True)
            for number in range(CLIENTS)
        ]

    @property
    def key(self) -> str:
        """The key of one of their objects in etcd."""
        return f"/registry/configmaps/{NAMESPACE}/client-0"

    def since(self) -> list[float]:
        """Return what each patch since the last call took, in sorted milliseconds; a failure is raised."""
        with self._lock:
            taken, self._taken = self._taken, []
            if self._failed:
                raise self._failed[0]
        return sorted(round(seconds * 1000, 1) for seconds in taken)

    def _run(self, client: Client, number: int) -> None:
        path = _CONFIG_MAPS.path(NAMESPACE, f"client-{number}")
        count = 0
        while not self._stopping.wait(PAUSE_SECONDS):
            count += 1
            started = time.perf_counter()
            try:
                body = {"data": {"count": str(count)}}
                client.request("PATCH", path, body=body, content_type="application/merge-patch+json")
            except Exception as error:  # noqa: BLE001 - raised where the results are read
                with self._lock:
                    self._failed.append(error)
                continue
            with self._lock:
                self._taken.append(time.perf_counter() - started)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
