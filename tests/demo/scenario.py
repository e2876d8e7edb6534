"""The scenario: a platform team installs the chart and labels a namespace; its tenants never mention pull secrets.

Objects are created through the HTTP API of the API server and checked in its answers, without the project's client.
"""

from __future__ import annotations

import hashlib
import json
import time
from base64 import b64decode
from collections.abc import Callable
from typing import Any

from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterFailed
from tests.cluster.install import Installation
from tests.demo.observations import Observations

PULL_SECRET = "registry-credentials"  # noqa: S105 (the name of one)
SOURCE = "harbor"
REGISTRY = "registry.example.com"
LABEL = "pullsecrets.webhook/inject=enabled"
DEADLINE_SECONDS = 60.0
POLL_SECONDS = 0.002

VALUES = {"pullSecrets": [{"name": PULL_SECRET, "sources": [{"secretName": SOURCE}]}]}
"""The chart's values, as a platform team writes them."""

CONTAINERS = [{"name": "app", "image": f"{REGISTRY}/team/app:1"}]


class Scenario:
    """Plays the platform team and its tenants on one installation, and records the answers of the API server."""

    def __init__(self, cluster: Cluster, installation: Installation, seen: Observations) -> None:
        self._cluster = cluster
        self._installation = installation
        self._seen = seen

    def play(self) -> None:
        """Do everything once."""
        self._create_source("first-password")
        self._cluster.create_namespace("team-a")
        self._cluster.create_namespace("team-b")
        self._opt_in("team-a")
        self._admit("team-a", [PULL_SECRET])
        self._keep_foreign_entry("team-a")
        self._dry_run("team-a")
        self._deployment("team-a")
        self._admit("team-b", [])
        self._rotate()

    def _create_source(self, password: str) -> None:
        self._cluster.kubectl(
            "create",
            "secret",
            "docker-registry",
            SOURCE,
            f"--namespace={self._installation.namespace}",
            f"--docker-server={REGISTRY}",
            "--docker-username=robot",
            f"--docker-password={password}",
        )

    def _opt_in(self, namespace: str) -> None:
        label, value = LABEL.split("=")
        started = time.perf_counter()
        self._patch(f"/api/v1/namespaces/{namespace}", "/metadata/labels/" + label.replace("/", "~1"), value)
        copy = await_(lambda: self._copy_password(namespace))
        self._seen.compare(f"Secret {PULL_SECRET} {_after(started)} after the label", copy, "first-password")
        account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
        await_(lambda: _references(self._get(account)))
        what = f"existing ServiceAccount default {_after(started)} after the label"
        self._seen.references(what, _references(self._get(account)), [PULL_SECRET])

    def _admit(self, namespace: str, expected: list[str]) -> None:
        """Create a ServiceAccount and a Pod, and read the references from the answers."""
        account = self._create(namespace, "serviceaccounts", _named("ServiceAccount", "builder"))
        self._seen.references(f"ServiceAccount {namespace}/builder, as created", _references(account), expected)
        pod = {**_named("Pod", "web"), "spec": {"containers": CONTAINERS}}
        self._seen.references(
            f"Pod {namespace}/web, as created", _references(self._create(namespace, "pods", pod)["spec"]), expected
        )

    def _keep_foreign_entry(self, namespace: str) -> None:
        spec = {"containers": CONTAINERS, "imagePullSecrets": [{"name": "their-own"}]}
        pod = self._create(namespace, "pods", {**_named("Pod", "with-their-own"), "spec": spec})
        what = f"Pod {namespace}/with-their-own, with another reference"
        self._seen.references(what, _references(pod["spec"]), ["their-own", PULL_SECRET])

    def _dry_run(self, namespace: str) -> None:
        body = _named("ServiceAccount", "rehearsal")
        account = self._create(namespace, "serviceaccounts?dryRun=All", body)
        self._seen.references(f"ServiceAccount {namespace}/rehearsal, by dry run", _references(account), [PULL_SECRET])
        left = self._cluster.api.request("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/rehearsal").status
        self._seen.compare("  … after the dry run (HTTP status)", str(left), "404")

    def _deployment(self, namespace: str) -> None:
        labels = {"app": "shop"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": CONTAINERS}}
        body = {
            **_named("Deployment", "shop"),
            "apiVersion": "apps/v1",
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        }
        self._cluster.api.call("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", body)
        path = f"/api/v1/namespaces/{namespace}/pods?labelSelector=app%3Dshop"
        pods = await_(lambda: self._get(path)["items"])
        self._seen.references(f"Pod {namespace}/shop-… of the Deployment", _references(pods[0]["spec"]), [PULL_SECRET])

    def _rotate(self) -> None:
        document = {"auths": {REGISTRY: {"username": "robot", "password": "second-password"}}}
        path = f"/api/v1/namespaces/{self._installation.namespace}/secrets/{SOURCE}"
        before = self._copy_uid("team-a")
        started = time.perf_counter()
        self._patch(path, "/stringData", {".dockerconfigjson": json.dumps(document)})
        copy = await_(lambda: self._copy_password("team-a", other_than="first-password"))
        self._seen.compare(f"Secret {PULL_SECRET} {_after(started)} after the rotation", copy, "second-password")
        self._seen.compare("  … the same Secret, updated in place", self._copy_uid("team-a"), before)

    def _copy_password(self, namespace: str, other_than: str = "") -> str:
        """Return the password in the copy, empty while there is none; only ever one that this scenario invented."""
        answer = self._cluster.api.request("GET", f"/api/v1/namespaces/{namespace}/secrets/{PULL_SECRET}")
        if answer.status != 200:
            return ""
        document = json.loads(b64decode(answer.json()["data"][".dockerconfigjson"]))
        password: str = document["auths"][REGISTRY]["password"]
        return "" if password == other_than else password

    def _copy_uid(self, namespace: str) -> str:
        uid = self._get(f"/api/v1/namespaces/{namespace}/secrets/{PULL_SECRET}")["metadata"]["uid"]
        return f"uid {hashlib.sha256(uid.encode()).hexdigest()[:8]}"

    def _get(self, path: str) -> dict[str, Any]:
        return self._cluster.api.call("GET", path)

    def _create(self, namespace: str, resource: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._cluster.api.call("POST", f"/api/v1/namespaces/{namespace}/{resource}", body)

    def _patch(self, path: str, pointer: str, value: object) -> None:
        self._cluster.api.json_patch(path, [{"op": "add", "path": pointer, "value": value}])


def await_(look: Callable[[], Any]) -> Any:  # noqa: ANN401 (whatever the look returns)
    """Poll until there is a value, and return it.

    Raises:
        ClusterFailed: there was nothing for a minute.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(POLL_SECONDS)
    raise ClusterFailed(f"waited {DEADLINE_SECONDS:.0f} s without success")


def _named(kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}


def _references(holder: dict[str, Any]) -> list[str]:
    return [entry["name"] for entry in holder.get("imagePullSecrets", ())]


def _after(started: float) -> str:
    return f"{(time.perf_counter() - started) * 1000:.0f} ms"
