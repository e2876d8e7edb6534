"""A stolen token writes nothing but what its process writes, of no part of an object: on a real API server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.bench.process import seconds_of_cpu
from tests.cluster import programs
from tests.cluster.api import Answer, Api
from tests.cluster.cluster import Cluster
from tests.integration.hostile.impostor import APPLY, JSON_PATCH, MERGE, Impostor
from tests.integration.policies.guarding import await_guard, is_refused, refused, stored
from tests.integration.site.playground import (
    COPY,
    SOURCE,
    Playground,
    dockerconfigjson,
    eventually,
    names,
    service_account,
)

LIMITED, SELECTING = "limited-credentials", "selecting-credentials"
OLD = "old-credentials"
TEAM = "example.com/team"
PATTERNS = ["team-[a-c]*", "[!s-z]?-x"]
SELECTOR = {
    "matchLabels": {TEAM: "payments"},
    "matchExpressions": [
        {"key": "tier", "operator": "In", "values": ["prod", "test"]},
        {"key": "legacy", "operator": "DoesNotExist"},
        {"key": "zone", "operator": "NotIn", "values": ["dmz"]},
        {"key": "owner", "operator": "Exists"},
    ],
}
QUALIFYING = {TEAM: "payments", "tier": "test", "owner": ""}
OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "1"}


@pytest.fixture(scope="module")
def guarded(cluster: Cluster) -> Iterator[Playground]:
    """An installation in which nothing runs, with one pull secret of each kind."""
    entries = [
        {"name": COPY, "sources": [{"secretName": SOURCE}]},
        {"name": LIMITED, "sources": [{"secretName": SOURCE, "namespaces": PATTERNS}, {"secretName": "ghcr"}]},
        {"name": SELECTING, "sources": [{"secretName": SOURCE}], "namespaceSelector": SELECTOR},
    ]
    with Playground.make(cluster, retired=[OLD], pullSecrets=entries) as playground:
        declining = {"label": playground.label, "mayDecline": True}
        playground.installation.set_configuration(optIn=declining)
        namespace = playground.namespace(selected=False)
        sync = Impostor.of(playground, "sync")
        await_guard(playground)
        for component in ("sync", "cleanup"):
            thief = Impostor.of(playground, component)
            eventually(lambda thief=thief: lease(thief, 10**6, "&dryRun=All"), is_refused)  # type: ignore[misc]
        eventually(lambda: event(sync, namespace, source={"component": "x"}, query="?dryRun=All"), is_refused)
        stored(lease(sync, 15))
        yield playground


@pytest.fixture(scope="module")
def sync(guarded: Playground) -> Impostor:
    return Impostor.of(guarded, "sync")


@pytest.fixture
def tenant(guarded: Playground) -> str:
    return guarded.namespace(selected=True)


def lease(thief: Impostor, seconds: int, query: str = "", **metadata: Any) -> Answer:  # noqa: ANN401 (any JSON)
    installation = thief.playground.installation
    body = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": installation.lease, **metadata},
        "spec": {"holderIdentity": "thief", "leaseDurationSeconds": seconds},
    }
    path = f"/apis/coordination.k8s.io/v1/namespaces/{installation.namespace}/leases/{installation.lease}"
    return thief.api.request("PATCH", f"{path}?fieldManager=thief&force=true{query}", body, APPLY)


def event(thief: Impostor, namespace: str, query: str = "", **changes: Any) -> Answer:  # noqa: ANN401 (any JSON)
    ours = "pull-secret-webhook"
    metadata = {"generateName": "x-", **changes.pop("metadata", {})}
    body = {
        "metadata": metadata,
        "involvedObject": {"apiVersion": "v1", "kind": "Namespace", "name": namespace, "namespace": namespace},
        "reason": "CopyDenied",
        "message": "x",
        "type": "Warning",
        "source": {"component": ours},
        "reportingComponent": ours,
        "reportingInstance": "",
        **changes,
    }
    return thief.api.request("POST", f"/api/v1/namespaces/{namespace}/events{query}", body)


# Secrets

METADATA: list[dict[str, Any]] = [
    {"finalizers": ["example.com/held"]},
    {"ownerReferences": [OWNER]},
    {"annotations": {"eks.amazonaws.com/role-arn": "x"}},
    {"annotations": {"reflector.v1.k8s.emberstack.com/reflection-auto-enabled": "true"}},
    {"labels": {"argocd.argoproj.io/secret-type": "repository"}},
    {"labels": {"x": "y"}},
]
BODIES: list[dict[str, Any]] = [
    {"data": {**dockerconfigjson("x"), "more": "eA=="}},
    {"stringData": {"more": "x"}},
    {"immutable": True},
]
PAIR: dict[str, Any] = {"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}}


def with_ours(thief: Impostor, namespace: str, metadata: dict[str, Any]) -> dict[str, Any]:
    return {**metadata, "labels": {**thief.copy_labels(namespace), **metadata.get("labels", {})}}


@pytest.mark.parametrize("metadata", METADATA, ids=lambda each: f"{next(iter(each))}-{list(*each.values())[:1]}")
@pytest.mark.parametrize("there", [False, True], ids=["new", "there"])
def test_no_copy_gets_other_metadata(sync: Impostor, tenant: str, there: bool, metadata: dict[str, Any]) -> None:
    if there:
        stored(sync.apply_secret(tenant))
    answers = [sync.apply_secret(tenant, metadata=with_ours(sync, tenant, metadata))]
    if there:
        path = f"/api/v1/namespaces/{tenant}/secrets/{COPY}"
        answers.append(sync.api.request("PATCH", f"{path}?fieldManager=kubectl-edit", {"metadata": metadata}, MERGE))
    for answer in answers:
        refused(answer, "a copy or certificate")
    stored(sync.apply_secret(tenant))


@pytest.mark.parametrize("metadata", METADATA, ids=lambda each: f"{next(iter(each))}-{list(*each.values())[:1]}")
def test_no_certificate_gets_other_metadata(sync: Impostor, guarded: Playground, metadata: dict[str, Any]) -> None:
    for name in (guarded.installation.tls_secret, guarded.installation.ca_secret):
        where = guarded.installation.namespace
        stored(sync.apply_secret(where, name, **PAIR))
        found = sync.apply_secret(where, name, **PAIR, metadata=with_ours(sync, where, metadata))
        refused(found, "a copy or certificate")


@pytest.mark.parametrize("body", BODIES, ids=lambda each: str([*each]))
def test_nothing_else_is_in_a_copy_or_certificate(
    sync: Impostor, guarded: Playground, tenant: str, body: dict[str, Any]
) -> None:
    refused(sync.apply_secret(tenant, **body), "a copy")
    stored(sync.apply_secret(tenant))
    refused(sync.apply_secret(tenant, **body), "a copy")
    where, name = guarded.installation.namespace, guarded.installation.tls_secret
    changed = {**PAIR, **body, "data": {**PAIR["data"], **body.get("data", {})}}
    refused(sync.apply_secret(where, name, **changed), "a copy")


def test_the_labels_and_annotations_of_ours_may_come(sync: Impostor, tenant: str) -> None:
    metadata = {"labels": sync.copy_labels(tenant), "annotations": {"pullsecrets.webhook/sources": "x"}}
    stored(sync.apply_secret(tenant, metadata=metadata))


def test_what_a_tenant_has_put_into_a_copy_stops_nobody(sync: Impostor, guarded: Playground, tenant: str) -> None:
    stored(sync.apply_secret(tenant))
    theirs = {
        "metadata": {"annotations": {"theirs": "x"}, "labels": {"theirs": "x"}, "finalizers": ["example.com/held"]},
        "data": {"theirs": "eA==", ".dockerconfigjson": "e30="},
    }
    path = f"/api/v1/namespaces/{tenant}/secrets/{COPY}"
    guarded.cluster.api.call("PATCH", f"{path}?fieldManager=tenant", theirs, MERGE)
    assert stored(sync.apply_secret(tenant))["metadata"]["annotations"] == {"theirs": "x"}
    wiped = {"metadata": {"finalizers": None}}
    refused(sync.api.request("PATCH", path, wiped, MERGE), "keeps its finalizers")
    stored(sync.delete_secret(tenant))
    guarded.cluster.api.call("PATCH", path, wiped, MERGE)


@pytest.mark.parametrize("fields", [[{}], "ours"], ids=["all", "theirs"])
def test_managed_fields_of_a_copy_are_not_wiped(
    sync: Impostor, guarded: Playground, tenant: str, fields: object
) -> None:
    stored(sync.apply_secret(tenant))
    path = f"/api/v1/namespaces/{tenant}/secrets/{COPY}"
    annotated = {"metadata": {"annotations": {"theirs": "x"}}}
    before = guarded.cluster.api.call("PATCH", f"{path}?fieldManager=tenant", annotated, MERGE)["metadata"]
    kept = [each for each in before["managedFields"] if each["manager"] != "tenant"]
    assert len(kept) == len(before["managedFields"]) - 1
    wiped = {"metadata": {"managedFields": kept if fields == "ours" else fields}}
    refused(sync.api.request("PATCH", path, wiped, MERGE), "managedFields")


def test_cleanup_writes_no_secret(guarded: Playground, tenant: str) -> None:
    assert Impostor.of(guarded, "cleanup").apply_secret(tenant).status == 403


# Where a pull secret may go


@pytest.mark.parametrize(
    ("labels", "applies"),
    [
        (QUALIFYING, True),
        ({**QUALIFYING, "zone": "lan"}, True),
        ({**QUALIFYING, "zone": "dmz"}, False),
        ({**QUALIFYING, "legacy": ""}, False),
        ({**QUALIFYING, "tier": "dev"}, False),
        ({**QUALIFYING, TEAM: "sales"}, False),
        ({TEAM: "payments", "tier": "test"}, False),
        ({}, False),
    ],
    ids=str,
)
def test_a_copy_goes_only_where_the_selector_lets_it(
    sync: Impostor, guarded: Playground, labels: dict[str, str], applies: bool
) -> None:
    namespace = guarded.namespace(selected=True, labels=labels)
    copy, reference = sync.apply_secret(namespace, SELECTING), sync.reference(namespace, SELECTING)
    if applies:
        stored(copy)
        stored(reference)
    else:
        refused(copy, "may go to")
        refused(reference, "may go to")


@pytest.mark.parametrize(
    ("name", "applies"),
    [("team-a", True), ("team-cx", True), ("team-d", False), ("ab-x", True), ("sb-x", False), ("other", False)],
)
def test_a_copy_goes_only_to_namespaces_of_the_names_it_is_for(
    cluster: Cluster, sync: Impostor, guarded: Playground, name: str, applies: bool
) -> None:
    cluster.create_namespace(name, {guarded.label: "enabled"})
    try:
        copy, reference = sync.apply_secret(name, LIMITED), sync.reference(name, LIMITED)
        stored(sync.apply_secret(name, COPY))
    finally:
        cluster.delete_namespace(name)
        eventually(lambda: cluster.api.request("GET", f"/api/v1/namespaces/{name}").status == 404)
    assert (copy.status, reference.status) == ((201, 200) if applies else (403, 403))


def test_a_copy_does_not_go_where_it_is_declined(sync: Impostor, guarded: Playground, tenant: str) -> None:
    stored(sync.apply_secret(tenant))
    declined = {"metadata": {"annotations": {"pullsecrets.webhook/decline": f"x, {COPY}"}}}
    guarded.cluster.api.call("PATCH", f"/api/v1/namespaces/{tenant}", declined, MERGE)
    eventually(lambda: sync.apply_secret(tenant, query="&dryRun=All").status == 403)
    refused(sync.reference(tenant, COPY), "may go to")


# ServiceAccounts


def test_cleanup_adds_no_reference(guarded: Playground, tenant: str) -> None:
    cleanup = Impostor.of(guarded, "cleanup")
    refused(cleanup.reference(tenant, COPY), "by sync alone")
    guarded.create(tenant, "serviceaccounts", service_account("app", imagePullSecrets=[{"name": COPY}, {"name": "x"}]))
    refused(cleanup.reference(tenant, COPY, "x", SELECTING, account="app"), "by sync alone")
    stored(cleanup.reference(tenant, "x", account="app"))


@pytest.mark.parametrize("component", ["sync", "cleanup"])
def test_managed_fields_of_a_service_account_are_not_wiped(guarded: Playground, tenant: str, component: str) -> None:
    thief = Impostor.of(guarded, component)
    theirs = {"automountServiceAccountToken": False, "metadata": {"name": "app", "namespace": tenant}}
    guarded.apply(tenant, "ServiceAccount", "app", theirs)
    listed = {"imagePullSecrets": [{"name": COPY}]}
    path = f"/api/v1/namespaces/{tenant}/serviceaccounts/app"
    guarded.cluster.api.call("PATCH", f"{path}?fieldManager=another", listed, MERGE)
    (first, _) = (guarded.get(tenant, "serviceaccounts", "app") or {})["metadata"]["managedFields"]
    bare = {**first, "fieldsV1": {"f:imagePullSecrets": {}}}
    for entry in ({}, bare, {**first, "manager": "pull-secret-webhook"}):
        fields = [entry]
        wiped = {"metadata": {"managedFields": fields}}
        refused(thief.patch_account(tenant, wiped, "app"), "stays theirs")
        refused(thief.patch_account(tenant, {**wiped, "imagePullSecrets": []}, "app"), "stays theirs")


def test_an_account_with_more_managers_than_the_api_server_keeps_is_written(
    sync: Impostor, guarded: Playground, tenant: str
) -> None:
    path = f"/api/v1/namespaces/{tenant}/serviceaccounts/default"
    for number in range(11):
        label = {"metadata": {"labels": {f"l{number}": "x"}}}
        guarded.cluster.api.call("PATCH", f"{path}?fieldManager=m{number}", label, MERGE)
        if number == 0:
            # The API server tracks only what it has tracked from the start.
            guarded.apply(tenant, "ServiceAccount", "default", {"secrets": [{"name": "x"}]})
        if number > 8:
            stored(sync.reference(tenant, COPY))
            stored(sync.reference(tenant))


@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize("change", [{"labels": {"a": None}}, {"annotations": {"a": None}}], ids=str)
def test_a_label_of_theirs_is_not_taken_away(
    sync: Impostor, guarded: Playground, tenant: str, change: dict[str, Any], tracked: bool
) -> None:
    body = service_account("app")
    body["metadata"] |= {"labels": {"a": "b"}, "annotations": {"a": "b"}}
    if tracked:
        body["automountServiceAccountToken"] = False
    guarded.create(tenant, "serviceaccounts", body)
    refused(sync.patch_account(tenant, {"metadata": change}, "app"), "nothing changes but")


def test_who_makes_the_api_server_track_it_is_found_out(sync: Impostor, tenant: str) -> None:
    """The operation by which sync makes an object tracked gives a thief no way around it."""
    entry = {
        "manager": "x",
        "operation": "Update",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:annotations": {"f:never": {}}}},
    }
    changes: list[dict[str, Any]] = [{"metadata": {"labels": {"x": "y"}}}, {"automountServiceAccountToken": False}]
    for change in changes:
        changed = {**change, "metadata": {**change.get("metadata", {}), "managedFields": [entry]}}
        refused(sync.patch_account(tenant, changed), "")


# References in long lists, within what an expression may cost


@pytest.mark.parametrize("count", [1_500, 5_000])
def test_a_long_list_is_no_obstacle(sync: Impostor, guarded: Playground, count: int) -> None:
    tenant = guarded.namespace(selected=True)
    theirs = [{"name": f"r{number}"} for number in range(count)]
    guarded.create(tenant, "serviceaccounts", service_account("app", imagePullSecrets=theirs))
    path = f"/api/v1/namespaces/{tenant}/serviceaccounts/app"
    added = [{"op": "add", "path": "/imagePullSecrets/-", "value": {"name": COPY}}]
    stored(sync.api.request("PATCH", path, added, JSON_PATCH))
    refused(sync.api.request("PATCH", path, [{"op": "remove", "path": "/imagePullSecrets/0"}], JSON_PATCH), "come and")
    guarded.opt(tenant, None)
    eventually(lambda: sync.reference(tenant, COPY, query="?dryRun=All").status == 403)
    removed = [{"op": "remove", "path": f"/imagePullSecrets/{count}"}]
    for component in ("sync", "cleanup"):
        thief = Impostor.of(guarded, component)
        stored(thief.api.request("PATCH", f"{path}?dryRun=All", removed, JSON_PATCH))
    assert len(names(stored(sync.api.request("PATCH", path, removed, JSON_PATCH)))) == count


LENGTHS = (2_500, 20_000)
TIMES_PER_REFERENCE = 3.0
"""How much longer the guard may take for each reference of the longer list; a quadratic time is 8 times as long."""


def seconds_of(guarded: Playground, work: Callable[[], object]) -> float:
    """Return the CPU time of the API server for some work: how long it takes depends on what else the machine does."""
    pid = guarded.cluster.pid(programs.API_SERVER)
    begun = seconds_of_cpu(pid)
    work()
    return seconds_of_cpu(pid) - begun


def test_the_guard_takes_a_time_that_is_linear_in_the_list(sync: Impostor, guarded: Playground) -> None:
    """A removal from the middle has the lists walked. The control is the same request of an unguarded identity."""
    tenant = guarded.namespace(selected=False)
    removed = [{"op": "remove", "path": "/imagePullSecrets/5"}]
    paths = {}
    for count in LENGTHS:
        theirs = [{"name": f"r{number}"} for number in range(count)]
        body = service_account(f"app-{count}", imagePullSecrets=[*theirs[:5], {"name": COPY}, *theirs[5:]])
        guarded.create(tenant, "serviceaccounts", body)
        paths[count] = f"/api/v1/namespaces/{tenant}/serviceaccounts/app-{count}?dryRun=All"

    few, many = LENGTHS

    def as_many(api: Api, count: int) -> float:
        """Return the time for the references of the longer list, so that what else the API server does adds alike."""

        def remove() -> None:
            for _ in range(many // count):
                stored(api.request("PATCH", paths[count], removed, JSON_PATCH))

        return seconds_of(guarded, remove)

    tries = [[as_many(api, count) for api in (sync.api, guarded.cluster.api) for count in LENGTHS] for _ in range(9)]
    guarded_few, guarded_many, plain_few, plain_many = map(min, zip(*tries, strict=True))
    print(
        f"{few}: {guarded_few:.3f} s beside {plain_few:.3f} s, {many}: {guarded_many:.3f} s beside {plain_many:.3f} s"
    )
    assert guarded_many - plain_many <= TIMES_PER_REFERENCE * (guarded_few - plain_few)


def test_a_list_of_40000_references_stops_no_removal(sync: Impostor, guarded: Playground) -> None:
    tenant = guarded.namespace(selected=False)
    theirs = [{"name": f"r{number}"} for number in range(40_000)]
    listed = [*theirs[:5], {"name": COPY}, *theirs[5:], {"name": OLD}]
    guarded.create(tenant, "serviceaccounts", service_account("app", imagePullSecrets=listed))
    path = f"/api/v1/namespaces/{tenant}/serviceaccounts/app"
    stolen = [{"op": "remove", "path": f"/imagePullSecrets/{at}"} for at in (40_000, 5)]
    refused(sync.api.request("PATCH", path, stolen, JSON_PATCH), "come and go")
    removed = [{"op": "remove", "path": f"/imagePullSecrets/{at}"} for at in (40_001, 5)]
    for component in ("cleanup", "sync"):
        thief = Impostor.of(guarded, component)
        stored(thief.api.request("PATCH", f"{path}?dryRun=All", removed, JSON_PATCH))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["a", "b"], ["b", "a"]),
        (["a", "b"], ["a", "b", "b"]),
        (["a,b"], ["a", "b"]),
        (["a", "b"], ["a,b"]),
        (["a,"], ["a!."]),
        (["a!."], ["a,"]),
        (["a!"], ["a!!"]),
        (["a"], ["ab"]),
        (["b"], ["ab"]),
        (["a"], ["", "ab"]),
        (["b"], ["x", "ab"]),
        (["b"], ["ab", "x"]),
        (["a"], ["x", "a", "y"]),
        ([], [""]),
        ([""], []),
        (["a", "c"], ["a", "b", "c"]),
        (["?"], []),
        ([], list("abcdefghi")),
        ([f"r{number}" for number in range(101)], [f"r{number}" for number in range(100)]),
        ([f"r{number}" for number in range(201)], [*(f"r{number}" for number in range(200)), "r-200"]),
    ],
    ids=lambda names: ",".join(names)[:20],
)
@pytest.mark.parametrize("add", [True, False], ids=["adds", "removes"])
def test_lists_that_differ_beside_ours_are_told_apart(
    sync: Impostor, guarded: Playground, tenant: str, before: list[str], after: list[str], add: bool
) -> None:
    """A thief changes the references of others together with one of ours."""
    ours, none = [COPY, OLD], [OLD]
    first, second = (none, ours) if add else (ours, none)
    body = service_account("app", imagePullSecrets=[{"name": name} for name in [*first, *before]])
    guarded.create(tenant, "serviceaccounts", body)
    changed = [*second, *after]
    answer = sync.reference(tenant, *changed, account="app")
    beside = after[: len(before)] == before or after[len(after) - len(before) :] == before
    if add and beside and 0 < len(after) - len(before) <= 8:
        # Another injector may have put these there in the same request.
        stored(answer)
    else:
        refused(answer, "come and go")


def test_many_of_ours_in_a_list_are_taken_out(sync: Impostor, guarded: Playground) -> None:
    tenant = guarded.namespace(selected=False)
    ours = [{"name": name} for _ in range(2_500) for name in (COPY, OLD)]
    guarded.create(tenant, "serviceaccounts", service_account("app", imagePullSecrets=ours))
    assert names(stored(sync.reference(tenant, account="app"))) == []


# Events


def test_an_event_is_ours_alone(sync: Impostor, guarded: Playground, tenant: str) -> None:
    written = stored(event(sync, tenant))
    path = f"/api/v1/namespaces/{tenant}/events/{written['metadata']['name']}"
    stored(sync.api.request("PATCH", path, {"count": 2}, MERGE))
    attempts: list[dict[str, Any]] = [
        {"source": {"component": "kubelet"}},
        {"reportingComponent": "kubelet"},
        {"source": {}, "reportingComponent": ""},
        {"action": "x"},
        {"related": {"kind": "Secret", "name": "x", "namespace": tenant}},
        *({"metadata": each} for each in METADATA),
    ]
    for changes in attempts:
        assert event(sync, tenant, **changes).status == 403, changes
        assert sync.api.request("PATCH", path, changes, MERGE).status == 403, changes
    theirs = event(Impostor(guarded.cluster.api, guarded), tenant, source={"component": "kubelet"})
    path = f"/api/v1/namespaces/{tenant}/events/{stored(theirs)['metadata']['name']}"
    refused(sync.api.request("PATCH", path, {"message": "forged"}, MERGE), "component")
    ours = {"source": {"component": "pull-secret-webhook"}, "reportingComponent": "pull-secret-webhook"}
    refused(sync.api.request("PATCH", path, ours, MERGE), "component")


# The Lease


@pytest.mark.parametrize("component", ["sync", "cleanup"])
def test_the_lease_is_taken_for_a_bounded_time(guarded: Playground, component: str) -> None:
    thief = Impostor.of(guarded, component)
    most = {"sync": 60, "cleanup": 540}[component]
    stored(lease(thief, most))
    for seconds in (most + 1, 2_000_000_000):
        refused(lease(thief, seconds), "no longer than its work takes")
    stored(lease(thief, 15, annotations={"pullsecrets.webhook/revision": "x"}))
    for metadata in METADATA:
        refused(lease(thief, 15, **metadata), "the Lease")


def test_a_long_list_costs_the_conditions_of_the_webhook_little(guarded: Playground) -> None:
    """Beside the same request in a namespace that the webhook is not called for."""
    theirs = [{"name": f"r{number}"} for number in range(20_000)]
    ours = [{"name": name} for name in (COPY, LIMITED, SELECTING)]
    body = service_account("app", imagePullSecrets=[*theirs, *ours])

    def seconds(namespace: str) -> float:
        def create() -> None:
            for _ in range(3):
                guarded.create(namespace, "serviceaccounts", body, "?dryRun=All")

        return seconds_of(guarded, create)

    selected, control = guarded.namespace(selected=True), guarded.namespace(selected=False)
    pairs = [(seconds(selected), seconds(control)) for _ in range(5)]
    print(pairs)
    assert min(first for first, _ in pairs) < 5 * min(second for _, second in pairs)
