"""Tokens of each namespace's own ServiceAccount on a real API server: with the rights and the guard of the chart."""

from __future__ import annotations

import json
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.processes import PullSecrets
from tests.exposition import series
from tests.integration.hostile.impostor import Impostor
from tests.integration.policies.guarding import is_refused, refused, stored
from tests.integration.site.commands import of_release
from tests.integration.site.playground import COPY, REGISTRY, SOURCE, Playground, eventually
from tests.providers import tenant_registry

AUDIENCE = "tenants.example.com"
TENANTS = "tenants.example.com"
"""The registry that accepts tokens; the other one has a credential that everybody shares."""

TOKEN = {
    "serviceAccountToken": {
        "name": "tenant",
        "registry": TENANTS,
        "username": "jwt",
        "audience": AUDIENCE,
        "lifetime": "10m",
        "perNamespace": True,
        "serviceAccountName": "puller",
    }
}
VALUES = {"pullSecrets": [{"name": COPY, "sources": [SOURCE, TOKEN]}]}
EXPIRES, ISSUED, SEAL = (f"pullsecrets.webhook/{name}" for name in ("expires-at", "issued-at", "issued-for"))


def add_account(ours: Playground, namespace: str) -> None:
    ours.apply(namespace, "ServiceAccount", "puller", {})


def passwords(ours: Playground, namespace: str) -> dict[str, str]:
    """Return the passwords in the copy of a namespace by registry."""
    secret = ours.get(namespace, "secrets", COPY)
    if secret is None:
        return {}
    auths = json.loads(b64decode(secret["data"][".dockerconfigjson"])).get("auths", {})
    return {registry: entry["password"] for registry, entry in auths.items()}


def token(ours: Playground, namespace: str) -> str:
    return passwords(ours, namespace).get(TENANTS, "")


def claims(jwt: str) -> dict[str, Any]:
    part = jwt.split(".")[1]
    found: dict[str, Any] = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


EARLIEST = f'pullsecrets_sync_namespace_token_expiry_timestamp_seconds{{pull_secret="{COPY}"}}'


def metadata(ours: Playground, namespace: str) -> dict[str, Any]:
    found: dict[str, Any] = (ours.get(namespace, "secrets", COPY) or {})["metadata"]
    return found


def renewals(sync: PullSecrets, result: str = "renewed") -> float:
    return series(sync.metrics()).get(f'pullsecrets_sync_renewals_total{{result="{result}",source="tenant"}}', 0)


def test_each_namespace_gets_a_token_of_its_own_account_beside_what_all_share(
    playground: Callable[..., Playground],
) -> None:
    ours = playground(**VALUES)
    ours.set_source("shared")
    sync = ours.installation.start_sync()
    namespaces = [ours.namespace(selected=True) for _ in range(3)]
    for namespace in namespaces:
        add_account(ours, namespace)

    for namespace in namespaces:
        found = claims(eventually(lambda namespace=namespace: token(ours, namespace)))  # type: ignore[misc]
        assert found["sub"] == f"system:serviceaccount:{namespace}:puller"
        assert found["aud"] == [AUDIENCE]
        assert passwords(ours, namespace)[REGISTRY] == "shared"
        eventually(lambda namespace=namespace: ours.references(namespace) == [COPY])  # type: ignore[misc]
    assert ours.get(ours.installation.namespace, "secrets", f"{ours.installation.fullname}-issued-tenant") is None
    assert renewals(sync) == len(namespaces)
    # The cache learns of a copy by its watch.
    first = min(claims(token(ours, namespace))["exp"] for namespace in namespaces)
    eventually(lambda: series(sync.metrics()).get(EARLIEST), lambda seen: seen == first)
    assert series(sync.metrics())[f'pullsecrets_sync_namespace_tokens_overdue{{pull_secret="{COPY}"}}'] == 0

    ours.set_source("rotated")

    for namespace in namespaces:
        eventually(lambda namespace=namespace: passwords(ours, namespace)[REGISTRY] == "rotated")  # type: ignore[misc]
        assert claims(token(ours, namespace))["sub"] == f"system:serviceaccount:{namespace}:puller"


def test_a_namespace_without_the_account_is_told_so_and_the_others_go_on(
    playground: Callable[..., Playground],
) -> None:
    ours = playground(**VALUES)
    ours.set_source("shared")
    lacking, right = ours.namespace(selected=True), ours.namespace(selected=True)
    add_account(ours, right)  # before sync can see the namespace without it
    sync = ours.installation.start_sync()

    eventually(lambda: token(ours, right))
    told = eventually(lambda: dict(ours.events(lacking)), lambda seen: "TokenAccountAbsent" in seen)
    assert f"kubectl create serviceaccount puller --namespace {lacking}" in told["TokenAccountAbsent"]
    assert ours.get(lacking, "secrets", COPY) is None
    assert "TokenAccountAbsent" not in dict(ours.events(right))
    assert renewals(sync, "token-refused") == 0, "without an account, there is no request"
    explained = of_release(ours, "explain", "Namespace", lacking).out
    assert "token-account-absent" in explained
    assert "ServiceAccount puller does not exist in the namespace" in explained
    (row,) = [each for each in rows(ours, lacking) if each["effect"] == "problem"]
    assert row["reason"] == "token-account-absent"
    checks = json.loads(of_release(ours, "check", "-o", "json").out)["checks"]
    (found,) = [each for each in checks if each["code"] == "PSW056" and each["result"] == "finding"]
    assert f"{lacking}/{COPY}" in found["detail"]
    assert not [each for each in checks if each["code"] in ("PSW050", "PSW051") and each["result"] == "finding"]

    add_account(ours, lacking)

    eventually(lambda: token(ours, lacking))


def rows(ours: Playground, namespace: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(of_release(ours, "plan", "-n", namespace, "-o", "json").out)["rows"]
    return found


def test_what_somebody_does_to_a_copy_or_to_the_account_ends_in_a_new_token_in_place(
    playground: Callable[..., Playground],
) -> None:
    ours = playground(**VALUES)
    ours.set_source("shared")
    ours.installation.start_sync()
    namespace = ours.namespace(selected=True)
    add_account(ours, namespace)
    first = eventually(lambda: token(ours, namespace))
    uid = metadata(ours, namespace)["uid"]

    for edit in (
        {"data": {".dockerconfigjson": "e30="}},
        {"metadata": {"annotations": {EXPIRES: "2999-01-01T00:00:00Z"}}},
        {"metadata": {"annotations": {SEAL: None}}},
    ):
        before = token(ours, namespace)
        ours.patch(namespace, "secrets", COPY, edit)
        eventually(lambda before=before: token(ours, namespace) not in ("", before))  # type: ignore[misc]
    ours.delete(namespace, "serviceaccounts", "puller")
    add_account(ours, namespace)
    account = eventually(lambda: ours.get(namespace, "serviceaccounts", "puller"))
    eventually(
        lambda: claims(token(ours, namespace))["kubernetes.io"]["serviceaccount"]["uid"] == account["metadata"]["uid"]  # type: ignore[index]
    )

    assert token(ours, namespace) != first
    assert metadata(ours, namespace)["uid"] == uid, "an update in place"


def test_a_restart_and_another_leader_keep_tokens_that_are_not_due(playground: Callable[..., Playground]) -> None:
    ours = playground(**VALUES)
    ours.set_source("shared")
    sync = ours.installation.start_sync(name="first")
    namespaces = [ours.namespace(selected=True) for _ in range(5)]
    for namespace in namespaces:
        add_account(ours, namespace)
        eventually(lambda namespace=namespace: token(ours, namespace))  # type: ignore[misc]
    before = {namespace: metadata(ours, namespace)["resourceVersion"] for namespace in namespaces}

    assert sync.stop() == 0
    second = ours.installation.start_sync(name="second")
    later = ours.namespace(selected=True)
    add_account(ours, later)
    eventually(lambda: token(ours, later))

    assert renewals(second) == 1
    assert {namespace: metadata(ours, namespace)["resourceVersion"] for namespace in namespaces} == before


def test_a_namespace_that_opts_out_loses_its_token(playground: Callable[..., Playground]) -> None:
    ours = playground(**VALUES)
    ours.set_source("shared")
    ours.installation.start_sync()
    namespace = ours.namespace(selected=True)
    add_account(ours, namespace)
    eventually(lambda: token(ours, namespace))

    ours.opt(namespace, None)

    eventually(lambda: ours.get(namespace, "secrets", COPY) is None)


# Rights and the guard


@pytest.fixture(scope="module")
def guarded(cluster: Cluster) -> Iterator[tuple[Playground, str]]:
    """An installation in which nothing runs, with the policies about sync in force, and a selected namespace."""
    with Playground.make(cluster, **VALUES) as ours:
        tenant = ours.namespace(selected=True)
        add_account(ours, tenant)
        ours.apply(tenant, "ServiceAccount", "other", {})
        thief = Impostor.of(ours, "sync")
        eventually(lambda: request(thief, tenant, []), is_refused)
        yield ours, tenant


def request(
    thief: Impostor,
    namespace: str,
    audiences: list[str] | None,
    account: str = "puller",
    query: str = "",
    **spec: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    named = {} if audiences is None else {"audiences": audiences}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {**named, **spec}}
    return thief.api.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token{query}", body)


@pytest.mark.parametrize("query", ["", "?dryRun=All"])
def test_a_stolen_token_of_sync_mints_for_the_configured_audience_alone(
    guarded: tuple[Playground, str], query: str
) -> None:
    ours, tenant = guarded
    thief = Impostor.of(ours, "sync")
    stored(request(thief, tenant, [AUDIENCE], query=query))

    issuer = "https://kubernetes.default.svc.cluster.local"
    for audiences in (
        None,
        [],
        [""],
        [issuer],
        ["https://kubernetes.default.svc"],
        ["api"],
        [AUDIENCE, issuer],
        [issuer, AUDIENCE],
        [AUDIENCE, AUDIENCE],
        [AUDIENCE, ""],
        [AUDIENCE.upper()],
        [f" {AUDIENCE}"],
        [f"{AUDIENCE} "],
        [f"{AUDIENCE}/"],
        ["other"],
    ):
        answer = request(thief, tenant, audiences, query=query)
        assert answer.status in (403, 422), audiences
        assert "eyJ" not in answer.text
    for bound in (
        {"apiVersion": "v1", "kind": "Secret", "name": COPY, "uid": "y"},
        {"apiVersion": "v1", "kind": "Pod", "name": "x"},
        {"apiVersion": "v1", "kind": "Node", "name": "x"},
        {},
    ):
        refused(request(thief, tenant, [AUDIENCE], query=query, boundObjectRef=bound), "not bound")


def test_a_stolen_token_of_sync_mints_in_no_other_namespace_and_of_no_other_account(
    guarded: tuple[Playground, str],
) -> None:
    ours, tenant = guarded
    thief = Impostor.of(ours, "sync")
    elsewhere = ours.namespace(selected=False)
    for namespace in (elsewhere, ours.installation.namespace, "kube-system"):
        ours.apply(namespace, "ServiceAccount", "puller", {})
        refused(request(thief, namespace, [AUDIENCE]), "only of the ServiceAccounts that the sources name")
    ours.delete("kube-system", "serviceaccounts", "puller")
    sync = f"{ours.installation.fullname}-sync"
    for namespace, account in ((tenant, "other"), (tenant, "default"), (ours.installation.namespace, sync)):
        answer = request(thief, namespace, [AUDIENCE], account)
        assert answer.status == 403, account
        assert "cannot create resource" in answer.json()["message"]
    for account in ("PULLER", "Puller", "puller%20", "puller%2F", "puller%00", "puller/../other"):
        assert request(thief, tenant, [AUDIENCE], account).status in (400, 403, 404), account
    cleanup = Impostor.of(ours, "cleanup")
    assert request(cleanup, tenant, [AUDIENCE]).status == 403


def test_a_stolen_token_of_sync_mints_no_more_after_a_namespace_has_opted_out(
    guarded: tuple[Playground, str],
) -> None:
    ours, _ = guarded
    thief = Impostor.of(ours, "sync")
    leaving = ours.namespace(selected=True)
    add_account(ours, leaving)
    eventually(lambda: request(thief, leaving, [AUDIENCE]).status == 201)

    ours.opt(leaving, None)

    eventually(lambda: request(thief, leaving, [AUDIENCE]).status == 403)


def test_without_such_a_source_sync_has_no_right_to_tokens_in_namespaces(cluster: Cluster) -> None:
    with Playground.make(cluster) as ours:
        tenant = ours.namespace(selected=True)
        add_account(ours, tenant)
        answer = request(Impostor.of(ours, "sync"), tenant, [AUDIENCE])

    assert answer.status == 403
    assert "cannot create resource" in answer.json()["message"]


# Identity


@pytest.mark.skipif(tenant_registry.PROGRAM is None, reason="needs docker-registry: make e2e-setup")
def test_each_namespace_pulls_from_its_own_repository_and_from_no_other(
    playground: Callable[..., Playground], tmp_path: Path
) -> None:
    ours = playground(**VALUES)
    ours.set_source("shared")
    ours.installation.start_sync()
    tenants = [ours.namespace(selected=True) for _ in range(3)]

    def keys() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(ours.cluster.kubectl("get", "--raw", "/openid/v1/jwks"))
        return found

    with tenant_registry.TenantRegistry(ours.cluster, tmp_path, keys, AUDIENCE) as registry:
        eventually(registry.answers)
        for tenant in tenants:
            add_account(ours, tenant)
            registry.push(tenant)
        credentials = {tenant: eventually(lambda tenant=tenant: token(ours, tenant)) for tenant in tenants}  # type: ignore[misc]

        pulls = {(who, what): registry.pull(what, "jwt", credentials[who]) for who in tenants for what in tenants}

        assert [pulls[tenant, tenant] for tenant in tenants] == [200] * 3
        assert [status for (who, what), status in pulls.items() if who != what] == [401] * 6
        for forged in forgeries(credentials[tenants[0]], of=tenants[1]):
            assert registry.pull(tenants[1], "jwt", forged) == 401
        other = ours.cluster.kubectl("create", "token", "puller", f"--namespace={tenants[0]}", "--audience=other")
        assert registry.pull(tenants[0], "jwt", other.strip()) == 401


def forgeries(jwt: str, of: str) -> Iterator[str]:
    """Yield tokens with the subject of another namespace, and the signature of this one, or none."""
    header, _, signature = jwt.split(".")
    changed = claims(jwt) | {"sub": f"system:serviceaccount:{of}:puller"}
    part = urlsafe_b64encode(json.dumps(changed).encode()).rstrip(b"=").decode()
    yield f"{header}.{part}.{signature}"
    unsigned = urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    yield f"{unsigned}.{part}."
