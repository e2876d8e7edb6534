"""ServiceAccounts that enforce their references: whether their Pods can be created is the API server's to say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.site.playground import COPY, SOURCE, Playground, eventually, names, pod, service_account

Maker = Callable[..., Playground]

ACCOUNT = "strict"
ENFORCES = {"kubernetes.io/enforce-mountable-secrets": "true"}


def enforcing(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 (any JSON)
    account = service_account(ACCOUNT, **fields)
    account["metadata"]["annotations"] = ENFORCES
    return account


def create_pod(ours: Playground, namespace: str) -> tuple[int, dict[str, Any]]:
    """Create a Pod that brings a list of its own, so that the webhook is what adds the reference; return the answer."""
    body = pod("app", serviceAccountName=ACCOUNT)
    answer = ours.cluster.api.request("POST", f"/api/v1/namespaces/{namespace}/pods", body)
    return answer.status, answer.json()


@pytest.fixture
def without_source(playground: Maker) -> Playground:
    """Processes that run, and no source to copy."""
    ours = playground()
    ours.start()
    return ours


def test_its_pods_can_be_created_although_there_is_no_source_yet(without_source: Playground) -> None:
    ours = without_source
    namespace = ours.namespace(selected=False)
    ours.create(namespace, "serviceaccounts", enforcing())
    ours.create(namespace, "serviceaccounts", service_account("lenient"))
    ours.opt(namespace, "enabled")

    eventually(lambda: ours.references(namespace, ACCOUNT), lambda seen: seen == [COPY])
    ours.await_injection(namespace)
    _, created = eventually(lambda: create_pod(ours, namespace), lambda answer: answer[0] == 201)

    assert names(created["spec"]) == [COPY]
    assert ours.get(namespace, "secrets", COPY) is None
    assert ours.references(namespace, "lenient") == []


def test_without_the_reference_the_api_server_refuses_them(playground: Maker) -> None:
    # What all this is for: the webhook alone, and nobody who sees to the ServiceAccount.
    ours = playground()
    ours.installation.start_sync().wait_ready()
    serve = ours.installation.start_serve()
    serve.wait_ready()
    namespace = ours.namespace(selected=True)
    # By dry run: a Pod that has been created without the reference cannot be created a second time.
    first = pod("first", **WITH_A_LIST)
    eventually(lambda: names(ours.create(namespace, "pods", first, "?dryRun=All")["spec"]), lambda seen: COPY in seen)
    account = enforcing()
    account["metadata"]["labels"] = {ours.label: "disabled"}
    ours.create(namespace, "serviceaccounts", account)

    status, answer = create_pod(ours, namespace)

    assert (status, answer["reason"]) == (403, "Forbidden")
    assert f"service account {ACCOUNT} does not reference that imagePullSecret" in answer["message"]
    told = eventually(lambda: dict(ours.events(namespace)), lambda seen: "ReferenceRequired" in seen)
    assert ACCOUNT in told["ReferenceRequired"]
    assert ours.references(namespace, ACCOUNT) == []

    # What the Event advises.
    ours.patch(namespace, "serviceaccounts", ACCOUNT, {"metadata": {"labels": {ours.label: None}}})
    eventually(lambda: create_pod(ours, namespace)[0], lambda status: status == 201)


WITH_A_LIST: dict[str, Any] = {"imagePullSecrets": [{"name": "theirs"}]}


def test_one_that_is_excluded_and_its_pods_get_nothing(playground: Maker) -> None:
    accounts = {"include": ["*"], "exclude": [ACCOUNT]}
    ours = playground(pullSecrets=[{"name": COPY, "sources": [{"secretName": SOURCE}], "serviceAccounts": accounts}])
    ours.set_source("first")
    ours.start()
    namespace = ours.namespace(selected=True)
    ours.await_selected(namespace, "first")
    ours.create(namespace, "serviceaccounts", enforcing())

    status, created = create_pod(ours, namespace)

    assert (status, names(created["spec"])) == (201, [])
    assert ours.references(namespace, ACCOUNT) == []


def test_beside_a_foreign_secret_its_pods_can_be_created_too(shared: Playground) -> None:
    namespace = shared.namespace(selected=False)
    shared.apply(namespace, "Secret", COPY, {"stringData": {"theirs": "value"}})
    shared.create(namespace, "serviceaccounts", enforcing())
    shared.opt(namespace, "enabled")

    eventually(lambda: shared.references(namespace, ACCOUNT), lambda seen: seen == [COPY])
    eventually(lambda: create_pod(shared, namespace)[0], lambda status: status == 201)


def test_an_annotation_that_comes_later_counts(without_source: Playground) -> None:
    ours = without_source
    namespace = ours.namespace(selected=False)
    ours.create(namespace, "serviceaccounts", service_account(ACCOUNT))
    ours.opt(namespace, "enabled")
    ours.patch(namespace, "serviceaccounts", ACCOUNT, {"metadata": {"annotations": ENFORCES}})

    eventually(lambda: ours.references(namespace, ACCOUNT), lambda seen: seen == [COPY])


def test_while_the_webhook_may_still_give_it_a_retired_reference_stays(ours: Playground) -> None:
    ours.set_source("first")
    ours.start()
    namespace = ours.namespace(selected=True)
    ours.await_selected(namespace, "first")
    ours.create(namespace, "serviceaccounts", enforcing())
    eventually(lambda: ours.references(namespace, ACCOUNT), lambda seen: seen == [COPY])

    ours.installation.set_configuration(pullSecrets=[], retired=[COPY])
    eventually(lambda: ours.references(namespace), lambda seen: seen == [])

    assert ours.references(namespace, ACCOUNT) == [COPY]
    assert ours.password_in_copy(namespace) == "first"
