"""Images of running Pods, and the Secrets that cover them."""

from __future__ import annotations

from base64 import b64encode

import pytest

from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.inspect.test_release import put_release
from tests.unit.inspect.test_selection import put_namespace
from webhook.inspect.reader import Reader
from webhook.inspect.release import ReleaseQuery, find_release
from webhook.inspect.workloads import read_coverage
from webhook.kube.client import Client

REGISTRY = "registry.example.com"
CONTENT = b'{"auths": {"registry.example.com": {"auth": "dTpw"}}}'
CUT = b'{"auths": {"registry.example.com": {"auth": "dTpw"}, "other.example.com": {"auth": "%%%"}}}'


@pytest.mark.parametrize(
    ("kind", "content", "result"),
    [
        ("kubernetes.io/dockerconfigjson", CONTENT, "covered"),
        ("Opaque", CONTENT, "exposed"),
        ("kubernetes.io/dockerconfigjson", CUT, "exposed"),
    ],
    ids=["right", "another type", "an entry that the kubelet cannot decode"],
)
def test_a_secret_covers_only_what_nodes_read(
    api: FakeApiServer, client: Client, kind: str, content: bytes, result: str
) -> None:
    put_release(api, "psw", "pull-secrets")
    put_namespace(api, "team")
    data = {"data": {".dockerconfigjson": b64encode(CONTENT).decode()}}
    api.put("/api/v1/namespaces/pull-secrets/secrets/harbor", {"type": "kubernetes.io/dockerconfigjson", **data})
    data = {"data": {".dockerconfigjson": b64encode(content).decode()}}
    api.put("/api/v1/namespaces/team/secrets/own", {"type": kind, **data})
    spec = {"containers": [{"name": "app", "image": f"{REGISTRY}/app:1"}], "imagePullSecrets": [{"name": "own"}]}
    api.put("/api/v1/namespaces/team/pods/web", {"spec": spec})
    reader = Reader(client)
    (image,) = read_coverage(reader, find_release(reader, ReleaseQuery()), "team", "").images
    assert image.exposure == result
