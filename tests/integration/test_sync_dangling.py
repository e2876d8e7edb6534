"""References without a copy do not outlive an opt-out, a retirement or the uninstall; those of others do.

In each test, a namespace that was never selected has the same reference, set by hand: it stays.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.processes import PullSecrets
from tests.integration.site.playground import COPY, SOURCE, Playground, eventually, names, service_account
from tests.integration.test_cleanup import cleanup
from tests.integration.test_sync_status import copies, status

OLD = "old-credentials"
ACCOUNTS = ("plain", "tracked", "mixed")


@pytest.fixture
def installed(playground: Callable[..., Playground]) -> Playground:
    return playground(pullSecrets=[{"name": name, "sources": [{"secretName": SOURCE}]} for name in (COPY, OLD)])


@pytest.fixture
def sync(installed: Playground) -> PullSecrets:
    """The controller. It issues the certificate of the webhook, so it comes first."""
    sync = installed.installation.start_sync()
    sync.wait_ready()
    return sync


@pytest.fixture
def ours(installed: Playground, sync: PullSecrets) -> Iterator[Playground]:  # noqa: ARG001 (it runs)
    """A release with a webhook and a controller, without a usable source."""
    running = installed
    running.installation.start_serve().wait_ready()
    untouched = running.namespace(selected=False)
    for name in ACCOUNTS:
        create_account(running, untouched, name, COPY, OLD)
    running.patch(untouched, "serviceaccounts", "default", {"imagePullSecrets": [{"name": COPY}]})
    before = references(running, untouched)
    yield running
    assert references(running, untouched) == before


def create_account(ours: Playground, namespace: str, kind: str, *pull_secrets: str) -> None:
    """Create a ServiceAccount that the API server tracks or not, with or without entries of somebody else."""
    listed = [{"name": name} for name in (*(["theirs"] if kind == "mixed" else []), *pull_secrets)]
    body = service_account(kind, **({"imagePullSecrets": listed} if listed else {}))
    if kind == "tracked":
        body["metadata"]["annotations"] = {"example.com/team": "payments"}
    ours.create(namespace, "serviceaccounts", body)


def references(ours: Playground, namespace: str) -> dict[str, list[str]]:
    found = ours.cluster.api.call("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts")["items"]
    return {each["metadata"]["name"]: names(each) for each in found}


def dangling(ours: Playground, namespace: str) -> dict[str, list[str]]:
    """Return the ServiceAccounts that reference what is not there."""
    found = references(ours, namespace).items()
    return {account: listed for account, listed in found if {COPY, OLD} & set(listed)}


def await_waiting(ours: Playground, namespace: str) -> None:
    """Create ServiceAccounts, and wait until the webhook has added references to them that have no copy yet."""

    def injected(account: dict[str, list[str]]) -> bool:
        return all({COPY, OLD} <= set(account.get(name, ())) for name in ACCOUNTS)

    def create() -> dict[str, list[str]]:
        for name in ACCOUNTS:
            if not {COPY, OLD} <= set(references(ours, namespace).get(name, ())):
                # The API server's namespaceSelector may be behind.
                ours.cluster.api.request("DELETE", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
                create_account(ours, namespace, name)
        return references(ours, namespace)

    eventually(create, injected)


def await_none_left(ours: Playground, namespace: str) -> None:
    eventually(lambda: dangling(ours, namespace), lambda seen: not seen)
    assert references(ours, namespace)["mixed"] == ["theirs"]


def test_an_opt_out_takes_references_along_that_never_had_a_copy(ours: Playground) -> None:
    tenant = ours.namespace(selected=True)
    await_waiting(ours, tenant)
    ours.opt(tenant, None)
    await_none_left(ours, tenant)


def test_a_secret_of_somebody_else_keeps_the_references_to_it(ours: Playground, sync: PullSecrets) -> None:
    tenant = ours.namespace(selected=True)
    await_waiting(ours, tenant)
    ours.apply(tenant, "Secret", OLD, {"type": "Opaque"})
    # The watch of Secrets may be behind that of namespaces.
    eventually(lambda: copies(status(sync), OLD), lambda seen: seen == {"conflicting": 1})
    ours.opt(tenant, None)
    eventually(lambda: references(ours, tenant), lambda seen: all(COPY not in listed for listed in seen.values()))
    assert {name: OLD in references(ours, tenant)[name] for name in ACCOUNTS} == dict.fromkeys(ACCOUNTS, True)


def test_a_copy_that_was_deleted_while_the_namespace_opted_out_leaves_no_reference(
    ours: Playground, sync: PullSecrets
) -> None:
    ours.set_source("first")
    tenant = ours.namespace(selected=True)
    for kind in ACCOUNTS:
        create_account(ours, tenant, kind)
    eventually(lambda: all({COPY, OLD} <= set(references(ours, tenant)[name]) for name in ("default", *ACCOUNTS)))
    ours.await_selected(tenant, "first")  # the webhook sets references before the copy is there
    sync.program.signal(signal.SIGSTOP)
    try:
        ours.delete(tenant, "secrets", COPY)
        ours.opt(tenant, None)
    finally:
        sync.program.signal(signal.SIGCONT)
    await_none_left(ours, tenant)
    ours.await_left(tenant)


def test_a_retired_pull_secret_takes_references_along_that_never_had_a_copy(ours: Playground) -> None:
    tenant = ours.namespace(selected=True)
    await_waiting(ours, tenant)
    ours.installation.set_configuration(
        pullSecrets=[{"name": COPY, "sources": [{"secretName": SOURCE}]}], retired=[OLD]
    )
    eventually(lambda: references(ours, tenant), lambda seen: all(OLD not in listed for listed in seen.values()))
    assert all(COPY in references(ours, tenant)[name] for name in ACCOUNTS)


def test_a_standby_that_saw_the_opt_out_removes_them_after_it_has_taken_over(
    ours: Playground, sync: PullSecrets
) -> None:
    standby = ours.installation.start_sync(name="standby")
    standby.wait_ready()
    tenant = ours.namespace(selected=True)
    await_waiting(ours, tenant)
    sync.program.signal(signal.SIGSTOP)
    ours.opt(tenant, None)
    await_none_left(ours, tenant)
    sync.kill()


def test_after_a_restart_lists_that_only_we_wrote_lose_them(ours: Playground, sync: PullSecrets) -> None:
    """A reference that may have been set by a person stays: see docs/removal.md."""
    tenant = ours.namespace(selected=True)
    await_waiting(ours, tenant)
    account = f"/api/v1/namespaces/{tenant}/serviceaccounts/plain"
    eventually(lambda: ours.cluster.api.call("GET", account)["metadata"].get("managedFields"))
    assert sync.stop() == 0
    ours.opt(tenant, None)
    ours.installation.start_sync().wait_ready()
    eventually(lambda: references(ours, tenant)["plain"], lambda seen: seen == [])


def test_a_cleanup_takes_references_along_that_never_had_a_copy(ours: Playground, sync: PullSecrets) -> None:
    selected, left = ours.namespace(selected=True), ours.namespace(selected=True)
    for tenant in (selected, left):
        await_waiting(ours, tenant)
        account = f"/api/v1/namespaces/{tenant}/serviceaccounts/plain"
        eventually(lambda path=account: ours.cluster.api.call("GET", path)["metadata"].get("managedFields"))  # type: ignore[misc]
    assert sync.stop() == 0
    ours.opt(left, None)
    ours.installation.set_configuration(
        pullSecrets=[{"name": COPY, "sources": [{"secretName": SOURCE}]}], retired=[OLD]
    )
    done = cleanup(ours)
    assert done.returncode == 0, done.stderr
    assert dangling(ours, selected) == {}
    assert references(ours, left)["plain"] == []
