"""Credentials that expire after seconds, from a real token service: the kubelet and Knative never meet an expired one.

The shortest lifetime that the configuration accepts makes twenty of them fit into minutes. ``E2E_LIFETIME=60`` takes
that many seconds for each. The pulls go on while the other scenarios of this file run.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.node import sandbox
from tests.e2e import images
from tests.e2e.knative.services import knative_service, wait_resolved
from tests.e2e.registry import NAME, TOKEN_REGISTRY_HOST, TOKEN_SERVICE_PORT, TokenRegistry
from tests.e2e.release import RESTRICTED, Release
from tests.e2e.site import COPY, SECONDS, Site
from tests.e2e.tokens import TokenService
from tests.e2e.workloads import container
from tests.providers import token_client
from webhook.rules.renewing import SHORTEST_LIFETIME

LIFETIME = float(os.environ.get("E2E_LIFETIME", SHORTEST_LIFETIME))
LIFETIMES = 20
PULLS_PER_LIFETIME = 10
IMAGE = f"{TOKEN_REGISTRY_HOST}/{images.APPLICATION}:1"
FOLDER = "/opt/pull-secret-webhook/providers"
COMMAND = "token-client"


@dataclass(frozen=True, slots=True)
class Pulls:
    """Pods that begin one after the other in a namespace, and pull each time."""

    namespace: str
    began_at: float


@pytest.fixture(scope="module")
def registry(site: Site) -> Iterator[TokenRegistry]:
    if not site.local:
        pytest.skip("needs the processes of a local cluster, and E2E_KUBECONFIG names another")
    registry = TokenRegistry(site.local.node, LIFETIME)
    registry.push(images.archives().application, f"{images.APPLICATION}:1")
    yield registry
    registry.tokens.close()


@pytest.fixture(scope="module")
def release(site: Site, registry: TokenRegistry, install: Callable[..., Release]) -> Release:
    """A release whose only source runs a provider, which is a file of a ConfigMap."""
    namespace = site.create_namespace("renewing", RESTRICTED)
    add_provider(site, namespace)
    environment = {
        "TOKENS_NAME": NAME,
        "TOKENS_ADDRESS": sandbox.ADDRESS,
        "TOKENS_PORT": f"{TOKEN_SERVICE_PORT}",
        "TOKENS_CA": f"{FOLDER}/ca.crt",
    }
    env = [{"name": name, "value": value} for name, value in environment.items()]
    source = {"credentialProvider": {"name": "tokens", "command": COMMAND, "images": [TOKEN_REGISTRY_HOST], "env": env}}
    sync = {
        "extraVolumes": [{"name": "provider", "configMap": {"name": "provider", "defaultMode": 0o555}}],
        "extraVolumeMounts": [{"name": "provider", "mountPath": FOLDER, "readOnly": True}],
    }
    release = install("renewing", namespace=namespace, pullSecrets=[{"name": COPY, "sources": [source]}], sync=sync)
    assert registry.tokens.lifetime == LIFETIME
    return release


def add_provider(site: Site, namespace: str) -> None:
    """Put the provider, and the authority of the token service, into a ConfigMap."""
    assert site.local
    program = f"#!/opt/pullsecrets/bin/python -IS\n{Path(token_client.__file__).read_text()}"
    data = {COMMAND: program, "ca.crt": site.local.node.cluster.ca_file.read_text()}
    metadata = {"name": "provider", "namespace": namespace}
    site.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


@pytest.fixture(scope="module")
def pulls(site: Site, release: Release) -> Iterator[Pulls]:
    """Pulls that go on: a Job begins the next Pod when one has ended."""
    namespace = release.create_tenant("endurance")
    sleep = ["/bin/busybox", "sleep", f"{LIFETIME / PULLS_PER_LIFETIME / 2:g}"]
    always = container(IMAGE, command=sleep) | {"imagePullPolicy": "Always"}
    template = {"spec": {"containers": [always], "restartPolicy": "Never"}}
    spec = {"completions": 1_000_000, "parallelism": 1, "backoffLimit": 1_000_000, "template": template}
    metadata = {"name": "pulls", "namespace": namespace}
    began_at = time.time()
    site.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})
    yield Pulls(namespace, began_at)
    site.kubectl("delete", "job", "pulls", "-n", namespace)


@pytest.mark.usefixtures("pulls", "knative")
def test_knative_resolves_a_digest_with_such_a_credential(site: Site, release: Release) -> None:
    namespace = release.create_tenant("functions")

    site.apply(knative_service(namespace, IMAGE))

    wait_resolved(site, namespace, IMAGE)


@pytest.mark.usefixtures("pulls")
def test_the_registry_refuses_the_kubelet_an_expired_credential(
    site: Site, release: Release, registry: TokenRegistry
) -> None:
    copy = site.get("secret", COPY, "-n", release.create_tenant("before"))
    namespace = site.create_namespace("expired")
    kept = {"name": "kept", "namespace": namespace}
    site.apply({"apiVersion": "v1", "kind": "Secret", "metadata": kept, "type": copy["type"], "data": copy["data"]})
    expires = expiry_in(copy)
    site.wait(lambda: time.time() > expires, "the credential has expired", seconds=LIFETIME + SECONDS)
    always = container(IMAGE) | {"imagePullPolicy": "Always"}
    spec = {"containers": [always], "imagePullSecrets": [{"name": "kept"}]}
    late = {"name": "late", "namespace": namespace}

    site.apply({"apiVersion": "v1", "kind": "Pod", "metadata": late, "spec": spec})

    site.wait(lambda: any("401" in event for event in failures(site, namespace)), "the kubelet is refused with 401")
    assert any(login.expires == expires and not login.accepted for login in registry.tokens.logins)


def expiry_in(copy: dict[str, Any]) -> float:
    """Return when the credential in a copy expires, which its password names."""
    document = base64.b64decode(copy["data"][".dockerconfigjson"]).decode()
    auth = base64.b64decode(document.partition('"auth":"')[2].partition('"')[0]).decode()
    return float(auth.rpartition(".")[0].partition(".")[2])


def failures(site: Site, namespace: str) -> list[str]:
    """Return what the kubelet reports about containers that it cannot start, pulls that fail among them."""
    found = site.get("events", "-n", namespace, "--field-selector=reason=Failed")["items"]
    return [event["message"] for event in found]


def pulled(site: Site, namespace: str) -> int:
    """Return how many Pods' images the kubelet has pulled."""
    found = site.get("events", "-n", namespace, "--field-selector=reason=Pulled")["items"]
    return sum("Successfully pulled" in event["message"] for event in found)


def test_the_kubelet_pulls_through_twenty_lifetimes_without_a_failed_pull(
    site: Site, pulls: Pulls, registry: TokenRegistry
) -> None:
    end = pulls.began_at + LIFETIMES * LIFETIME

    site.wait(lambda: time.time() > end, "twenty lifetimes are over", seconds=LIFETIMES * LIFETIME + SECONDS)

    count = pulled(site, pulls.namespace)
    used = used_between(registry.tokens, pulls.began_at, end)
    print(f"{count} pulls, {len(used)} credentials of {LIFETIME:g} s")
    assert failures(site, pulls.namespace) == []
    assert count >= LIFETIMES
    assert len(used) >= LIFETIMES, "each lifetime brought another credential"


def used_between(tokens: TokenService, began_at: float, end: float) -> set[int]:
    """Return the numbers of the credentials with which a client got in during this time."""
    return {login.number for login in tokens.logins if login.accepted and began_at <= login.at <= end}
