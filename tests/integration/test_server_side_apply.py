"""A tenant's own server-side apply never meets a conflict with us, after a backfill, an opt-out or an uninstall.

Each history runs with the webhook, which adds references without owning them, and without it, where the controller has
to write them itself.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.processes import COMMAND, clean_environment
from tests.integration.site.playground import COPY, Playground, eventually, names, service_account

OURS = "pull-secret-webhook"
MUTATION = "mutation.webhook.admission.k8s.io/"
MANAGERS = ["kubectl", "helm"]
"""Helm 4 applies server-side as ``helm``, without force."""


@pytest.fixture(scope="module")
def down(cluster: Cluster) -> Iterator[Playground]:
    """An installation whose webhook does not run."""
    with Playground.make(cluster) as playground:
        playground.set_source("first")
        playground.installation.start_sync().wait_ready()
        yield playground


@pytest.fixture(params=["up", "down"])
def ours(request: pytest.FixtureRequest) -> Playground:
    """An installation with and without a running webhook."""
    playground: Playground = request.getfixturevalue("shared" if request.param == "up" else "down")
    return playground


@dataclass(frozen=True, slots=True)
class Tenant:
    """A namespace and a person who applies one ServiceAccount in it, without force: a conflict is an error."""

    ours: Playground
    namespace: str
    account: str = "builder"
    manager: str = "kubectl"

    def apply(self, *references: str, listed: bool = True, labels: dict[str, str] | None = None) -> None:
        metadata = {"name": self.account, "namespace": self.namespace, **({"labels": labels} if labels else {})}
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
        if listed:
            body["imagePullSecrets"] = [{"name": name} for name in references]
        command = ["apply", "--server-side", f"--field-manager={self.manager}", "-f", "-"]
        self.ours.cluster.kubectl(*command, input=json.dumps(body))

    def entries(self) -> list[dict[str, Any]]:
        found = self.ours.get(self.namespace, "serviceaccounts", self.account)
        assert found is not None
        entries: list[dict[str, Any]] = found["metadata"].get("managedFields", [])
        return entries

    def owners(self) -> list[str]:
        return [entry["manager"] for entry in self.entries() if "f:imagePullSecrets" in entry["fieldsV1"]]

    def await_references(self, *names: str) -> None:
        expected = list(names)
        eventually(lambda: self.ours.references(self.namespace, self.account), lambda seen: seen == expected)

    def await_alone(self) -> None:
        """Wait until nobody else is among the field managers."""
        eventually(lambda: [entry["manager"] for entry in self.entries()], lambda seen: seen == [self.manager])

    def await_handed_back(self) -> None:
        """Wait until the list is nobody's, and the first server-side apply finds it so."""
        eventually(self.entries, lambda seen: bool(seen) and not any(map(_owns, seen)))

    def opt(self, value: str | None) -> None:
        self.ours.opt(self.namespace, value)

    def opt_out(self) -> None:
        """Opt out, and wait until the API server calls the webhook no more: it learns of labels by a watch of its own.

        Until then the webhook adds the reference to whatever is applied, and the controller has to take it out again.
        """
        self.opt(None)
        probe = service_account("probe")
        eventually(
            lambda: names(self.ours.create(self.namespace, "serviceaccounts", probe, "?dryRun=All")),
            lambda seen: COPY not in seen,
        )


def _owns(entry: dict[str, Any]) -> bool:
    return "f:imagePullSecrets" in entry["fieldsV1"]


def after_the_opt_out(tenant: Tenant) -> None:
    tenant.opt("enabled")
    tenant.await_references("mine", COPY)
    tenant.opt_out()
    tenant.await_references("mine")


@pytest.mark.parametrize("manager", MANAGERS)
def test_after_a_backfill_the_same_list_and_a_changed_one_are_applied(ours: Playground, manager: str) -> None:
    tenant = Tenant(ours, ours.namespace(selected=False), manager=manager)
    tenant.apply("mine")
    tenant.opt("enabled")
    tenant.await_references("mine", COPY)
    tenant.await_alone()
    tenant.apply("mine")
    tenant.await_references("mine", COPY)
    tenant.await_alone()
    tenant.apply("mine", "more")
    tenant.await_references("mine", "more", COPY)
    tenant.await_alone()
    assert tenant.owners() == [manager]


@pytest.mark.parametrize("labels", [None, {"team": "a"}], ids=["bare", "labelled"])
def test_after_a_backfill_the_first_list_is_applied(ours: Playground, labels: dict[str, str] | None) -> None:
    tenant = Tenant(ours, ours.namespace(selected=False))
    tenant.apply(listed=False, labels=labels)
    tenant.opt("enabled")
    tenant.await_references(COPY)
    tenant.await_handed_back()
    tenant.apply(listed=False, labels=labels)
    tenant.apply("mine", labels=labels)
    tenant.await_references("mine", COPY)
    tenant.await_alone()


@pytest.mark.parametrize("selected", [True, False], ids=["created selected", "backfilled"])
def test_the_default_service_account_takes_a_first_list(ours: Playground, *, selected: bool) -> None:
    tenant = Tenant(ours, ours.namespace(selected=selected), "default")
    tenant.opt("enabled")
    tenant.await_references(COPY)
    tenant.await_handed_back()
    tenant.apply("mine")
    tenant.await_references("mine", COPY)
    tenant.await_alone()
    tenant.apply("other")
    tenant.await_references("other", COPY)


@pytest.mark.parametrize("manager", MANAGERS)
def test_after_an_opt_out_the_list_is_the_tenants_alone(ours: Playground, manager: str) -> None:
    tenant = Tenant(ours, ours.namespace(selected=False), manager=manager)
    tenant.apply("mine")
    after_the_opt_out(tenant)
    tenant.await_alone()
    tenant.apply("mine")
    tenant.apply("mine", "more")
    tenant.await_references("mine", "more")
    tenant.await_alone()
    assert tenant.owners() == [manager]
    # Only an owner's apply takes a list away.
    tenant.apply(listed=False)
    tenant.await_references()


def test_after_an_opt_out_a_first_list_is_applied(ours: Playground) -> None:
    tenant = Tenant(ours, ours.namespace(selected=True), "default")
    tenant.await_references(COPY)
    tenant.opt(None)
    tenant.await_references()
    eventually(tenant.entries, lambda seen: not seen)
    tenant.apply("mine")
    tenant.await_alone()


def test_what_others_own_beside_the_list_stays_theirs(ours: Playground) -> None:
    tenant = Tenant(ours, ours.namespace(selected=False))
    tenant.apply("mine", labels={"team": "a"})
    ours.cluster.kubectl("annotate", "serviceaccount", "builder", "a=b", f"--namespace={tenant.namespace}")
    before = {entry["manager"]: entry["fieldsV1"] for entry in tenant.entries()}
    tenant.opt("enabled")
    tenant.await_references("mine", COPY)
    after = {"kubectl", "kubectl-annotate"}
    eventually(lambda: {entry["manager"] for entry in tenant.entries()}, lambda seen: seen == after)
    assert {entry["manager"]: entry["fieldsV1"] for entry in tenant.entries()} == before
    tenant.opt(None)
    tenant.await_references("mine")
    eventually(lambda: {entry["manager"]: entry["fieldsV1"] for entry in tenant.entries()}, lambda seen: seen == before)


def test_what_release_0_1_owned_is_handed_back(playground: Callable[..., Playground]) -> None:
    ours = playground()
    ours.set_source("first")
    here, left = (Tenant(ours, ours.namespace(selected=selected)) for selected in (True, False))
    for tenant in (here, left):
        tenant.apply("mine", labels={"team": "a"})
        path = f"/api/v1/namespaces/{tenant.namespace}/serviceaccounts/builder"
        added = [{"op": "add", "path": "/imagePullSecrets/-", "value": {"name": COPY}}]
        ours.cluster.api.json_patch(f"{path}?fieldManager={OURS}", added)
    # As an opt-out of release 0.1 left it: the list is the tenant's, and not theirs to apply.
    path = f"/api/v1/namespaces/{left.namespace}/serviceaccounts/builder?fieldManager={OURS}"
    ours.cluster.api.json_patch(path, [{"op": "remove", "path": "/imagePullSecrets/1"}])
    ours.installation.start_sync().wait_ready()
    for tenant in (here, left):
        tenant.await_alone()
        tenant.apply("other", labels={"team": "a"})
    here.await_references("other", COPY)
    left.await_references("other")


def test_what_the_api_server_took_for_a_first_writer_is_handed_back(ours: Playground) -> None:
    tenant = Tenant(ours, ours.namespace(selected=False))
    path = f"/api/v1/namespaces/{tenant.namespace}/serviceaccounts"
    ours.cluster.api.call("POST", path, {"metadata": {"name": "builder"}})
    ours.cluster.api.json_patch(
        f"{path}/builder", [{"op": "add", "path": "/imagePullSecrets", "value": [{"name": COPY}]}]
    )
    tenant.apply(listed=False)
    assert tenant.owners() == ["before-first-apply"]
    tenant.opt("enabled")
    tenant.await_handed_back()
    tenant.apply("mine")
    tenant.await_references("mine", COPY)
    tenant.await_alone()


@pytest.mark.parametrize("running", ["up", "down"])
def test_after_an_uninstall_the_list_is_the_tenants_alone(playground: Callable[..., Playground], running: str) -> None:
    ours = playground()
    ours.set_source("first")
    if running == "up":
        ours.start()
    else:
        ours.installation.start_sync().wait_ready()
    same, changed = (Tenant(ours, ours.namespace(selected=False)) for _ in range(2))
    first = Tenant(ours, ours.namespace(selected=True), "default")
    for tenant in (same, changed):
        tenant.apply("mine")
        tenant.opt("enabled")
        tenant.await_references("mine", COPY)
    first.await_references(COPY)
    command = [str(COMMAND), *ours.installation.cleanup_command()]
    subprocess.run(command, env=clean_environment(), check=True, timeout=120)
    for tenant in (same, changed):
        assert [entry["manager"] for entry in tenant.entries()] == ["kubectl"]
        assert tenant.owners() == ["kubectl"]
    assert first.entries() == []
    same.apply("mine")
    changed.apply("more")
    first.apply("first")
    assert [ours.references(each.namespace, each.account) for each in (same, changed, first)] == [
        ["mine"],
        ["more"],
        ["first"],
    ]


def patches_of(ours: Playground, namespace: str) -> list[bool]:
    """Return for each request of the controller that changed a ServiceAccount whether our webhook changed it, too.

    Source: the audit log and its annotations about mutating webhooks.
    """
    user = f"system:serviceaccount:{ours.installation.namespace}:{ours.installation.fullname}-sync"
    return [
        any(json.loads(text)["mutated"] for key, text in event["annotations"].items() if key.startswith(MUTATION))
        for event in ours.cluster.audit_events()
        if event["user"].get("username") == user  # a request without a name that was proved has none
        and event["verb"] == "patch"
        and event.get("objectRef", {}).get("resource") == "serviceaccounts"
        and event["objectRef"].get("namespace") == namespace
        and event["stage"] == "ResponseComplete"
    ]


@contextmanager
def suspended(ours: Playground) -> Iterator[None]:
    """Suspend the controller, which keeps its Lease when that is short."""
    program = ours.installation.processes["sync"].program
    program.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        program.signal(signal.SIGCONT)


def test_where_the_webhook_answers_a_backfill_is_one_request_and_an_opt_out_two(shared: Playground) -> None:
    tenant = Tenant(shared, shared.namespace(selected=False))
    default = Tenant(shared, tenant.namespace, "default")
    tenant.apply("mine")
    with suspended(shared):
        # Otherwise the controller may hear of a label before the webhook is called for the namespace, or no more.
        tenant.opt("enabled")
        shared.await_injection(tenant.namespace)
    tenant.await_references("mine", COPY)
    default.await_references(COPY)
    default.await_handed_back()
    backfill = eventually(lambda: patches_of(shared, tenant.namespace), lambda seen: len(seen) >= 2)
    assert backfill == [True, True]
    with suspended(shared):
        tenant.opt_out()
    tenant.await_references("mine")
    tenant.await_alone()
    default.await_references()
    eventually(lambda: shared.get(tenant.namespace, "secrets", COPY), lambda seen: seen is None)
    opt_out = patches_of(shared, tenant.namespace)[len(backfill) :]
    assert opt_out.count(False) <= 2 + 1
    assert opt_out.count(True) == 0
