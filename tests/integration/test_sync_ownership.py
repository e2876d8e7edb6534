"""Whose a Secret with a copy's name is, where people, backups and the release before have written it."""

from __future__ import annotations

import json
import subprocess
import uuid
from typing import Any

import pytest

from tests.cluster.processes import COMMAND, clean_environment
from tests.integration.site.playground import COPY, Playground, dockerconfigjson, eventually, service_account
from webhook.rules.ownership import NAMESPACE_UID_LABEL, labels_for

TYPE = "kubernetes.io/dockerconfigjson"
SERVER_SIDE = ("apply", "--server-side")


@pytest.fixture
def selected(shared: Playground) -> str:
    """A namespace that has the copy."""
    namespace = shared.namespace(selected=True)
    shared.await_selected(namespace, "first")
    return namespace


def exported(ours: Playground, namespace: str, other: str, *flags: str) -> dict[str, Any]:
    """Return our copy as a person saves it: ``kubectl get -o json``, less what the API server refuses to create."""
    text = ours.cluster.kubectl("get", "secret", COPY, f"--namespace={namespace}", "--output=json", *flags)
    secret: dict[str, Any] = json.loads(text.replace(f'"{namespace}"', f'"{other}"'))
    for field in ("uid", "resourceVersion", "creationTimestamp"):
        del secret["metadata"][field]
    return secret


def legacy(ours: Playground, namespace: str, manager: str = "") -> dict[str, Any]:
    """Write a copy as release 0.1 did, and return it."""
    labels = labels_for(ours.installation.release, ours.installation.namespace)
    metadata = {"name": COPY, "namespace": namespace, "labels": labels}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": TYPE, "data": dockerconfigjson("first")}
    manager = manager or f"pull-secret-webhook-{uuid.uuid4()}"
    stored = ours.cluster.kubectl(
        *SERVER_SIDE, f"--field-manager={manager}", "--output=json", "-f", "-", input=json.dumps(body)
    )
    copy: dict[str, Any] = json.loads(stored)
    return copy


def mark(secret: dict[str, Any] | None) -> str:
    return "" if secret is None else secret["metadata"]["labels"].get(NAMESPACE_UID_LABEL, "")


def uid_of(ours: Playground, namespace: str) -> str:
    uid: str = ours.cluster.api.call("GET", f"/api/v1/namespaces/{namespace}")["metadata"]["uid"]
    return uid


def sees_a_conflict(ours: Playground, namespace: str) -> None:
    """Opt a namespace in until the loop says that the Secret there is foreign; so it has looked at it."""
    ours.opt(namespace, "enabled")
    eventually(lambda: dict(ours.events(namespace)), lambda seen: "CopyConflict" in seen)
    ours.opt(namespace, None)


def test_a_copy_names_the_namespace_that_it_was_written_for(shared: Playground, selected: str) -> None:
    assert mark(shared.get(selected, "secrets", COPY)) == uid_of(shared, selected)


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        (("apply",), ()),
        (SERVER_SIDE, ()),
        (("create",), ()),
        (("create",), ("--show-managed-fields",)),
    ],
    ids=["apply", "server-side", "create", "managed-fields"],
)
def test_a_secret_that_a_person_made_from_our_copy_is_left_alone(
    shared: Playground, selected: str, command: tuple[str, ...], flags: tuple[str, ...]
) -> None:
    namespace = shared.namespace(selected=False)
    secret = exported(shared, selected, namespace, *flags)
    shared.cluster.kubectl(*command, "-f", "-", input=json.dumps(secret))
    account = service_account("builder", imagePullSecrets=[{"name": COPY}])
    shared.create(namespace, "serviceaccounts", account)
    before = shared.get(namespace, "secrets", COPY)
    sees_a_conflict(shared, namespace)
    after = shared.namespace(selected=True)
    shared.await_selected(after, "first")
    assert shared.get(namespace, "secrets", COPY) == before
    assert shared.references(namespace, "builder") == [COPY]


def test_uninstalling_leaves_what_a_person_made_from_our_copy(ours: Playground) -> None:
    ours.start_sync("first")
    source, other = ours.namespace(selected=True), ours.namespace(selected=False)
    ours.await_selected(source, "first")
    ours.cluster.kubectl("apply", "-f", "-", input=json.dumps(exported(ours, source, other)))
    ours.create(other, "serviceaccounts", service_account("builder", imagePullSecrets=[{"name": COPY}]))
    before = ours.get(other, "secrets", COPY)
    ours.installation.processes["sync"].stop()
    command = [str(COMMAND), *ours.installation.cleanup_command()]
    subprocess.run(command, env=clean_environment(), check=True, timeout=120)
    assert ours.get(source, "secrets", COPY) is None
    assert ours.get(other, "secrets", COPY) == before
    assert ours.references(other, "builder") == [COPY]


def test_a_copy_that_a_person_puts_back_after_an_opt_out_stays(shared: Playground, selected: str) -> None:
    secret = exported(shared, selected, selected)
    shared.opt(selected, None)
    shared.await_left(selected)
    shared.cluster.kubectl("apply", "-f", "-", input=json.dumps(secret))
    before = shared.get(selected, "secrets", COPY)
    # A change of the namespace makes the loop look at it; the other namespace shows that it has.
    shared.cluster.kubectl("label", "namespace", selected, "looked=at")
    after = shared.namespace(selected=True)
    shared.await_selected(after, "first")
    assert shared.get(selected, "secrets", COPY) == before


def test_a_copy_of_release_0_1_is_completed_in_place(ours: Playground) -> None:
    ours.set_source("first")
    namespace = ours.namespace(selected=True)
    before = legacy(ours, namespace)
    ours.installation.start_sync().wait_ready()
    uid = uid_of(ours, namespace)
    after = eventually(lambda: ours.get(namespace, "secrets", COPY), lambda seen: mark(seen) == uid)
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


def test_a_copy_of_release_0_1_goes_where_it_has_no_place(shared: Playground) -> None:
    namespace = shared.namespace(selected=False)
    legacy(shared, namespace)
    shared.await_left(namespace)


def test_a_persons_copy_of_a_copy_of_release_0_1_is_left_alone(shared: Playground) -> None:
    namespace = shared.namespace(selected=False)
    before = legacy(shared, namespace, manager="kubectl")
    sees_a_conflict(shared, namespace)
    after = shared.get(namespace, "secrets", COPY)
    assert after is not None
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def restore(ours: Playground, namespace: str, secret: dict[str, Any]) -> None:
    """Create a Secret as Velero does: labels of its own, and afterwards the field managers of the backup."""
    secret["metadata"]["labels"] |= {"velero.io/backup-name": "nightly", "velero.io/restore-name": "nightly"}
    writers = secret["metadata"].pop("managedFields")
    ours.create(namespace, "secrets", secret, "?fieldManager=velero-server")
    ours.patch(namespace, "secrets", COPY, {"metadata": {"managedFields": writers}})


def test_a_restored_copy_is_put_right_in_a_selected_namespace_and_left_alone_in_others(
    shared: Playground, selected: str
) -> None:
    namespace = shared.namespace(selected=False)
    restore(shared, namespace, exported(shared, selected, namespace, "--show-managed-fields"))
    before = shared.get(namespace, "secrets", COPY)
    after = shared.namespace(selected=True)
    shared.await_selected(after, "first")
    assert shared.get(namespace, "secrets", COPY) == before
    shared.opt(namespace, "enabled")
    uid = uid_of(shared, namespace)
    eventually(lambda: mark(shared.get(namespace, "secrets", COPY)), lambda seen: seen == uid)
    shared.opt(namespace, None)
    shared.await_left(namespace)


def test_a_restored_copy_of_another_release_is_left_alone_and_reported(shared: Playground, selected: str) -> None:
    namespace = shared.namespace(selected=False)
    secret = exported(shared, selected, namespace, "--show-managed-fields")
    secret["metadata"]["labels"]["pullsecrets.webhook/release"] = "another"
    restore(shared, namespace, secret)
    before = shared.get(namespace, "secrets", COPY)
    sees_a_conflict(shared, namespace)
    assert shared.get(namespace, "secrets", COPY) == before


def test_a_namespace_that_is_created_again_gets_a_copy_of_its_own(shared: Playground, selected: str) -> None:
    before = uid_of(shared, selected)
    shared.cluster.kubectl("delete", "namespace", selected)
    shared.cluster.create_namespace(selected, {shared.label: "enabled"})
    shared.await_selected(selected, "first")
    assert mark(shared.get(selected, "secrets", COPY)) == uid_of(shared, selected) != before
