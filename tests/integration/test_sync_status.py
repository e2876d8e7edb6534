"""What a running ``sync`` tells of itself, on a real API server: ``/status`` and ``/metrics`` alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.cluster.processes import PullSecrets
from tests.exposition import series
from tests.integration.site.playground import COPY, SOURCE, Playground, eventually

Maker = Callable[..., Playground]

OTHER = "vendor-credentials"


def status(process: PullSecrets) -> dict[str, Any]:
    code, text = process.get("/status")
    assert code == 200
    document: dict[str, Any] = json.loads(text)
    return document


def copies(document: dict[str, Any], name: str = COPY) -> dict[str, int]:
    (found,) = (each for each in document["pullSecrets"] if each["name"] == name)
    return {state: number for state, number in found["copies"].items() if number}


def exported_copies(process: PullSecrets, name: str = COPY) -> dict[str, int]:
    metrics = series(process.metrics())
    states = ("current", "stale", "kept", "missing", "conflicting", "failing", "leaving")
    found = {state: metrics[f'pullsecrets_sync_copies{{pull_secret="{name}",state="{state}"}}'] for state in states}
    return {state: int(number) for state, number in found.items() if number}


def test_the_state_of_a_cluster_where_not_all_is_well(playground: Maker) -> None:
    ours = playground(
        pullSecrets=[
            {"name": COPY, "sources": [{"secretName": SOURCE}]},
            {"name": OTHER, "sources": [{"secretName": "absent"}]},
        ]
    )
    sync = ours.start_sync("first")
    good, foreign, full = ours.namespace(selected=True), ours.namespace(selected=False), ours.namespace(selected=False)
    ours.apply(foreign, "Secret", COPY, {"stringData": {"theirs": "value"}})
    ours.forbid_secrets(full)
    for namespace in (foreign, full):
        ours.opt(namespace, "enabled")

    expected = {"current": 1, "conflicting": 1, "failing": 1}
    document = eventually(
        lambda: status(sync),
        lambda seen: (
            copies(seen) == expected and seen["failing"] and all(each["connected"] for each in seen["watches"])
        ),
    )
    assert copies(document, OTHER) == {"missing": 3}
    eventually(lambda: exported_copies(sync), lambda seen: seen == expected)
    assert exported_copies(sync, OTHER) == {"missing": 3}

    (ready, waiting) = document["pullSecrets"]
    assert sorted((each["namespace"], each["state"], each.get("reason")) for each in ready["notCurrent"]) == sorted(
        [(foreign, "conflicting", None), (full, "failing", "denied")]
    )
    assert (ready["selectedNamespaces"], ready["ready"], ready["sources"]) == (3, True, [SOURCE])
    assert (waiting["ready"], waiting["problem"]) == (False, "source-absent")
    assert {each["name"]: each["valid"] for each in document["sources"]} == {SOURCE: True, "absent": False}
    assert document["leader"]["leading"]
    assert document["leader"]["holder"] == document["leader"]["identity"]
    assert all(watch["synced"] and watch["connected"] for watch in document["watches"])
    assert [each["namespace"] for each in document["failing"]] == [full]
    assert ours.password_in_copy(good) == "first"

    metrics = series(sync.metrics())
    assert metrics[f'leader_election_master_status{{name="{document["leader"]["lease"]}"}}'] == 1
    assert metrics['pullsecrets_sync_writes_total{action="copy created",result="denied"}'] >= 1
    assert metrics["pullsecrets_sync_oldest_unreconciled_seconds"] > 0
    assert metrics["pullsecrets_sync_failing_namespaces"] == 1
