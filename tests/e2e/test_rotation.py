"""A rotation to a credential that lacks one right, on a real node: no Pod notices, and the corrected one completes.

A docker-registry and its token service decide who can pull from a repository. The proof runs in the Pod of sync.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.node import sandbox
from tests.e2e import images
from tests.e2e.registry import NAME, TokenRegistry
from tests.e2e.release import RESTRICTED, Release
from tests.e2e.site import COPY, Site
from tests.e2e.tokens import USER
from tests.e2e.workloads import container

PORT = 5003
HOUR = 3600.0
REPOSITORIES = ("team/app", "team/base")
DENIED = "team/base"
FOLDER = "/etc/registry"
SOURCE = "rotated"
"""A Secret of our own: that of a release has the credential of another registry."""


@pytest.fixture(scope="module")
def registry(site: Site) -> Iterator[TokenRegistry]:
    if not site.local:
        pytest.skip("needs the processes of a local cluster, and E2E_KUBECONFIG names another")
    registry = TokenRegistry(site.local.node, HOUR, PORT)
    for repository in REPOSITORIES:
        registry.push(images.archives().application, f"{repository}:1")
    yield registry
    registry.tokens.close()


def make_release(site: Site, registry: TokenRegistry, install: Callable[..., Release], password: str) -> Release:
    """Install a release with a rollout, whose sync trusts the registry, and whose source has this password."""
    assert site.local
    namespace = site.create_namespace("rotating", RESTRICTED)
    site.apply(secret(registry, namespace, SOURCE, password))
    authority = {"ca.crt": site.local.node.cluster.ca_file.read_text()}
    metadata = {"name": "registry-ca", "namespace": namespace}
    site.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": authority})
    sync = {
        "hostAliases": [{"ip": sandbox.ADDRESS, "hostnames": [NAME]}],
        "extraEnv": [{"name": "SSL_CERT_FILE", "value": f"{FOLDER}/ca.crt"}],
        "extraVolumes": [{"name": "registry-ca", "configMap": {"name": "registry-ca"}}],
        "extraVolumeMounts": [{"name": "registry-ca", "mountPath": FOLDER, "readOnly": True}],
    }
    rollout = {
        "prove": {"pull": [f"{registry.host}/{repository}:1" for repository in REPOSITORIES]},
        "canary": {"namespaces": ["canary-*"], "soak": "5s"},
    }
    entry = {"name": COPY, "sources": [{"secretName": SOURCE}], "rollout": rollout}
    return install("rotating", namespace=namespace, pullSecrets=[entry], sync=sync)


def secret(registry: TokenRegistry, namespace: str, name: str, password: str) -> dict[str, object]:
    """Return a Secret with a credential of the registry."""
    auth = b64encode(f"{USER}:{password}".encode()).decode()
    document = json.dumps({"auths": {registry.host: {"username": USER, "password": password, "auth": auth}}})
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": document},
    }


def start_pods(site: Site, registry: TokenRegistry, namespace: str, prefix: str) -> None:
    """Create a Pod of each repository, which pulls even if the node has the image."""
    for repository in REPOSITORIES:
        always = container(f"{registry.host}/{repository}:1") | {"imagePullPolicy": "Always"}
        metadata = {"name": f"{prefix}-{repository.replace('/', '-')}", "namespace": namespace}
        spec = {"containers": [always], "terminationGracePeriodSeconds": 1}
        site.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def await_pods(site: Site, namespace: str) -> None:
    """Wait until every Pod of a namespace runs, and none has been restarted or has failed to pull."""
    site.wait_ready(namespace)
    pods = site.get("pods", "-n", namespace)["items"]
    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods] == [0] * len(pods)
    assert failures(site, namespace) == []


def failures(site: Site, namespace: str) -> list[str]:
    """Return what the kubelet reports about containers that it cannot start."""
    found = site.get("events", "-n", namespace, "--field-selector=reason=Failed")["items"]
    return [event["message"] for event in found]


def await_turned_away(site: Site, registry: TokenRegistry, password: str) -> None:
    """Wait until a Pod is turned away that has this credential: without the proof, all would have got it."""
    namespace = site.create_namespace("control")
    site.apply(secret(registry, namespace, "kept", password))
    account = {"kind": "ServiceAccount", "apiVersion": "v1", "imagePullSecrets": [{"name": "kept"}]}
    site.apply(account | {"metadata": {"name": "default", "namespace": namespace}})
    start_pods(site, registry, namespace, "control")
    site.wait(lambda: any(DENIED in each for each in failures(site, namespace)), f"a pull of {DENIED} is refused")


def await_event(site: Site, release: Release, reason: str) -> str:
    """Wait for an Event of the release, and return its message."""

    def messages() -> list[str]:
        found = site.get("events", "-n", release.namespace, f"--field-selector=reason={reason}")["items"]
        return [event["message"] for event in found]

    site.wait(lambda: bool(messages()), f"the Event {reason}")
    return messages()[-1]


def test_a_credential_that_lacks_one_right_breaks_no_pod_and_completes_when_it_has_it(
    site: Site, registry: TokenRegistry, install: Callable[..., Release]
) -> None:
    first, second = registry.tokens.issue(), registry.tokens.issue()
    release = make_release(site, registry, install, first)
    canary, rest = release.create_tenant("canary"), release.create_tenant("rest")
    for namespace in (canary, rest):
        start_pods(site, registry, namespace, "before")
        await_pods(site, namespace)

    registry.tokens.denied.add((second, DENIED))
    site.apply(secret(registry, release.namespace, SOURCE, second))
    message = await_event(site, release, "RotationHeld")
    late = release.create_tenant("late")
    for namespace in (canary, rest, late):
        start_pods(site, registry, namespace, "held")
        await_pods(site, namespace)

    assert f"{registry.host}/{DENIED}:1" in message
    assert second not in message
    await_turned_away(site, registry, second)

    registry.tokens.denied.clear()
    await_event(site, release, "RotationComplete")
    registry.tokens.revoked.add(first)
    for namespace in (canary, rest, late):
        start_pods(site, registry, namespace, "after")
        await_pods(site, namespace)
