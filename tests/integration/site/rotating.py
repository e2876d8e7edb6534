"""A release whose pull secret is rotated in stages, with a registry that decides which password is right."""

from __future__ import annotations

import json
import uuid
from base64 import b64decode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from certs.authority import issue_authority, issue_leaf
from tests.cluster.processes import PullSecrets
from tests.integration.site.playground import COPY, SOURCE, Playground, dockerconfigjson, eventually, pod
from tests.unit.registries.registry import PASSWORD, Registry
from webhook.rules.rollout import REQUEST_ANNOTATION

GOOD, OLD, WRONG = PASSWORD, "old", "wrong"
"""The password that the registry accepts, that of the first content, and one that it refuses."""

ROLLOUTS_KEY = "_rollouts"

FORBIDDEN = "unexpected status from HEAD request to https://registry/v2/team/app/manifests/1: 403 Forbidden"
NOT_FOUND = "failed to resolve reference: not found"
"""The messages of nodes about a registry that refuses a pull, and about a tag that does not exist."""


def create_failing_pod(
    site: Playground, namespace: str, name: str, image: str, pull_secret: str, message: str, seconds: float = 5.0
) -> None:
    """Create a Pod that pulls with a pull secret, and report a failure as its node would.

    Its node accepts it so many seconds from now: no kubelet is there, and the copy was written before.
    """
    site.create(namespace, "pods", pod(name, image, imagePullSecrets=[{"name": pull_secret}]))
    waiting = {"reason": "ErrImagePull", "message": message}
    container = {"name": "app", "image": image, "imageID": "", "ready": False, "restartCount": 0}
    accepted = datetime.now(UTC) + timedelta(seconds=seconds)
    status = {
        "phase": "Pending",
        "startTime": f"{accepted:%Y-%m-%dT%H:%M:%SZ}",
        "containerStatuses": [{**container, "state": {"waiting": waiting}}],
    }
    site.patch(namespace, "pods", f"{name}/status", {"status": status})


@dataclass
class RotatingSite:
    """A release, its registry, the namespaces of the canary and the others."""

    site: Playground
    registry: Registry
    trust: Path
    canary: list[str]
    others: list[str]
    canary_settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def make(cls, site: Playground, folder: Path, **rollout: Any) -> RotatingSite:  # noqa: ANN401 (any values)
        """Make two namespaces of the canary and three others; nothing runs yet."""
        authority = issue_authority(datetime.now(UTC), timedelta(days=1))
        leaf = issue_leaf(authority, ["127.0.0.1"], datetime.now(UTC), timedelta(days=1))
        (folder / "ca.crt").write_bytes(authority.certificate_pem)
        (folder / "tls.pem").write_bytes(leaf.certificate_pem + leaf.private_key_pem)
        made = cls(site, Registry(folder / "tls.pem"), folder / "ca.crt", [], [])
        prefix = f"c-{uuid.uuid4().hex[:8]}"
        for number in range(2):
            made.canary.append(f"{prefix}-{number}")
            site.cluster.create_namespace(made.canary[-1], {site.label: "enabled"})
        made.others = [site.namespace(selected=True) for _ in range(3)]
        made.canary_settings = {"namespaces": [f"{prefix}-*"], "soak": "1h"}
        made.configure(canary=made.canary_settings, prove={"login": True}, **rollout)
        made.rotate(OLD)
        return made

    def configure(self, **rollout: Any) -> None:  # noqa: ANN401 (any values)
        """Set the rollout of the pull secret, as an upgrade of the chart does."""
        entry = {"name": COPY, "sources": [{"secretName": SOURCE}], "rollout": rollout}
        self.site.installation.set_configuration(optIn={"label": self.site.label}, pullSecrets=[entry])

    def start(self, name: str = "sync") -> PullSecrets:
        """Start sync, which trusts the registry."""
        process = self.site.installation.start_sync(name=name, environment={"SSL_CERT_FILE": str(self.trust)})
        process.wait_ready()
        return process

    def rotate(self, password: str) -> None:
        """Give the source another password."""
        body = {"type": "kubernetes.io/dockerconfigjson", "data": dockerconfigjson(password, self.registry.key)}
        self.site.apply(self.site.installation.namespace, "Secret", SOURCE, body)

    def password(self, namespace: str) -> str | None:
        """Return the password in the copy of a namespace; None without a copy."""
        secret = self.site.get(namespace, "secrets", COPY)
        if secret is None:
            return None
        document = json.loads(b64decode(secret["data"][".dockerconfigjson"]))
        password: str = document["auths"][self.registry.key]["password"]
        return password

    def passwords(self) -> tuple[set[str | None], set[str | None]]:
        """Return the passwords in the canary, and those in the other namespaces."""
        return {self.password(name) for name in self.canary}, {self.password(name) for name in self.others}

    def await_passwords(self, canary: str, others: str) -> None:
        """Wait until the copies have these passwords."""
        eventually(self.passwords, lambda seen: seen == ({canary}, {others}))

    def failing_pod(self, namespace: str, name: str, message: str, seconds: float = 5.0) -> str:
        """Create a Pod that pulls with the copy and fails, as :func:`create_failing_pod` does; return its image."""
        image = f"{self.registry.key}/team/{name}:1"
        create_failing_pod(self.site, namespace, name, image, COPY, message, seconds)
        return image

    def progress(self) -> dict[str, Any]:
        """Return the stored progress of the rollout; empty before it is stored."""
        return self._stored("progress")

    def rollout(self) -> dict[str, Any]:
        """Return the stored state of the rollout; empty before it is stored."""
        return self._stored("rollout")

    def _stored(self, part: str) -> dict[str, Any]:
        secret = self.site.get(self.site.installation.namespace, "secrets", self.site.installation.state_secret)
        value = ((secret or {}).get("data") or {}).get(ROLLOUTS_KEY)
        if value is None:
            return {}
        found: dict[str, Any] = json.loads(b64decode(value))["pull_secrets"].get(COPY, {}).get(part, {})
        return found

    def await_stage(self, stage: str) -> dict[str, Any]:
        """Wait until a stage is stored, and return the state."""
        return eventually(self.rollout, lambda seen: seen.get("stage") == stage)

    def ask(self, verb: str) -> None:
        """Request something for the present rollout, as a person with kubectl."""
        value = f"{verb}-{self.rollout()['id']}"
        body = {"metadata": {"annotations": {REQUEST_ANNOTATION: value}}}
        self.site.patch(self.site.installation.namespace, "secrets", SOURCE, body)

    def events(self) -> dict[str, str]:
        """Return the Events of the release by reason."""
        return dict(self.site.events(self.site.installation.namespace))
