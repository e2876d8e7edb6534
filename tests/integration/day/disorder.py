"""A cluster in disorder, made from a seed: namespaces, copies, ServiceAccounts and Pods that are not as they should be.

What is in it is brought into order by a first configuration, then disturbed while nobody puts it right, and then a
second configuration comes into force.
"""

from __future__ import annotations

import json
import random
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.processes import PullSecrets
from tests.integration.site.playground import (
    DEADLINE_SECONDS,
    Playground,
    dockerconfigjson,
    eventually,
    names,
    pod,
    service_account,
)

MERGE = "application/merge-patch+json"
PLAIN, TEAM, VENDOR, OLD = "plain-pull", "team-pull", "vendor-pull", "old-pull"
COPIES = (PLAIN, TEAM, VENDOR, OLD)
_TEAM = {"name": TEAM, "sources": [{"secretName": "team"}], "namespaceSelector": {"matchLabels": {"team": "b"}}}
FIRST: dict[str, Any] = {
    "pullSecrets": [
        {"name": PLAIN, "sources": [{"secretName": "plain"}]},
        _TEAM,
        {"name": OLD, "sources": [{"secretName": "plain"}]},
    ]
}
SECOND: dict[str, Any] = {
    "pullSecrets": [
        {"name": PLAIN, "sources": [{"secretName": "plain"}]},
        {
            **_TEAM,
            "sources": [{"secretName": "team", "namespaces": ["t-[0-9]*", "t-[a-c]*"]}],
            "serviceAccounts": {"exclude": ["ci-*"]},
        },
        {
            "name": VENDOR,
            "sources": [{"secretName": "absent"}],
            "pods": "WhenImageMatches",
            "registries": ["vendor.example.com"],
        },
    ],
    "retired": [OLD],
}
_IMAGES = ("registry.example.com/app", "vendor.example.com/app", "nginx")


@dataclass(frozen=True)
class Seen:
    """What is in the namespaces: Secrets of copies' names by UID and content, and the references of ServiceAccounts."""

    secrets: dict[str, tuple[str, str]]
    accounts: dict[str, list[str]]


@dataclass
class Disorder:
    """Namespaces of a playground whose sync and serve are started and stopped by the test."""

    playground: Playground
    seed: int
    namespaces: list[str] = field(default_factory=list)
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - chosen for being repeatable

    def order(self, number: int) -> None:
        """Create namespaces, and have the loop bring them into order by the first configuration."""
        ours = self.playground
        for name in ("plain", "team"):
            ours.set_source("first", name)
        for _ in range(number):
            self.namespaces.append(ours.namespace(selected=self._maybe(0.7), labels=self._team()))
        sync = ours.installation.start_sync(name="sync-1")
        sync.wait_ready()
        settle(sync)
        tls = (ours.installation.namespace, "secrets", ours.installation.tls_secret)
        eventually(lambda: ours.get(*tls) is not None)  # a webhook that starts while no loop runs needs it
        assert sync.stop() == 0

    def disturb(self) -> None:
        """Change things at random, while nobody looks."""
        self.playground.set_source("second", "team")
        for namespace in list(self.namespaces):
            self._disturb_secrets(namespace)
            self._disturb_accounts(namespace)
            self._create_pods(namespace)
            self._relabel(namespace)
            if self._maybe(0.2):
                self._decline(namespace)
        late = self.playground.namespace(selected=True, labels=self._team())
        self.namespaces.append(late)
        enforcing = service_account("enforcing")
        enforcing["metadata"]["annotations"] = {"kubernetes.io/enforce-mountable-secrets": "true"}
        self.playground.create(late, "serviceaccounts", enforcing)

    def seen(self) -> Seen:
        """Look."""
        secrets: dict[str, tuple[str, str]] = {}
        accounts: dict[str, list[str]] = {}
        api = self.playground.cluster.api
        for namespace in self.namespaces:
            for each in api.call("GET", f"/api/v1/namespaces/{namespace}/secrets")["items"]:
                metadata = each["metadata"]
                if metadata["name"] in COPIES:
                    secrets[f"{namespace}/{metadata['name']}"] = (metadata["uid"], json.dumps(each["data"]))
            for each in api.call("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts")["items"]:
                accounts[f"{namespace}/{each['metadata']['name']}"] = names(each)
        return Seen(secrets, accounts)

    def anew(self, name: str) -> list[str]:
        """Create a Pod again under another name, by dry run, and return its references."""
        namespace, _, _ = name.partition("/")
        original = self.pods[name]
        metadata = {**original["metadata"], "name": f"{original['metadata']['name']}-anew"}
        return names(
            self.playground.create(namespace, "pods", {**original, "metadata": metadata}, "?dryRun=All")["spec"]
        )

    def _disturb_secrets(self, namespace: str) -> None:
        ours = self.playground
        for name in (PLAIN, TEAM):
            there = ours.get(namespace, "secrets", name) is not None
            match self._random.randrange(6):
                case 0 if there:
                    ours.delete(namespace, "secrets", name)
                case 1 if there:
                    body = {"data": dockerconfigjson("edited"), "type": "kubernetes.io/dockerconfigjson"}
                    ours.apply(namespace, "Secret", name, body)
                case 2 if there:
                    frozen = {"data": dockerconfigjson("frozen"), "type": "kubernetes.io/dockerconfigjson"}
                    ours.apply(namespace, "Secret", name, {**frozen, "immutable": True})
                case 3:
                    if there:
                        ours.delete(namespace, "secrets", name)
                    value = b64encode(b"theirs").decode()
                    ours.create(namespace, "secrets", {"metadata": {"name": name}, "data": {"theirs": value}})
                case _:
                    pass

    def _disturb_accounts(self, namespace: str) -> None:
        ours = self.playground
        if self._maybe(0.4):
            ours.apply(namespace, "ServiceAccount", "default", {"imagePullSecrets": self._references()})
        for name in ("ci-build", "builder"):
            account = service_account(name, imagePullSecrets=self._references())
            if self._maybe(0.2):
                account["metadata"]["labels"] = {ours.label: "disabled"}
            ours.create(namespace, "serviceaccounts", account)

    def _create_pods(self, namespace: str) -> None:
        for number in range(3):
            spec: dict[str, Any] = {"serviceAccountName": self._random.choice(["default", "ci-build", "builder"])}
            if self._maybe(0.5):
                spec["imagePullSecrets"] = self._references()
            body = pod(f"pod-{number}", image=self._random.choice(_IMAGES), **spec)
            if self._maybe(0.1):
                body["metadata"]["labels"] = {self.playground.label: "disabled"}
            self.playground.create(namespace, "pods", body)
            self.pods[f"{namespace}/pod-{number}"] = body

    def _relabel(self, namespace: str) -> None:
        if self._maybe(0.3):
            self.playground.opt(namespace, self._random.choice(["enabled", "no", None]))
        if self._maybe(0.3):
            body = {"metadata": {"labels": {"team": self._random.choice(["a", "b", None])}}}
            self.playground.cluster.api.call("PATCH", f"/api/v1/namespaces/{namespace}", body, MERGE)

    def _decline(self, namespace: str) -> None:
        body = {"metadata": {"annotations": {"pullsecrets.webhook/decline": self._random.choice([PLAIN, TEAM])}}}
        self.playground.cluster.api.call("PATCH", f"/api/v1/namespaces/{namespace}", body, MERGE)

    def _references(self) -> list[dict[str, str]]:
        chosen = [name for name in ("theirs", PLAIN, TEAM, VENDOR, OLD) if self._maybe(0.3)]
        return [{"name": name} for name in self._random.sample(chosen, len(chosen))]

    def _team(self) -> dict[str, str]:
        return {"team": "b"} if self._maybe(0.5) else {}

    def _maybe(self, share: float) -> bool:
        return self._random.random() < share


def settle(sync: PullSecrets, seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until the loop leads, has looked at every namespace, and has nothing left to do."""

    def idle(status: dict[str, Any]) -> bool:
        queue = status["queue"]
        passed = status["leader"]["leading"] and all(watch["synced"] for watch in status["watches"])
        return passed and queue["added"] > 0 and not (queue["waiting"] or queue["working"] or queue["backingOff"])

    still = 0
    while still < 3:  # what a write sets off comes by a watch a moment later
        before = eventually(lambda: json.loads(sync.get("/status")[1]), idle, seconds)
        after = eventually(lambda: json.loads(sync.get("/status")[1]), idle, seconds)
        still = still + 1 if before["queue"]["added"] == after["queue"]["added"] else 0
