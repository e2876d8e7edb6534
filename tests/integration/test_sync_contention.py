"""Another controller that works against the loop, on a real API server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.cluster.processes import PullSecrets
from tests.exposition import series
from tests.integration.site.playground import COPY, Playground, eventually, service_account

Maker = Callable[..., Playground]

UNDOINGS = 5
REPAIR_SECONDS = 5.0


def take_away(ours: Playground, namespace: str, account: str = "default") -> str:
    """Empty the list of a ServiceAccount, and return the resourceVersion that it has then."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}"
    body = {"imagePullSecrets": None}
    stored: dict[str, Any] = ours.cluster.api.call("PATCH", path, body, "application/merge-patch+json")
    version: str = stored["metadata"]["resourceVersion"]
    return version


def number(process: PullSecrets, name: str) -> float:
    return series(process.metrics()).get(name, 0.0)


def test_who_keeps_taking_a_reference_away_is_given_way_to(playground: Maker) -> None:
    # No webhook here: it would put the reference back in the very request that takes it away.
    ours = playground()
    sync = ours.start_sync("first")
    namespace = ours.namespace(selected=True)
    ours.create(namespace, "serviceaccounts", service_account("builder"))
    ours.await_selected(namespace, "first")

    for _ in range(UNDOINGS):
        take_away(ours, namespace)
        eventually(lambda: ours.references(namespace), lambda seen: seen == [COPY], REPAIR_SECONDS)
    version = take_away(ours, namespace)

    told = eventually(lambda: dict(ours.events(namespace)), lambda seen: "ReferenceRemovedRepeatedly" in seen)
    assert '"default"' in told["ReferenceRemovedRepeatedly"]
    eventually(lambda: number(sync, 'pullsecrets_sync_contended_objects{kind="ServiceAccount"}'), lambda n: n == 1)
    document = json.loads(sync.get("/status")[1])
    assert [(each["namespace"], each["name"]) for each in document["contended"]] == [(namespace, "default")]

    # Others of the namespace are looked after as ever; each of these looks passes the one that is held back, too.
    for _ in range(UNDOINGS - 1):
        take_away(ours, namespace, "builder")
        eventually(lambda: ours.references(namespace, "builder"), lambda seen: seen == [COPY], REPAIR_SECONDS)
    ours.delete(namespace, "secrets", COPY)
    eventually(lambda: ours.password_in_copy(namespace), lambda seen: seen == "first", REPAIR_SECONDS)
    account = ours.get(namespace, "serviceaccounts", "default")
    assert account is not None
    assert account["metadata"]["resourceVersion"] == version
    assert number(sync, "pullsecrets_sync_failing_namespaces") == 0


def test_a_copy_that_is_deleted_again_and_again_is_back_within_seconds_each_time(ours: Playground) -> None:
    ours.start_sync("first")
    namespace = ours.namespace(selected=True)
    ours.await_selected(namespace, "first")

    for _ in range(UNDOINGS + 2):
        ours.delete(namespace, "secrets", COPY)
        eventually(lambda: ours.password_in_copy(namespace), lambda seen: seen == "first", REPAIR_SECONDS)

    eventually(lambda: dict(ours.events(namespace)), lambda seen: "CopyChangedRepeatedly" in seen)
