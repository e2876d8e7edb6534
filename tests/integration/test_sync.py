"""What the loop keeps true, on a real API server, whatever anybody does to it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.site.playground import COPY, SOURCE, Playground, dockerconfigjson, eventually, service_account

Maker = Callable[..., Playground]


@pytest.fixture
def selected(shared: Playground) -> str:
    """A namespace that has the copy and the reference."""
    namespace = shared.namespace(selected=True)
    shared.await_selected(namespace, "first")
    return namespace


def test_a_namespace_that_is_labelled_later_gets_copy_and_references(shared: Playground) -> None:
    namespace = shared.namespace(selected=False)
    shared.create(namespace, "serviceaccounts", service_account("builder", imagePullSecrets=[{"name": "theirs"}]))
    shared.opt(namespace, "enabled")
    shared.await_selected(namespace, "first")
    expected = ["theirs", COPY]
    eventually(lambda: shared.references(namespace, "builder"), lambda seen: seen == expected)


def test_a_namespace_that_opts_out_loses_what_is_ours_and_nothing_else(shared: Playground, selected: str) -> None:
    entries = [{"name": "theirs"}, {"name": COPY}, {"name": "more"}]
    shared.create(selected, "serviceaccounts", service_account("builder", imagePullSecrets=entries))
    shared.apply(selected, "Secret", "theirs", {"stringData": {"a": "b"}})
    shared.opt(selected, None)
    shared.await_left(selected)
    # Of a new ServiceAccount, sync may learn after it has removed the copy.
    eventually(lambda: shared.references(selected, "builder"), lambda seen: seen == ["theirs", "more"])
    assert shared.get(selected, "secrets", "theirs") is not None


def test_no_reference_outlives_its_copy_although_the_webhook_may_still_put_it_back(shared: Playground) -> None:
    # The API server matches the webhook's namespaceSelector against a cache that lags behind the label.
    namespaces = [shared.namespace(selected=True) for _ in range(10)]
    for namespace in namespaces:
        shared.await_selected(namespace, "first")
    for namespace in namespaces:
        shared.opt(namespace, None)
    for namespace in namespaces:
        shared.await_left(namespace)


def test_an_immutable_copy_is_replaced_when_the_source_rotates(ours: Playground) -> None:
    ours.start_sync("first")
    namespace = ours.namespace(selected=True)
    ours.await_selected(namespace, "first")
    path = f"/api/v1/namespaces/{namespace}/secrets/{COPY}"
    ours.cluster.api.json_patch(path, [{"op": "add", "path": "/immutable", "value": True}])
    ours.set_source("second")
    ours.await_selected(namespace, "second")


def test_a_source_that_is_deleted_or_broken_changes_no_copy(ours: Playground) -> None:
    ours.start_sync("first")
    namespace = ours.namespace(selected=True)
    ours.await_selected(namespace, "first")
    before = ours.get(namespace, "secrets", COPY)
    ours.delete(ours.installation.namespace, "secrets", SOURCE)
    release = ours.installation.namespace
    eventually(lambda: dict(ours.events(release)), lambda seen: "SourceMissing" in seen)
    broken = {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": '{"auths": {}}'}}
    ours.apply(release, "Secret", SOURCE, broken)
    eventually(lambda: dict(ours.events(release)), lambda seen: "SourceInvalid" in seen)
    assert ours.get(namespace, "secrets", COPY) == before
    ours.set_source("second")
    ours.await_selected(namespace, "second")


def test_a_retired_pull_secret_is_taken_away(ours: Playground) -> None:
    ours.start_sync("first")
    namespace = ours.namespace(selected=True)
    ours.await_selected(namespace, "first")
    replacement = [{"name": "new-name", "sources": [{"secretName": SOURCE}]}]
    ours.installation.set_configuration(pullSecrets=replacement, retired=[COPY])
    ours.await_left(namespace)
    eventually(lambda: ours.password_in_copy(namespace, "new-name"), lambda seen: seen == "first")
    eventually(lambda: ours.references(namespace), lambda seen: seen == ["new-name"])


def test_service_accounts_that_are_not_included_are_left_alone(playground: Maker) -> None:
    accounts = {"include": ["default", "app-*"], "exclude": ["app-legacy"]}
    ours = playground(pullSecrets=[{"name": COPY, "sources": [{"secretName": SOURCE}], "serviceAccounts": accounts}])
    ours.set_source("first")
    namespace = ours.namespace(selected=True)
    for name in ("app-web", "app-legacy", "other"):
        ours.create(namespace, "serviceaccounts", service_account(name))
    ours.installation.start_sync().wait_ready()
    ours.await_selected(namespace, "first")
    eventually(lambda: ours.references(namespace, "app-web"), lambda seen: seen == [COPY])
    assert ours.references(namespace, "app-legacy") == []
    assert ours.references(namespace, "other") == []


def test_killing_sync_and_starting_it_again_changes_nothing(ours: Playground) -> None:
    process = ours.start_sync("first")
    namespaces = [ours.namespace(selected=True) for _ in range(3)]
    for namespace in namespaces:
        ours.await_selected(namespace, "first")
        # The last write comes after the reference: it hands the ownership of the list back.
        eventually(lambda namespace=namespace: ours.hands_nothing_back(namespace))  # type: ignore[misc]
    process.kill()
    before = [_versions(ours, namespace) for namespace in namespaces]
    again = ours.installation.start_sync("--no-leader-elect")
    again.wait_ready()
    # A namespace made now is served after a pass over those that were there.
    probe = ours.namespace(selected=True)
    ours.await_selected(probe, "first")
    eventually(again.metrics, lambda text: _handled(text) >= len(namespaces) + 1)
    assert [_versions(ours, namespace) for namespace in namespaces] == before


def _versions(ours: Playground, namespace: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for resource in ("secrets", "serviceaccounts"):
        listed: dict[str, Any] = ours.cluster.api.call("GET", f"/api/v1/namespaces/{namespace}/{resource}")
        for item in listed["items"]:
            found[f"{resource}/{item['metadata']['name']}"] = item["metadata"]["resourceVersion"]
    return found


def _handled(metrics: str) -> float:
    match = re.search(r"^workqueue_work_duration_seconds_count\S* (\S+)$", metrics, re.MULTILINE)
    return float(match[1]) if match else 0.0


def test_no_word_of_a_credential_is_in_any_log(ours: Playground) -> None:
    marker = "marker-5d3c0f-credential"
    ours.set_source(marker)
    sync = ours.installation.start_sync("--log-level=debug")
    serve = ours.installation.start_serve("--log-level=debug")
    sync.wait_ready()
    serve.wait_ready()
    namespace = ours.namespace(selected=True)
    ours.await_selected(namespace, marker)
    broken = {
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps({"auths": {"h": marker}})},
    }
    ours.apply(ours.installation.namespace, "Secret", SOURCE, broken)
    eventually(lambda: dict(ours.events(ours.installation.namespace)), lambda seen: "SourceInvalid" in seen)
    logged = sync.program.log.read_text() + serve.program.log.read_text()
    told = " ".join(message for _, message in ours.events(ours.installation.namespace))
    encoded = dockerconfigjson(marker)[".dockerconfigjson"]
    for secret in (marker, encoded[8:40]):
        assert secret not in logged
        assert secret not in told
        assert secret not in sync.metrics() + serve.metrics() + sync.get("/status")[1]
