"""A real ``serve`` with a ``namespaceSelector``: what it knows of namespaces, what it does not, and that it says so."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.site.serving import CONFIGURATION, Serving, serving, until
from tests.unit.fake_apiserver.server import FakeApiServer

PLAIN = CONFIGURATION.replace("NAME", "registry")
SELECTING = f"{PLAIN}    namespaceSelector: {{matchLabels: {{team: a}}}}\n"
KINDS = {"pods": "Pod", "serviceaccounts": "ServiceAccount"}

STALE = "pullsecrets_namespaces_stale_seconds"
UNKNOWN = "[+]namespaces ok: no namespace is known yet"
DOWN = "[+]namespaces ok: the watch is down, labels are as last known"
UP = "[+]namespaces ok"


@pytest.fixture
def api() -> Iterator[FakeApiServer]:
    """An API server with two namespaces that have opted in, each of another team."""
    server = FakeApiServer()
    put(server, "of-a", "a")
    put(server, "of-b", "b")
    yield server
    server.close()


@contextmanager
def watching(
    folder: Path, api: FakeApiServer, configuration: str = SELECTING, *, ready: bool = True
) -> Iterator[Serving]:
    """Start ``serve`` with this API server."""
    named = {"name": "fake"}
    document = {
        "clusters": [{**named, "cluster": {"server": api.url}}],
        "users": [{**named, "user": {"token": "t"}}],
        "contexts": [{**named, "context": {"cluster": "fake", "user": "fake"}}],
        "current-context": "fake",
    }
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(json.dumps(document))
    with serving(folder, f"--kubeconfig={kubeconfig}", configuration=configuration, ready=ready) as process:
        yield process


def put(api: FakeApiServer, namespace: str, team: str) -> None:
    labels = {"team": team, "pullsecrets.webhook/inject": "enabled"}
    api.put(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": labels}})


def reason(server: Serving, namespace: str, resource: str = "pods") -> str:
    """Return why an object of that namespace is injected or not; whether it is, is checked on the way."""
    kind = {"group": "", "version": "v1", "kind": KINDS[resource]}
    asked = {
        "uid": "u1",
        "kind": kind,
        "resource": {"group": "", "version": "v1", "resource": resource},
        "namespace": namespace,
        "operation": "CREATE",
        "object": {"metadata": {"name": "x"}, "spec": {}},
    }
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked}
    response = json.loads(server.post(json.dumps(review).encode()).body)["response"]
    found: str = response["auditAnnotations"]["reason"]
    assert ("patch" in response) == (found == "injected")
    assert "patch" not in response or b'"registry"' in base64.b64decode(response["patch"])
    return found


def detail(server: Serving) -> str:
    """Return the line about namespaces in the readiness report."""
    lines = server.plain("/readyz?verbose").body.decode().splitlines()
    return next((line for line in lines if "namespaces" in line), "")


def test_labels_decide_and_follow_the_watch(tmp_path: Path, api: FakeApiServer) -> None:
    with watching(tmp_path, api) as server:
        assert [reason(server, "of-a", resource) for resource in KINDS] == ["injected"] * 2
        assert [reason(server, "of-b", resource) for resource in KINDS] == ["namespace-not-selected"] * 2
        put(api, "of-b", "a")
        until(lambda: reason(server, "of-b") == "injected", "the new label")
        assert (detail(server), server.metric(STALE)) == (UP, 0)


def test_not_ready_before_the_first_list_and_the_documented_rule_until_then(tmp_path: Path, api: FakeApiServer) -> None:
    api.go_away()
    with watching(tmp_path, api, ready=False) as server:
        until(lambda: server.metric(STALE) > 0, "the loss of the watch")
        assert server.plain("/readyz").status == 503
        assert detail(server) == "[-]namespaces failed: waiting for the list of namespaces"
        assert server.plain("/livez").status == 200
        assert (reason(server, "of-b"), reason(server, "of-b", "serviceaccounts")) == ("injected", "namespace-unknown")
        api.come_back()
        until(lambda: server.plain("/readyz").status == 200, "ready")
        assert reason(server, "of-b") == "namespace-not-selected"


def test_while_the_watch_is_down_labels_are_as_last_known_and_detail_metric_and_log_say_so(
    tmp_path: Path, api: FakeApiServer
) -> None:
    with watching(tmp_path, api) as server:
        api.go_away()
        until(lambda: server.metric(STALE) > 0, "the loss of the watch")
        assert (server.plain("/readyz").status, detail(server)) == (200, DOWN)
        (line,) = server.files.logged("namespaces are not watched")
        assert (line["level"], line["effect"]) == ("warning", "their labels are as last known")
        put(api, "of-b", "a")
        put(api, "new", "b")
        assert (reason(server, "of-a"), reason(server, "of-b")) == ("injected", "namespace-not-selected")
        assert (reason(server, "new"), reason(server, "new", "serviceaccounts")) == ("injected", "namespace-unknown")

        api.come_back()
        until(lambda: server.metric(STALE) == 0, "the watch")
        until(lambda: reason(server, "new") == "namespace-not-selected", "the new namespace")
        assert (reason(server, "of-b"), detail(server)) == ("injected", UP)
        assert len(server.files.logged("namespaces are watched again")) == 1


def test_a_replica_that_is_ready_stays_so_when_its_configuration_comes_to_need_namespaces(
    tmp_path: Path, api: FakeApiServer
) -> None:
    api.go_away()
    with watching(tmp_path, api, PLAIN) as server:
        assert detail(server) == ""
        server.files.configure(SELECTING)
        until(lambda: server.metric(STALE) > 0, "the attempt to watch")
        assert (server.plain("/readyz").status, detail(server)) == (200, UNKNOWN)
        # The watch begins a moment before the configuration is in force.
        until(lambda: reason(server, "of-b", "serviceaccounts") == "namespace-unknown", "the new configuration")
        assert reason(server, "of-b") == "injected"
        api.come_back()
        until(lambda: reason(server, "of-b") == "namespace-not-selected", "the labels")
        until(lambda: (server.metric(STALE), detail(server)) == (0, UP), "the watch")


def test_so_it_does_without_any_way_to_a_cluster(tmp_path: Path) -> None:
    with serving(tmp_path, environment={"HOME": str(tmp_path)}) as server:
        server.files.configure(SELECTING)
        until(lambda: server.metric(STALE) > 0, "the attempt to watch")
        assert (server.plain("/readyz").status, detail(server)) == (200, UNKNOWN)
        (line,) = server.files.logged("namespaces are not watched")
        assert "--kubeconfig" in str(line["cause"])
        until(lambda: reason(server, "of-b", "serviceaccounts") == "namespace-unknown", "the new configuration")
        assert reason(server, "of-b") == "injected"
