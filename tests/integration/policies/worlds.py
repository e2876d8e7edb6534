"""Worlds for exported policies: a configuration, namespaces, and objects to create in them; some drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from webhook.files.configuration import API_VERSION, KIND
from webhook.rules.configuration import DECLINE_ANNOTATION
from webhook.rules.gates import MIRROR_ANNOTATION

Json = dict[str, Any]

ACCOUNTS = ("default", "builder", "ci-1", "ci-12", "team.robot")
"""The ServiceAccounts of each namespace; ``builder`` has a list of its own."""

THEIRS = "theirs"
NAMES = ("registry-credentials", "ghcr", "vendor.example", "mirror")
PATTERNS = (
    "*",
    "default",
    "ci-*",
    "ci-?",
    "ci-[0-9]",
    "[!c]*",
    "*.robot",
    "b*d*r",
    "team?robot",
    "[]d]efault",
    "[z-a]*",
)
NAMESPACE_PATTERNS = ("*", "*-0", "*-[1-9]", "e-*", "nowhere", "*[!0]")
REGISTRIES = (
    "docker.io",
    "ghcr.io/org",
    "*.example.com",
    "registry.example.com:5000",
    "docker.io/library",
    "[::1]:5000",
)
IMAGES = (
    *("nginx", "nginx:1.27", "org/app", "docker.io/nginx", "index.docker.io/org/app:1", "ghcr.io/org/app"),
    *("ghcr.io/organisation/app", "eu.example.com/app", "example.com/app", "a.b.example.com/app", "localhost/app"),
    *(
        "registry.example.com:5000/team/app:v1",
        "[::1]:5000/app",
        "ghcr.io/Org/app",
        "not an image",
        "my_host.example.com/x",
    ),
)
DEPARTMENTS = ("payments", "", "research")


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace: whether it has opted in, and what else is on it."""

    opted_in: bool = True
    labels: Json = field(default_factory=dict)
    annotations: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class World:
    """A configuration without its ``optIn.label``, the places, and what is created in each of them."""

    configuration: Json
    places: Sequence[Place]
    pods: Sequence[Json]
    accounts: Sequence[Json] = ()


def configuration(*pull_secrets: Json, **fields: Any) -> Json:  # noqa: ANN401 (any JSON)
    """Return a document; a pull secret has one source unless it says otherwise."""
    entries = [{"sources": [{"secretName": "harbor"}], **entry} for entry in pull_secrets]
    return {"apiVersion": API_VERSION, "kind": KIND, "pullSecrets": entries, **fields}


def references(*names: str) -> list[Json]:
    """Return a list of references."""
    return [{"name": name} for name in names]


def pod(*images: str, labels: Json | None = None, annotations: Json | None = None, **spec: Any) -> Json:  # noqa: ANN401
    """Return a Pod; it needs no token, so that nothing random is mounted."""
    containers = [{"name": f"c{position}", "image": image} for position, image in enumerate(images or ("app",))]
    about = {"name": "web", "labels": labels or {}, "annotations": annotations or {}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": about,
        "spec": {"automountServiceAccountToken": False, "containers": containers, **spec},
    }


def mirror(**spec: Any) -> Json:  # noqa: ANN401 (any JSON)
    """Return the mirror of a static Pod."""
    return pod(annotations={MIRROR_ANNOTATION: "0123"}, nodeName="node", **spec)


def account(name: str, labels: Json | None = None, **fields: Any) -> Json:  # noqa: ANN401 (any JSON)
    """Return a ServiceAccount."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "labels": labels or {}}, **fields}


def random_world(random: Random, label: str) -> World:
    """Draw a world of which no part is likely to be as in another."""
    names = random.sample(NAMES, random.randint(1, len(NAMES)))
    opt_in = {"value": random.choice(["enabled", "yes"]), "mayDecline": random.random() < 0.5}
    document = configuration(*(_pull_secret(random, name) for name in names), optIn=opt_in)
    places = [_place(random, names) for _ in range(4)]
    pods = [_pod(random, names, label) for _ in range(12)]
    return World(document, places, pods, [_account(random, names, label) for _ in range(4)])


def _pull_secret(random: Random, name: str) -> Json:
    entry: Json = {"name": name, "pods": random.choice(["Always", "WhenImageMatches", "WhenImageMatches", "Never"])}
    if entry["pods"] == "WhenImageMatches":
        entry["registries"] = random.sample(REGISTRIES, random.randint(1, 3))
    if random.random() < 0.5:
        include, exclude = (
            random.sample(PATTERNS, random.randint(1, 3)),
            random.sample(PATTERNS[1:], random.randint(0, 2)),
        )
        entry["serviceAccounts"] = {"include": include, "exclude": exclude}
    if random.random() < 0.4:
        entry["namespaceSelector"] = {"matchExpressions": [_expression(random)]}
    if random.random() < 0.4:
        limit = random.sample(NAMESPACE_PATTERNS, random.randint(1, 2))
        entry["sources"] = [{"secretName": "harbor", "namespaces": limit}, {"secretName": "ghcr"}]
    return entry


def _expression(random: Random) -> Json:
    operator = random.choice(["In", "NotIn", "Exists", "DoesNotExist"])
    values = random.sample(DEPARTMENTS, random.randint(1, 2)) if operator.endswith("In") else []
    return {"key": "example.com/department", "operator": operator, "values": values}


def _place(random: Random, names: Sequence[str]) -> Place:
    labels = {"example.com/department": random.choice(DEPARTMENTS)} if random.random() < 0.7 else {}
    declined = " , ".join(random.sample(names, random.randint(0, len(names))))
    annotations = {DECLINE_ANNOTATION: f" {declined},"} if random.random() < 0.5 else {}
    return Place(random.random() < 0.85, labels, annotations)


def _list(random: Random, names: Sequence[str]) -> Json:
    if random.random() < 0.4:
        return {}
    there = [
        *random.sample(names, random.randint(0, len(names))),
        *random.sample([THEIRS, "other"], random.randint(0, 2)),
    ]
    random.shuffle(there)
    return {"imagePullSecrets": references(*there)}


def _pod(random: Random, names: Sequence[str], label: str) -> Json:
    if random.random() < 0.05:
        return mirror()
    spec: Json = _list(random, names)
    if random.random() < 0.8:
        spec["serviceAccountName"] = random.choice(ACCOUNTS)
    if random.random() < 0.2:
        spec["initContainers"] = [{"name": "init", "image": random.choice(IMAGES)}]
    if random.random() < 0.2:
        spec["volumes"] = [{"name": "model", "image": {"reference": random.choice(IMAGES)}}]
    labels = {label: random.choice(["disabled", "enabled"])} if random.random() < 0.2 else {}
    return pod(*random.choices(IMAGES, k=random.randint(1, 3)), labels=labels, **spec)


def _account(random: Random, names: Sequence[str], label: str) -> Json:
    labels = {label: random.choice(["disabled", "enabled"])} if random.random() < 0.3 else {}
    return account(random.choice([*ACCOUNTS, "ci-77", "new"]), labels, **_list(random, names))
