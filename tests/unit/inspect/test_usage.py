"""The Pods of a cluster as groups: by workload, by the images that are pulled, and by the Secrets of a new Pod."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from tests.unit.fake_apiserver.faults import Answer
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.inspect.test_release import put_release
from tests.unit.inspect.test_selection import OPTED_IN
from webhook.inspect.reader import FEW, Reader
from webhook.inspect.release import ReleaseQuery, find_release
from webhook.inspect.usage import read_pod_groups
from webhook.kube.client import Client
from webhook.kube.listing import PAGE_LIMIT
from webhook.report.pod_groups import PodGroup
from webhook.rules.keyring import SecretState

REGISTRY = "registry.example.com"
APP = f"{REGISTRY}/app:1"
SPEC: dict[str, Any] = {"containers": [{"name": "app", "image": APP}]}
AT = "2026-01-01T00:10:00Z"
MINUTE = 29453760  # of 2026-01-01T00:00:00Z


@pytest.fixture
def release(api: FakeApiServer) -> None:
    put_release(api, "psw", "pull-secrets")


def owned(kind: str = "", name: str = "", **labels: str) -> dict[str, Any]:
    owners = [{"kind": kind, "name": name, "controller": True}] if kind else []
    return {"ownerReferences": owners, "labels": labels, "creationTimestamp": AT}


def read(client: Client, namespace: str = "", selector: str = "") -> tuple[list[PodGroup], Reader]:
    reader = Reader(client)
    return read_pod_groups(reader, find_release(reader, ReleaseQuery()), namespace, selector), reader


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (owned(), "Pod/web"),
        (owned("ReplicaSet", "api-5d", **{"pod-template-hash": "5d"}), "Deployment/api"),
        (owned("ReplicaSet", "api-5d"), "ReplicaSet/api-5d"),
        (owned("Job", f"backup-{MINUTE}"), "CronJob/backup"),
        (owned("Job", f"backup-{MINUTE + 11}"), f"Job/backup-{MINUTE + 11}"),
        (owned("Job", "backup-12345678"), "Job/backup-12345678"),
        (owned("Job", "backup"), "Job/backup"),
        (owned("StatefulSet", "db"), "StatefulSet/db"),
        (
            owned("ReplicaSet", "hello-1-deployment-5d", **{"serving.knative.dev/service": "hello"}),
            "Service.serving.knative.dev/hello",
        ),
    ],
)
def test_pods_belong_to_the_workload_that_people_know(
    api: FakeApiServer, client: Client, metadata: dict[str, Any], expected: str
) -> None:
    api.put("/api/v1/namespaces/team", {})
    api.put("/api/v1/namespaces/team/pods/web", {"metadata": metadata, "spec": SPEC})
    assert [group.workload for group in read(client)[0]] == [expected]


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize(
    ("metadata", "references", "expected"),
    [
        (owned(), [], []),
        (owned(), ["own"], ["own"]),
        (owned("ReplicaSet", "api"), [], ["of-account", "registry"]),
        (owned("ReplicaSet", "api"), ["own", "", "own"], ["own", "registry"]),
        (owned("ReplicaSet", "api"), ["registry"], ["registry"]),
        (owned("ReplicaSet", "api", **{"pullsecrets.webhook/inject": "disabled"}), [], ["of-account"]),
        ({**owned("Node", "n"), "annotations": {"kubernetes.io/config.mirror": "x"}}, [], []),
    ],
)
def test_a_new_pod_of_a_controller_gets_what_is_due_and_a_bare_pod_keeps_its_references(
    api: FakeApiServer, client: Client, metadata: dict[str, Any], references: list[str], expected: list[str]
) -> None:
    api.put("/api/v1/namespaces/team", {"metadata": {"labels": OPTED_IN}})
    api.put("/api/v1/namespaces/team/serviceaccounts/default", {"imagePullSecrets": [{"name": "of-account"}]})
    spec = {**SPEC, "imagePullSecrets": [{"name": name} for name in references]}
    api.put("/api/v1/namespaces/team/pods/web", {"metadata": metadata, "spec": spec})
    (group,) = read(client)[0]
    assert [secret.name for secret in group.secrets] == expected


@pytest.mark.usefixtures("release")
def test_only_images_that_are_pulled_count(api: FakeApiServer, client: Client) -> None:
    spec = {
        "containers": [{"name": "a", "image": "a"}, {"name": "b", "image": "b", "imagePullPolicy": "Never"}],
        "initContainers": [{"name": "c", "image": "c"}, {"name": "d", "image": "a"}],
        "ephemeralContainers": [{"name": "e", "image": "debugger"}],
        "volumes": [{"name": "v", "image": {"reference": "volume"}}, {"name": "w", "emptyDir": {}}],
    }
    api.put("/api/v1/namespaces/team", {})
    api.put("/api/v1/namespaces/team/pods/bare", {"metadata": owned(), "spec": spec})
    api.put("/api/v1/namespaces/team/pods/set", {"metadata": owned("StatefulSet", "db"), "spec": spec})
    found = {group.workload: group.images for group in read(client)[0]}
    assert found == {"Pod/bare": ("c", "a", "debugger", "volume"), "StatefulSet/db": ("c", "a", "volume")}


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize(
    ("content", "state"),
    [
        ("{}", SecretState.READ),
        ('{"auths": {"registry.example.com": {"auth": "eDp5"}}}', SecretState.READ),
        ('{"auths": {"registry.example.com": {"auth": 5}, "r.io": {"auth": "eDp5"}}}', SecretState.MALFORMED),
        ("[", SecretState.MALFORMED),
    ],
)
def test_a_secret_that_the_kubelet_cannot_decode_is_told_apart(
    api: FakeApiServer, client: Client, content: str, state: SecretState
) -> None:
    put_pod(api, "team", "web", "own")
    put_secret(api, "team", "own", content)
    (group,) = read(client, "team")[0]
    assert [secret.state for secret in group.secrets] == [state]


@pytest.mark.usefixtures("release")
def test_a_secret_that_must_not_be_read_is_unread_and_an_absent_one_is_absent(
    api: FakeApiServer, client: Client
) -> None:
    put_pod(api, "team", "web", "own", "gone")
    api.inject(Answer(403), "get", plural="secrets", name="own")
    (group,), reader = read(client, "team")
    assert [secret.state for secret in group.secrets] == [SecretState.UNREAD, SecretState.ABSENT]
    assert list(reader.missing) == ["you lack the right to get secrets/own in namespace team"]


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize("name", ["..", "../pods", "a,metadata.namespace=x", "A", "a" * 300])
def test_a_reference_that_is_not_a_name_is_absent_and_not_requested(
    api: FakeApiServer, client: Client, name: str
) -> None:
    put_pod(api, "team", "web", name)
    (group,) = read(client, "team")[0]
    assert [secret.state for secret in group.secrets] == [SecretState.ABSENT]
    assert api.seen("get", "list", plural="secrets") == []


@pytest.mark.usefixtures("release")
def test_many_pods_cost_their_pages_and_one_list_for_each_name_of_a_secret(api: FakeApiServer, client: Client) -> None:
    namespaces, pods = 4 * FEW, 60
    for number in range(namespaces):
        for pod in range(pods):
            put_pod(api, f"team-{number:02}", f"web-{pod}", "registry", *(["own"] if number < FEW else []))
        put_secret(api, f"team-{number:02}", "registry", '{"auths": {"registry.example.com": {"auth": "eDp5"}}}')
    groups, reader = read(client)
    assert sum(group.pods for group in groups) == namespaces * pods
    assert not reader.missing
    assert len(api.seen("list", plural="pods")) == -(-namespaces * pods // PAGE_LIMIT)
    assert len(api.seen("list", plural="secrets")) == 1
    assert len(api.seen("get", plural="secrets")) == FEW  # own, each by its name
    assert len(api.seen("list", plural="namespaces")) == 1
    assert api.seen("list", plural="serviceaccounts") == []  # every Pod has references
    shared = {id(group.secrets[0]) for group in groups}
    assert len(shared) == 1  # equal copies are one object


def put_pod(api: FakeApiServer, namespace: str, name: str, *references: str) -> None:
    api.put(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": OPTED_IN}})
    spec = {**SPEC, "imagePullSecrets": [{"name": each} for each in references]}
    api.put(f"/api/v1/namespaces/{namespace}/pods/{name}", {"metadata": owned(), "spec": spec})


def put_secret(api: FakeApiServer, namespace: str, name: str, content: str) -> None:
    data = {".dockerconfigjson": b64encode(content.encode()).decode()}
    body = {"type": "kubernetes.io/dockerconfigjson", "data": data}
    api.put(f"/api/v1/namespaces/{namespace}/secrets/{name}", body)
