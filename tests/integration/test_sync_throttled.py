"""An API server that has enough: its own Priority and Fairness refuses what the loop writes, with 429."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest

from tests.exposition import series
from tests.integration.site.answers import FLOW_CONTROL, NO_SEATS
from tests.integration.site.playground import COPY, Playground, dockerconfigjson, eventually
from webhook.errors import Throttled
from webhook.kube.connect import connect
from webhook.kube.resources import SECRETS
from webhook.rules.dockerconfig import COPY_TYPE
from webhook.rules.ownership import labels_for

Maker = Callable[..., Playground]

NAMESPACES = 30
WORKERS = 4
WATCHED_SECONDS = 3.0
PAUSE_SECONDS = 0.01


def jail(ours: Playground) -> list[tuple[str, dict[str, Any]]]:
    """Return a priority level without a seat, and the flow that sends the loop's writes of Secrets there.

    The API server lets one request pass all the same, when no other is being answered.
    """
    name, installation = ours.installation.release, ours.installation
    level = {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "PriorityLevelConfiguration",
        "metadata": {"name": name},
        "spec": {
            "type": "Limited",
            "limited": NO_SEATS,
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


class Crowd:
    """Others of the loop's identity that write without pause, and leave no trace: of two at a time one is refused."""

    def __init__(self, ours: Playground) -> None:
        self._kubeconfig = ours.installation.sync_kubeconfig
        # What the guard lets pass: a copy, where one is wanted.
        self._namespace = ours.namespace(selected=True)
        release = ours.installation.release, ours.installation.namespace
        metadata = {"name": COPY, "labels": labels_for(*release)}
        self._body = {"metadata": metadata, "type": COPY_TYPE, "data": dockerconfigjson("crowd")}
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._write) for _ in range(WORKERS)]
        self.refused = 0

    def _write(self) -> None:
        body = {"apiVersion": "v1", "kind": "Secret", **self._body}
        query = {"fieldManager": "crowd", "force": "true", "dryRun": "All"}
        path, content_type = SECRETS.path(self._namespace, COPY), "application/apply-patch+yaml"
        client = connect(self._kubeconfig)
        while not self._over.is_set():
            try:
                client.request("PATCH", path, query=query, body=body, content_type=content_type)
            except Throttled:
                self.refused += 1
                self._over.wait(PAUSE_SECONDS)
        client.close()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def refusing(playground: Maker) -> Iterator[Playground]:
    """An installation whose writes of Secrets the API server answers with 429, unless one comes alone."""
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

    with Crowd(ours) as crowd:
        eventually(lambda: crowd.refused)  # so the API server goes by the flow already
        # The crowd has a namespace of its own, which sync sees to as well.
        before, began = refused(), time.monotonic()
        for namespace in namespaces:
            ours.opt(namespace, "enabled")
        eventually(lambda: series(sync.metrics())["pullsecrets_sync_paused_seconds"])
        eventually(lambda: time.monotonic() - began > WATCHED_SECONDS)
        # Each second as many as have workers, not one for each namespace that waits.
        assert refused() - before <= WORKERS * (time.monotonic() - began + 1)
        eventually(lambda: refused() > before)
        throttled = 'pullsecrets_sync_writes_total{action="copy created",result="throttled"}'
        eventually(lambda: series(sync.metrics()).get(throttled, 0.0) > 0)

    ours.cluster.api.call("DELETE", f"{FLOW_CONTROL}/flowschemas/{ours.installation.release}")

    for namespace in namespaces:
        ours.await_selected(namespace, "first")


def test_the_chart_gives_the_writes_of_sync_seats_of_their_own(playground: Maker) -> None:
    ours = playground(sync={"flowControl": {"enabled": True, "shares": 1}})
    name = f"{ours.installation.fullname}-sync"

    def dispatched() -> float:
        found = series(ours.cluster.metrics())
        flow = f'flow_schema="{name}",priority_level="{name}"'
        return found.get(f"apiserver_flowcontrol_dispatched_requests_total{{{flow}}}", 0.0)

    ours.start_sync("first")
    # The API server learns of the flow by a watch: until then, writes come by the flow of all ServiceAccounts.
    eventually(lambda: (ours.namespace(selected=True), dispatched())[1])
    namespaces = [ours.namespace(selected=True) for _ in range(WORKERS)]
    for namespace in namespaces:
        ours.await_selected(namespace, "first")
