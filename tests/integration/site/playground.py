"""An installation with running processes, and the few words that tests of it are written in."""

from __future__ import annotations

import json
import time
import uuid
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.cluster.cluster import Cluster
from tests.cluster.install import Installation, install
from tests.cluster.processes import PullSecrets
from webhook.rules.ownership import FIELD_MANAGER

T = TypeVar("T")

DEADLINE_SECONDS = 60.0
POLL_SECONDS = 0.01
LONGEST_POLL_SECONDS = 0.1
"""After a wait of a second. Looking a hundred times a second would take more CPU than much of what is tested."""

FEWEST_LOOKS = 30
"""Of `until_right`: three seconds of an idle machine. Where looks take long, so does what is looked at."""

REGISTRY = "registry.example.com"
COPY = "registry-credentials"
SOURCE = "harbor"
PATIENT_API_SERVER: dict[str, Any] = {"timeoutSeconds": 30}
"""Values of ``webhook`` where each answer counts: by default a request passes after 5 s without one."""

NO_READERS: dict[str, Any] = {"reader": {"groups": []}}
"""Values without the rights of all users, so that an identity has only its own: test_readers.py has those."""


def dockerconfigjson(password: str, registry: str = REGISTRY) -> dict[str, Any]:
    """Return the ``data`` of a docker-registry Secret."""
    entry = {"username": "robot", "password": password, "auth": b64encode(f"robot:{password}".encode()).decode()}
    return {".dockerconfigjson": b64encode(json.dumps({"auths": {registry: entry}}).encode()).decode()}


def eventually(look: Callable[[], T], holds: Callable[[T], bool] = bool, seconds: float = DEADLINE_SECONDS) -> T:
    """Look until what is seen ``holds``, and return it; the last sight is in the failure."""
    began = time.monotonic()
    while True:
        seen = look()
        if holds(seen):
            return seen
        waited = time.monotonic() - began
        if waited > seconds:
            raise AssertionError(f"not seen within {seconds:.0f} s; last: {seen!r}")
        time.sleep(min(max(POLL_SECONDS, waited / 10), LONGEST_POLL_SECONDS))


def until_right(wrong: Callable[[], Iterable[str]], since: float, within: float) -> float:
    """Look until nothing is ``wrong``, and return how many seconds after ``since`` that was.

    That is ``within`` at most. A machine that stood still, or has little time for anybody, has some looks in any case.
    """
    looks = 0
    while True:
        # By when a look begins: on a busy machine the look itself takes long.
        seconds = time.monotonic() - since
        found = list(wrong())
        if not found:
            return seconds
        looks += 1
        assert seconds <= within or looks < FEWEST_LOOKS, f"after {seconds:.1f} s still wrong: {found}"
        time.sleep(POLL_SECONDS)


def detail(process: PullSecrets, check: str) -> str:
    """Return the line of one check in the readiness report, empty while the port does not answer."""
    try:
        lines = process.get("/readyz?verbose")[1].splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line[3:].startswith(f"{check} ")), "")


def own_label() -> str:
    """Return an opt-in label that looks like a typing error of no other test's label: `check` reports those."""
    unique = uuid.uuid4().hex[:20]
    return f"{unique}.test/inject-{unique}"


@dataclass(slots=True)
class Playground:
    """One release on a cluster, with an opt-in label of its own: several side by side leave each other alone."""

    cluster: Cluster
    installation: Installation
    label: str

    @classmethod
    def make(cls, cluster: Cluster, **values: Any) -> Playground:  # noqa: ANN401 (Helm values are any JSON)
        """Install the chart; nothing runs yet."""
        release = f"psw-{uuid.uuid4().hex[:8]}"
        label = own_label()
        pull_secrets = [{"name": COPY, "sources": [{"secretName": SOURCE}]}]
        chosen = {"optIn": {"label": label}, "pullSecrets": pull_secrets, **values}
        return cls(cluster, install(cluster, release, f"{release}-system", chosen), label)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.installation.uninstall()

    def start(self) -> None:
        """Start sync and serve, and wait until both are ready."""
        sync, serve = self.installation.start_sync(), self.installation.start_serve()
        sync.wait_ready()
        serve.wait_ready()

    def start_sync(self, password: str, *flags: str, name: str = "sync") -> PullSecrets:
        """Create the source, start sync and wait until it is ready."""
        self.set_source(password)
        sync = self.installation.start_sync(*flags, name=name)
        sync.wait_ready()
        return sync

    def set_source(self, password: str, name: str = SOURCE) -> None:
        """Create or change a source."""
        body = {"type": "kubernetes.io/dockerconfigjson", "data": dockerconfigjson(password)}
        self.apply(self.installation.namespace, "Secret", name, body)

    def apply(self, namespace: str, kind: str, name: str, body: Mapping[str, Any]) -> None:
        """Write an object as another tool than ours would."""
        metadata = {**body.get("metadata", {}), "name": name, "namespace": namespace}
        self.cluster.apply([{"apiVersion": "v1", "kind": kind, **body, "metadata": metadata}], "test")

    def namespace(self, *, selected: bool, labels: Mapping[str, str] | None = None) -> str:
        """Create a namespace, opted in or not, and wait for its default ServiceAccount."""
        name = f"t-{uuid.uuid4().hex[:8]}"
        self.cluster.create_namespace(name, {**({self.label: "enabled"} if selected else {}), **(labels or {})})
        return name

    def opt(self, namespace: str, value: str | None) -> None:
        """Set the opt-in label of a namespace, or take it away."""
        body = {"metadata": {"labels": {self.label: value}}}
        self.cluster.api.call("PATCH", f"/api/v1/namespaces/{namespace}", body, "application/merge-patch+json")

    def patch(self, namespace: str, resource: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change an object by a merge patch."""
        path = f"/api/v1/namespaces/{namespace}/{resource}/{name}"
        return self.cluster.api.call("PATCH", path, body, "application/merge-patch+json")

    def create(self, namespace: str, resource: str, body: Mapping[str, Any], query: str = "") -> dict[str, Any]:
        """Create an object and return the answer to the very call."""
        return self.cluster.api.call("POST", f"/api/v1/namespaces/{namespace}/{resource}{query}", body)

    def get(self, namespace: str, resource: str, name: str) -> dict[str, Any] | None:
        """Return an object, None when there is none; an answer that says neither is asked for again."""
        path = f"/api/v1/namespaces/{namespace}/{resource}/{name}"
        answer = eventually(lambda: self.cluster.api.request("GET", path), lambda seen: seen.status in (200, 404))
        return answer.json() if answer.status == 200 else None

    def delete(self, namespace: str, resource: str, name: str) -> None:
        """Delete an object."""
        self.cluster.api.call("DELETE", f"/api/v1/namespaces/{namespace}/{resource}/{name}")

    def password_in_copy(self, namespace: str, name: str = COPY) -> str | None:
        """Return the password that the copy holds, None when there is no copy."""
        secret = self.get(namespace, "secrets", name)
        if secret is None:
            return None
        document = json.loads(b64decode(secret["data"].get(".dockerconfigjson", "e30=")))
        password: str | None = document.get("auths", {}).get(REGISTRY, {}).get("password")
        return password

    def references(self, namespace: str, service_account: str = "default") -> list[str] | None:
        """Return the names in a ServiceAccount's imagePullSecrets, None when it does not exist."""
        account = self.get(namespace, "serviceaccounts", service_account)
        return None if account is None else names(account)

    def hands_nothing_back(self, namespace: str, service_account: str = "default") -> bool:
        """Return True if sync has written all that it has to a ServiceAccount with a reference of ours.

        The last of it comes after the reference: the ownership of the list goes back to who had it, or to nobody.
        """
        entries = self._managed_fields(namespace, service_account)
        ours = [entry["fieldsV1"] for entry in entries if entry["manager"] == FIELD_MANAGER]
        return bool(entries) and not any("f:imagePullSecrets" in fields for fields in ours)

    def is_managed_by_sync(self, namespace: str, service_account: str = "default") -> bool:
        """Return True if sync is among the field managers of a ServiceAccount."""
        entries = self._managed_fields(namespace, service_account)
        return any(entry["manager"] == FIELD_MANAGER for entry in entries)

    def _managed_fields(self, namespace: str, service_account: str) -> list[dict[str, Any]]:
        account = self.get(namespace, "serviceaccounts", service_account)
        entries: list[dict[str, Any]] = account["metadata"].get("managedFields", []) if account else []
        return entries

    def events(self, namespace: str) -> Iterator[tuple[str, str]]:
        """Yield reason and message of the Events in a namespace."""
        for event in self.cluster.api.call("GET", f"/api/v1/namespaces/{namespace}/events")["items"]:
            yield event["reason"], event["message"]

    def await_selected(self, namespace: str, password: str) -> None:
        """Wait until a namespace has the copy, and its default ServiceAccount the reference."""
        eventually(lambda: self.password_in_copy(namespace), lambda seen: seen == password)
        eventually(lambda: self.references(namespace), lambda seen: seen is not None and COPY in seen)

    def await_injection(self, namespace: str) -> None:
        """Wait until the API server calls the webhook: it learns of caBundle and labels by watches of its own."""
        probe = service_account(f"probe-{uuid.uuid4().hex[:8]}")
        eventually(
            lambda: names(self.create(namespace, "serviceaccounts", probe, "?dryRun=All")), lambda seen: COPY in seen
        )

    def await_reference_of_pods(self, namespace: str) -> None:
        """Wait until a new Pod gets the reference of its ServiceAccount: the API server learns of it by a watch."""
        probe = pod(f"probe-{uuid.uuid4().hex[:8]}")
        eventually(
            lambda: names(self.create(namespace, "pods", probe, "?dryRun=All")["spec"]), lambda seen: COPY in seen
        )

    def forbid_secrets(self, namespace: str, quota: str = "no-secrets") -> None:
        """Have a ResourceQuota refuse every new Secret in a namespace, from when this returns."""
        self.apply(namespace, "ResourceQuota", quota, {"spec": {"hard": {"secrets": "0"}}})
        # The API server learns of the quota, and of what it counts, by watches of its own.
        secret = {"metadata": {"name": f"probe-{uuid.uuid4().hex[:8]}"}}
        path = f"/api/v1/namespaces/{namespace}/secrets?dryRun=All"
        eventually(lambda: self.cluster.api.request("POST", path, secret).text, lambda text: "exceeded quota" in text)

    def await_left(self, namespace: str) -> None:
        """Wait until nothing of ours is left in a namespace."""
        eventually(lambda: self.references(namespace), lambda seen: seen is not None and COPY not in seen)
        eventually(lambda: self.get(namespace, "secrets", COPY), lambda seen: seen is None)


def pod(name: str, image: str = f"{REGISTRY}/app:1", **spec: Any) -> dict[str, Any]:  # noqa: ANN401 (any JSON)
    """Return a Pod to create."""
    containers = [{"name": "app", "image": image}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": containers, **spec},
    }


def service_account(name: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 (any JSON)
    """Return a ServiceAccount to create."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}, **fields}


def names(holder: Mapping[str, Any]) -> list[str]:
    """Return the names in the imagePullSecrets of a ServiceAccount or of a Pod's spec."""
    entries: Iterable[Mapping[str, str]] = holder.get("imagePullSecrets") or ()
    return [entry["name"] for entry in entries]
