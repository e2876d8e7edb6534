"""The cluster that the tests of the loop act in: a release, its configuration, and what people do to objects."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.fake_apiserver.storage import Object, Target
from webhook.rules.configuration import Configuration, PullSecret
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE
from webhook.rules.ownership import FIELD_MANAGER, Release, labels_for

RELEASE = Release("psw", "psw-system")
LABEL = "pullsecrets.webhook/inject"
CONFIGURATION = Configuration((PullSecret("pull", ("harbor",)),)).excluding(RELEASE.namespace)
OURS = labels_for(RELEASE.name, RELEASE.namespace)
"""As copies of release 0.1 have them; those of today have one more."""

BY_US: Mapping[str, str] = {"manager": FIELD_MANAGER, "operation": "Apply"}
"""Who writes a copy, for the fake API server."""


def docker_config(password: str, registry: str = "harbor.example.com") -> str:
    """Return the content of a source as the API has it."""
    entry = {"auth": b64encode(f"robot:{password}".encode()).decode()}
    return b64encode(json.dumps({"auths": {registry: entry}}).encode()).decode()


def secret_path(namespace: str, name: str = "pull") -> str:
    return f"/api/v1/namespaces/{namespace}/secrets/{name}"


def put_source(api: FakeApiServer, password: str, name: str = "harbor") -> None:
    api.put(secret_path(RELEASE.namespace, name), {"type": COPY_TYPE, "data": {COPY_KEY: docker_config(password)}})


def put_namespace(api: FakeApiServer, name: str, value: str = "enabled") -> None:
    api.put(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {LABEL: value}}})


def put_account(
    api: FakeApiServer, namespace: str, *names: str, account: str = "default", enforces: bool = False
) -> None:
    references = {"imagePullSecrets": [{"name": name} for name in names]} if names else {}
    annotations = {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}} if enforces else {}
    api.put(f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}", {**references, "metadata": annotations})


def edit_copy(api: FakeApiServer, namespace: str) -> None:
    """Break the content of a copy, as somebody with ``kubectl edit`` would."""
    api.storage.merge_patch(Target.parse(secret_path(namespace)), {"data": {COPY_KEY: "e30="}}, "editor")


def copy_in(api: FakeApiServer, namespace: str, name: str = "pull") -> Object | None:
    return api.read(secret_path(namespace, name))


def password_in(secret: Object | None) -> str:
    """Return the password that a copy holds; empty when there is no copy."""
    if secret is None:
        return ""
    document: dict[str, Any] = json.loads(b64decode(secret["data"][COPY_KEY]))
    return "+".join(b64decode(entry["auth"]).decode().partition(":")[2] for entry in document.get("auths", {}).values())


def references_in(api: FakeApiServer, namespace: str, account: str = "default") -> list[str]:
    found = api.read(f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}") or {}
    return [entry["name"] for entry in found.get("imagePullSecrets", [])]
