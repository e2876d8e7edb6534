"""Random scenes about the revocation of a credential: accounts, Secrets, and workloads that pull with them.

A scene is a namespace with a pull secret of its own. One account of it, ``main``, is revoked: it is the credential of
the pull secret's first source. Other accounts are valid, valid for some repositories only, or not valid at all. Teams
have Secrets with any of them, for whole registries or for parts of one.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.registry import ACCOUNT_REGISTRY_HOST, HOST, OPEN_REGISTRY_HOST, PUBLIC
from tests.e2e.workloads import SLEEP, container

ALLOWED = "allowed-"
"""The prefix of the repositories of a scene that its account ``narrow`` may pull."""

MALFORMED = {"auths": {HOST: {"auth": 5}}}
"""Valid for the API server, and not for the kubelet."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment or a bare Pod, with the images of its containers and its references."""

    kind: str
    name: str
    images: tuple[str, ...]
    references: tuple[str, ...]

    @property
    def title(self) -> str:
        """The name of it in reports."""
        return f"{self.kind}/{self.name}"

    def manifest(self, namespace: str) -> dict[str, Any]:
        """Return the object."""
        labels = {"scene": namespace, "workload": self.name, "kind": self.kind}
        spec: dict[str, Any] = {
            "containers": [container(image, f"c{position}", SLEEP) for position, image in enumerate(self.images)],
            "terminationGracePeriodSeconds": 1,
        }
        if self.references:
            spec["imagePullSecrets"] = [{"name": name} for name in self.references]
        metadata = {"name": self.name, "namespace": namespace, "labels": labels}
        if self.kind == "Pod":
            return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        template = {"metadata": {"labels": labels}, "spec": spec}
        body = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": body}


@dataclass(frozen=True, slots=True)
class Scene:
    """One namespace; ``is_early`` if its workloads are older than its opt-in."""

    name: str
    is_early: bool
    sources: dict[str, dict[str, Any]] = field(repr=False)
    secrets: dict[str, dict[str, Any]] = field(repr=False)
    workloads: tuple[Workload, ...]

    @property
    def images(self) -> Iterator[str]:
        """The images of all workloads."""
        return (image for workload in self.workloads for image in workload.images)

    def repositories(self, host: str) -> list[str]:
        """Return the repositories that a registry must have."""
        found = [image.removesuffix(":1").partition("/") for image in self.images]
        return [repository for registry, _, repository in found if registry == host]

    @property
    def revoked_at(self) -> set[str]:
        """The registries of the first source, at which its credential is revoked.

        At another registry, the same user name and password is the login of another account.
        """
        source = next(iter(self.sources.values()))
        return {key.partition("/")[0] for key in source["auths"]}

    def password(self, account: str) -> str:
        """Return the password of one of its accounts."""
        return f"{account}-of-{self.name}"

    def user(self, account: str) -> str:
        """Return the user name of one of its accounts."""
        return f"{self.name}-{account}"

    def pull_secret(self) -> dict[str, Any]:
        """Return its entry in the chart's values."""
        sources = [{"secretName": name} for name in self.sources]
        return {"name": self.name, "sources": sources, "namespaceSelector": {"matchLabels": {"scene": self.name}}}


def make_scene(seed: int, number: int) -> Scene:
    """Return the scene with this number; the same for the same seed."""
    return _Maker(seed, number).scene()


def secret(name: str, namespace: str, document: dict[str, Any]) -> dict[str, Any]:
    """Return a Secret with a Docker configuration."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps(document)},
    }


class _Maker:
    def __init__(self, seed: int, number: int) -> None:
        self._random = random.Random(f"{seed}/{number}")  # noqa: S311 (must be repeatable)
        self._name = f"scene-{number:02}"
        self._images = 0

    def scene(self) -> Scene:
        """Return the scene."""
        chance = self._random
        is_early = chance.random() < 0.3
        sources = {f"{self._name}-a": self._document("main", chance.randint(1, 3), whole=0.7)}
        if chance.random() < 0.4:
            sources[f"{self._name}-b"] = self._document(chance.choice(("spare", "narrow", "dead")), 1, whole=0.4)
        secrets = {f"own-{at}": self._own() for at in range(chance.randint(0, 3))}
        workloads = tuple(self._workload(at, list(secrets), is_early=is_early) for at in range(chance.randint(2, 3)))
        return Scene(self._name, is_early, sources, secrets, workloads)

    def _own(self) -> dict[str, Any]:
        if self._random.random() < 0.1:
            return MALFORMED
        account = self._random.choice(("main", "spare", "spare", "narrow", "dead"))
        return self._document(account, self._random.randint(1, 2), whole=0.5)

    def _document(self, account: str, number: int, *, whole: float) -> dict[str, Any]:
        hosts = self._random.sample((HOST, ACCOUNT_REGISTRY_HOST, OPEN_REGISTRY_HOST), number)
        user, password = f"{self._name}-{account}", f"{account}-of-{self._name}"
        keys = [host if self._random.random() < whole else f"{host}/{self._part(host)}" for host in hosts]
        return {"auths": {key: {"username": user, "password": password} for key in keys}}

    def _part(self, host: str) -> str:
        parts = [self._name, f"{self._name}/{ALLOWED}"]
        return self._random.choice([*parts, PUBLIC.rstrip("/")] if host == ACCOUNT_REGISTRY_HOST else parts)

    def _workload(self, at: int, secrets: Sequence[str], *, is_early: bool) -> Workload:
        chance = self._random
        kind = "Deployment" if is_early or chance.random() < 0.6 else "Pod"
        images = tuple(self._image() for _ in range(chance.randint(1, 2)))
        references = chance.sample(secrets, chance.randint(0, len(secrets)))
        if chance.random() < 0.2:
            references.insert(chance.randint(0, len(references)), "gone")
        if chance.random() < 0.2:
            references.insert(0, self._name)
        return Workload(kind, f"w{at}", images, tuple(references))

    def _image(self) -> str:
        self._images += 1
        chance = self._random
        host = chance.choice((HOST, HOST, ACCOUNT_REGISTRY_HOST, ACCOUNT_REGISTRY_HOST, OPEN_REGISTRY_HOST))
        folder = f"{self._name}/{chance.choice((ALLOWED, 'app-'))}{self._images}"
        if host == ACCOUNT_REGISTRY_HOST and chance.random() < 0.4:
            folder = f"{PUBLIC}{self._name}-{self._images}"
        return f"{host}/{folder}:1"
