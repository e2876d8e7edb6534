"""What somebody tries who has rights in one namespace, or none at all: on the real API server, with both processes."""

from __future__ import annotations

import http.client
import json
import ssl
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.programs import LOOPBACK
from tests.integration.conftest import FIRST_PASSWORD
from tests.integration.site.playground import (
    COPY,
    PATIENT_API_SERVER,
    REGISTRY,
    SOURCE,
    Playground,
    dockerconfigjson,
    eventually,
    names,
    pod,
    service_account,
)
from webhook.rules.ownership import NAMESPACE_UID_LABEL, labels_for

MATCHING = "matching-credentials"
TYPE = "kubernetes.io/dockerconfigjson"
MIRROR = "kubernetes.io/config.mirror"


@pytest.fixture(scope="module")
def attacked(cluster: Cluster) -> Iterator[Playground]:
    """An installation with running processes, one of whose pull secrets goes by the images of a Pod."""
    entries: list[dict[str, Any]] = [
        {"name": COPY, "sources": [{"secretName": SOURCE}]},
        {
            "name": MATCHING,
            "sources": [{"secretName": SOURCE}],
            "serviceAccounts": {"include": ["default"]},
            "pods": "WhenImageMatches",
            "registries": ["ghcr.io/our-org", "*.corp.example.com", "docker.io/our-org"],
        },
    ]
    with Playground.make(cluster, pullSecrets=entries, webhook=PATIENT_API_SERVER) as playground:
        playground.set_source(FIRST_PASSWORD)
        playground.start()
        yield playground


@pytest.fixture
def tenant(attacked: Playground) -> str:
    namespace = attacked.namespace(selected=True)
    attacked.await_selected(namespace, FIRST_PASSWORD)
    attacked.await_injection(namespace)
    return namespace


def our_labels(playground: Playground) -> dict[str, str]:
    return labels_for(playground.installation.release, playground.installation.namespace)


def put_secret(playground: Playground, namespace: str, name: str, password: str, **metadata: Any) -> None:  # noqa: ANN401
    body = {"type": TYPE, "data": dockerconfigjson(password)}
    playground.apply(
        namespace, "Secret", name, {**body, "metadata": {"name": name, "namespace": namespace, **metadata}}
    )


# Secrets


def test_forged_labels_gain_nothing_but_our_content(attacked: Playground) -> None:
    """A tenant's Secret that claims to be the copy becomes one: what was in it is gone, and nobody else's is."""
    namespace = attacked.namespace(selected=False)
    uid = attacked.cluster.api.call("GET", f"/api/v1/namespaces/{namespace}")["metadata"]["uid"]
    labels = our_labels(attacked) | {NAMESPACE_UID_LABEL: uid}
    put_secret(attacked, namespace, COPY, "forged", labels=labels)
    put_secret(attacked, namespace, "another", "theirs", labels=labels)
    attacked.opt(namespace, "enabled")
    attacked.await_selected(namespace, FIRST_PASSWORD)
    assert attacked.password_in_copy(namespace, "another") == "theirs"


@pytest.mark.parametrize("left_out", range(3))
def test_labels_forged_in_part_make_nothing_ours(attacked: Playground, left_out: int) -> None:
    labels = our_labels(attacked) | {"pullsecrets.webhook/extra": "x"}
    del labels[list(labels)[left_out]]
    namespace = attacked.namespace(selected=False)
    put_secret(attacked, namespace, COPY, "theirs", labels=labels)
    attacked.opt(namespace, "enabled")
    eventually(lambda: dict(attacked.events(namespace)), lambda seen: "CopyConflict" in seen)
    assert attacked.password_in_copy(namespace) == "theirs"


def test_a_secret_that_was_there_before_is_not_adopted_even_with_our_very_content(attacked: Playground) -> None:
    """Equal content proves nothing: ownership is by labels, and a hash decides only what of ours is up to date."""
    ours = attacked.namespace(selected=True)
    attacked.await_selected(ours, FIRST_PASSWORD)
    content = (attacked.get(ours, "secrets", COPY) or {})["data"]
    namespace = attacked.namespace(selected=False)
    attacked.apply(namespace, "Secret", COPY, {"type": TYPE, "data": content})
    attacked.opt(namespace, "enabled")
    eventually(lambda: dict(attacked.events(namespace)), lambda seen: "CopyConflict" in seen)
    attacked.opt(namespace, None)
    assert (attacked.get(namespace, "secrets", COPY) or {})["data"] == content


def test_annotations_decide_nothing_about_a_copy(attacked: Playground, tenant: str) -> None:
    forged = {
        "pullsecrets.webhook/release": "x",
        "pullsecrets.webhook/decline": COPY,
        "helm.sh/resource-policy": "keep",
    }
    body = {"metadata": {"annotations": forged}, "data": {"extra": "eA=="}}
    attacked.patch(tenant, "secrets", COPY, body)
    attacked.opt(tenant, None)
    attacked.await_left(tenant)


# Image references

STRANGE_IMAGES = [
    "ghcr.io@evil.example/our-org/app",
    "robot:x@ghcr.io/our-org/app",
    "https://ghcr.io/our-org/app",
    "ghcr.io.evil.example/our-org/app",
    "ghcr.io./our-org/app",
    ".ghcr.io/our-org/app",
    "GHCR.IO/our-org/app",
    "ghcr.\u0131o/our-org/app",
    "ghcr\u3002io/our-org/app",
    "xn--ghcr-io.example/our-org/app",
    "ghcr.io:443/our-org/app",
    "ghcr.io:8443/our-org/app",
    "ghcr.io/our-organisation/app",
    "ghcr.io/our-org/../their-org/app",
    "ghcr.io//our-org/app",
    "ghcr.io/OUR-ORG/app",
    "ghcr.io/our-org%2fapp",
    "evil.example/ghcr.io/our-org/app",
    "corp.example.com/app",
    "a.b.corp.example.com/app",
    "evilcorp.example.com/app",
    "registry.corp.example.com.evil.example/app",
    "our-org.evil.example/app",
    "[::1]/our-org/app",
    "a" * 5000,
    f"ghcr.io/our-org/{'a' * 5000}",
    f"{'a.' * 500}corp.example.com/app",
    "ghcr.io/our-org/app@sha256:short",
]


@pytest.mark.parametrize("image", STRANGE_IMAGES, ids=lambda image: image[:40])
def test_an_image_that_only_looks_like_ours_gets_no_reference(attacked: Playground, tenant: str, image: str) -> None:
    created = attacked.create(tenant, "pods", pod("x", image, imagePullSecrets=[{"name": COPY}]), "?dryRun=All")
    assert names(created["spec"]) == [COPY]


@pytest.mark.parametrize(
    "image",
    ["ghcr.io/our-org/app", "registry.corp.example.com/a/b:1", "our-org/app", "registry-1.docker.io/our-org/app"],
)
def test_an_image_that_is_ours_does(attacked: Playground, tenant: str, image: str) -> None:
    created = attacked.create(tenant, "pods", pod("x", image, imagePullSecrets=[{"name": COPY}]), "?dryRun=All")
    assert names(created["spec"]) == [COPY, MATCHING]


# Objects


def test_an_object_gets_no_reference_to_anything_but_what_is_configured(attacked: Playground, tenant: str) -> None:
    labels = {"pullsecrets.webhook/inject": "their-secret", attacked.label: "their-secret"}
    annotations = {"pullsecrets.webhook/inject": "their-secret", "pullsecrets.webhook/names": "their-secret"}
    body = service_account("forged")
    body["metadata"] |= {"labels": labels, "annotations": annotations}
    assert names(attacked.create(tenant, "serviceaccounts", body)) == [COPY]


def test_a_mirror_pod_of_a_tenant_passes_without(attacked: Playground, tenant: str) -> None:
    body = pod("x", imagePullSecrets=[{"name": "mine"}])
    body["metadata"]["annotations"] = {MIRROR: "forged"}
    answer = attacked.cluster.api.request("POST", f"/api/v1/namespaces/{tenant}/pods?dryRun=All", body)
    assert COPY not in answer.text


# The port, for who can reach it


class Port:
    """Raw requests to the admission port."""

    def __init__(self, playground: Playground) -> None:
        self._port = playground.installation.webhook_port

    def ask(
        self, path: str = "/mutate", body: bytes = b"", method: str = "POST", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(LOOPBACK, self._port, timeout=20, context=context)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
            return response.status, {key.lower(): value for key, value in response.getheaders()}, response.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def port(attacked: Playground) -> Port:
    return Port(attacked)


@pytest.mark.parametrize(
    "path",
    [
        *("//mutate", "/mutate/", "/mutate/..", "/./mutate", "/x/../mutate", "/mutate%00", "/MUTATE"),
        *("/mutate;x", "/", "/metrics", "/status", "/readyz", "/docs", "/openapi.json", "/..%2f..%2fetc%2fpasswd"),
    ],
)
def test_there_is_one_path_and_no_way_around_it(port: Port, path: str) -> None:
    status, _, body = port.ask(path, b"{}")
    assert status == 404, path
    assert len(body) < 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity, gzip", "x-gzip"])
def test_nothing_is_inflated(port: Port, encoding: str) -> None:
    status, _, _ = port.ask(body=b"\x1f\x8b\x08\x00" + b"\0" * 100, headers={"Content-Encoding": encoding})
    assert status == 415


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 1_000_000,
        b'{"a":' * 500_000,
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","object":' + b"[" * 900_000,
        b"9" * 3_000_000,
        b'"' + b"\\u0000" * 1_000_000 + b'"',
    ],
    ids=["lists", "objects", "within a review", "digits", "escapes"],
)
def test_deep_and_large_documents_are_refused_quickly(attacked: Playground, port: Port, body: bytes) -> None:
    status, headers, answer = port.ask(body=body)
    assert (status, headers["connection"]) == (400, "close")
    assert len(answer) < 200
    assert attacked.create(attacked.namespace(selected=True), "pods", pod("x"), "?dryRun=All")


INJECTION = 'x\r\nX-Injected: 1\r\n\r\n{"level":"error","event":"forged"}\n\x1b[31m\u202e'


def test_what_a_caller_names_injects_neither_a_header_nor_a_line(attacked: Playground, port: Port) -> None:
    kind = {"group": "", "version": "v1"}
    request = {
        "uid": INJECTION,
        "kind": {**kind, "kind": "Pod"},
        "resource": {**kind, "resource": "pods"},
        "operation": "CREATE",
        "namespace": INJECTION,
        "object": {"metadata": {"name": INJECTION, "generateName": INJECTION}, "spec": {}},
    }
    document = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    status, headers, body = port.ask(body=json.dumps(document).encode())
    assert status == 200
    assert "x-injected" not in headers
    assert json.loads(body)["response"]["uid"] == INJECTION
    assert "forged" not in attacked.installation.processes["serve"].metrics()
    for line in attacked.installation.processes["serve"].program.output.splitlines():
        assert not line.startswith(('{"level":"error"', "X-Injected"))
        assert "\x1b[31m" not in line


def test_a_source_that_injects_into_messages_is_told_in_one_line(ours: Playground) -> None:
    evil = {"auths": {'x\n{"level":"error"}\x1b[31m': {"auth": b64encode(b"a:b").decode()}}}
    data = {".dockerconfigjson": b64encode(json.dumps(evil).encode()).decode()}
    ours.apply(ours.installation.namespace, "Secret", SOURCE, {"type": TYPE, "data": data})
    ours.start()
    told = eventually(lambda: dict(ours.events(ours.installation.namespace)), lambda seen: "SourceInvalid" in seen)
    assert told["SourceInvalid"].isprintable()
    assert "\x1b[31m" not in ours.installation.processes["sync"].program.output
    assert REGISTRY not in told["SourceInvalid"]
