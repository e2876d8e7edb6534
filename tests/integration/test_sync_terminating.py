"""A copy that is being deleted, and that the finalizer of somebody else keeps."""

from __future__ import annotations

import shlex
from typing import Any

from tests.integration.hostile.impostor import MERGE
from tests.integration.site.playground import COPY, Playground, eventually

FINALIZER = "example.com/held"


def delete_held(ours: Playground, namespace: str) -> dict[str, Any]:
    """Give a copy a finalizer, delete it, and return it as it is then."""
    path = f"/api/v1/namespaces/{namespace}/secrets/{COPY}"
    ours.cluster.api.call("PATCH", f"{path}?fieldManager=tenant", {"metadata": {"finalizers": [FINALIZER]}}, MERGE)
    ours.cluster.api.call("DELETE", path)
    held: dict[str, Any] = ours.cluster.api.call("GET", path)["metadata"]
    assert held["deletionTimestamp"]
    return held


def uid_of_copy(ours: Playground, namespace: str) -> str | None:
    """Return the UID of the copy, None when there is no copy."""
    copy = ours.get(namespace, "secrets", COPY)
    return copy["metadata"]["uid"] if copy else None


def command_of(ours: Playground, namespace: str) -> list[str]:
    """Wait for the Event that reports the finalizer, and return the arguments of its command."""
    message = eventually(lambda: dict(ours.events(namespace)).get("CopyKeptByFinalizer"))
    assert message is not None
    assert FINALIZER in message
    command = shlex.split(message.partition("run: ")[2])
    assert command[0] == "kubectl"
    return command[1:]


def test_a_rotation_reaches_it_and_the_command_of_the_event_makes_room_for_a_new_one(ours: Playground) -> None:
    ours.start_sync("first")
    tenant = ours.namespace(selected=True)
    ours.await_selected(tenant, "first")
    held = delete_held(ours, tenant)

    ours.set_source("second")
    eventually(lambda: ours.password_in_copy(tenant), lambda seen: seen == "second")
    now = (ours.get(tenant, "secrets", COPY) or {})["metadata"]
    assert (now["uid"], now["deletionTimestamp"]) == (held["uid"], held["deletionTimestamp"])
    assert now["finalizers"] == [FINALIZER]

    ours.cluster.kubectl(*command_of(ours, tenant))
    # Between the end of the old object and the creation of the new one there is no copy.
    eventually(lambda: uid_of_copy(ours, tenant), lambda uid: uid not in (None, held["uid"]))
    ours.await_selected(tenant, "second")


def test_after_an_opt_out_it_is_reported_and_not_updated(ours: Playground) -> None:
    ours.start_sync("first")
    tenant, other = ours.namespace(selected=True), ours.namespace(selected=True)
    ours.await_selected(tenant, "first")
    ours.await_selected(other, "first")
    ours.opt(tenant, None)
    eventually(lambda: ours.references(tenant) == [])
    ours.await_left(tenant)
    ours.opt(tenant, "enabled")
    ours.await_selected(tenant, "first")
    delete_held(ours, tenant)
    ours.opt(tenant, None)
    eventually(lambda: ours.references(tenant) == [])
    ours.set_source("second")
    ours.await_selected(other, "second")
    assert ours.password_in_copy(tenant) == "first"
    ours.cluster.kubectl(*command_of(ours, tenant))
    ours.await_left(tenant)
