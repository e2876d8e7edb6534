"""Objects as large as the API server takes them: sync stays within the chart's memory limit."""

from __future__ import annotations

from collections.abc import Callable

from tests.bench.process import peak_mib
from tests.integration.hostile.memorygroup import MemoryGroup
from tests.integration.site.playground import COPY, Playground, eventually, service_account

Maker = Callable[..., Playground]

MOST_MIB = 150
REFERENCES = 70_000
WITH_REFERENCES, WITH_LABELS = 50, 60
LABELS = 7_500
"""Of about 130 bytes each."""

PATIENCE_SECONDS = 400
"""The API server itself takes about a second for each patch of such an object, and a namespace has one writer."""


def bomb(ours: Playground, namespace: str) -> None:
    """Fill a namespace with ServiceAccounts of about a megabyte each."""
    references = [{"name": f"{number:x}"} for number in range(REFERENCES)]
    for number in range(WITH_REFERENCES):
        ours.create(namespace, "serviceaccounts", service_account(f"references-{number}", imagePullSecrets=references))
    labels = {f"l{number:062}": "x" * 63 for number in range(LABELS)}
    for number in range(WITH_LABELS):
        body = service_account(f"labels-{number}")
        body["metadata"]["labels"] = labels
        ours.create(namespace, "serviceaccounts", body)


def test_large_service_accounts_of_a_tenant_do_not_kill_sync(ours: Playground, group: MemoryGroup) -> None:
    ours.set_source("first")
    tenant = ours.namespace(selected=False)
    sync = ours.installation.start_sync(name="before")
    group.take(sync.program.pid)
    sync.wait_ready()

    # First the objects, then the label: match conditions of webhooks take seconds for such a list.
    bomb(ours, tenant)
    ours.opt(tenant, "enabled")

    ours.await_selected(ours.namespace(selected=True), "first")
    eventually(lambda: dict(ours.events(tenant)), lambda told: "TooManyReferences" in told, PATIENCE_SECONDS)
    last = f"labels-{WITH_LABELS - 1}"
    eventually(lambda: ours.references(tenant, last), lambda seen: seen is not None and COPY in seen, PATIENCE_SECONDS)
    assert peak_mib(sync.program.pid) < MOST_MIB
    assert sync.stop() == 0

    # Another one meets all of them in its first lists.
    sync = ours.installation.start_sync(name="after")
    group.take(sync.program.pid)
    sync.wait_ready()
    ours.await_selected(ours.namespace(selected=True), "first")
    assert peak_mib(sync.program.pid) < MOST_MIB
    assert sync.stop() == 0
    assert group.kills == 0
