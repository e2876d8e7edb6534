"""An API server that has enough: its own Priority and Fairness refuses what the loop writes, with 429."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.exposition import series
from tests.integration.playground import Playground, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Maker = Callable[..., Playground]

FLOW_CONTROL = "/apis/flowcontrol.apiserver.k8s.io/v1"
NAMESPACES = 30
WORKERS = 4
WATCHED_SECONDS = 3.0


def jail(ours: Playground) -> list[tuple[str, dict[str, Any]]]:
    """Return a priority level without a seat, and the flow that sends the loop's writes of Secrets there."""
    name, installation = ours.installation.release, ours.installation
    level = {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "PriorityLevelConfiguration",
        "metadata": {"name": name},
        "spec": {
            "type": "Limited",
            "limited": {
                "nominalConcurrencyShares": 0,
                "lendablePercent": 0,
                "borrowingLimitPercent": 0,
                "limitResponse": {"type": "Reject"},
            },
        },
    }
    account = {"name": f"{installation.fullname}-sync", "namespace": installation.namespace}
    writes = {"verbs": ["patch", "create"], "apiGroups": [""], "resources": ["secrets"], "namespaces": ["*"]}
    flow = {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "FlowSchema",
        "metadata": {"name": name},
        "spec": {
            "priorityLevelConfiguration": {"name": name},
            "matchingPrecedence": 2,
            "rules": [{"subjects": [{"kind": "ServiceAccount", "serviceAccount": account}], "resourceRules": [writes]}],
        },
    }
    return [("prioritylevelconfigurations", level), ("flowschemas", flow)]


@pytest.fixture
def refusing(playground: Maker) -> Iterator[Playground]:
    """An installation whose writes of Secrets the API server answers with 429."""
    ours = playground()
    ours.set_source("first")
    api, objects = ours.cluster.api, jail(ours)
    for plural, body in objects:
        api.call("POST", f"{FLOW_CONTROL}/{plural}", body)
    yield ours
    for plural, body in reversed(objects):
        api.request("DELETE", f"{FLOW_CONTROL}/{plural}/{body['metadata']['name']}")


def test_a_loop_that_is_refused_waits_and_goes_on_when_it_is_not(refusing: Playground) -> None:
    ours = refusing
    # Else the certificate, a Secret as well, would be what is refused first.
    sync = ours.installation.start_sync("--tls-secret=", f"--workers={WORKERS}")
    sync.wait_ready()
    namespaces = [ours.namespace(selected=False) for _ in range(NAMESPACES)]

    def refused() -> float:
        return series(sync.metrics()).get('rest_client_requests_total{code="429",method="PATCH"}', 0.0)

    began = time.monotonic()
    for namespace in namespaces:
        ours.opt(namespace, "enabled")
    eventually(lambda: series(sync.metrics())["pullsecrets_sync_paused_seconds"])
    eventually(lambda: time.monotonic() - began > WATCHED_SECONDS)
    # Each second as many as have workers, not one for each namespace that waits.
    assert 0 < refused() <= WORKERS * (time.monotonic() - began + 1) < NAMESPACES
    assert series(sync.metrics())['pullsecrets_sync_writes_total{action="copy created",result="throttled"}'] > 0

    ours.cluster.api.call("DELETE", f"{FLOW_CONTROL}/flowschemas/{ours.installation.release}")

    for namespace in namespaces:
        ours.await_selected(namespace, "first")
