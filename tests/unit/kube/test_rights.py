from __future__ import annotations

import pytest

from webhook.errors import ApiError, Conflict, Forbidden
from webhook.kube.rights import FORGET_SECONDS, MAX_RIGHTS, MissingRights

USER = 'User "system:serviceaccount:release:sync"'
NAMESPACES = "/api/v1/namespaces"
SECRETS = "/api/v1/secrets"
NAMED = {"watch": "true", "fieldSelector": "metadata.name=pull"}
LEASE = "/apis/coordination.k8s.io/v1/namespaces/release/leases/sync"


def forbidden(verb: str, resource: str, where: str = "at the cluster scope") -> Forbidden:
    message = f'{resource} is forbidden: {USER} cannot {verb} resource "{resource}" in API group "" {where}'
    return Forbidden(f"GET /: 403 Forbidden: {message}", status=403, reason="Forbidden")


def account(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/serviceaccounts/default"


def test_a_right_is_named_once_however_often_it_is_missed() -> None:
    rights = MissingRights()
    for _ in range(100):
        rights.note("WATCH", NAMESPACES, {"watch": "true"}, forbidden("watch", "namespaces"))
        rights.note("GET", NAMESPACES, {"limit": "500"}, forbidden("list", "namespaces"))
        rights.note("WATCH", SECRETS, NAMED, forbidden("watch", "secrets"))
        rights.note("GET", LEASE, None, forbidden("get", "leases", 'in the namespace "release"'))
    assert rights.sentences() == [
        'the right to get leases "sync" in release',
        "the right to list, watch namespaces",
        'the right to watch secrets "pull"',
    ]


def test_a_right_in_many_namespaces_is_one_phrase() -> None:
    rights = MissingRights()
    for number in range(20):
        rights.note("PATCH", account(f"team-{number:02}"), None, forbidden("patch", "serviceaccounts"))
    assert rights.sentences() == ['the right to patch serviceaccounts "default" in team-00 and 19 more namespaces']


def test_one_more_namespace_is_counted_as_one() -> None:
    rights = MissingRights()
    for namespace in ("team-a", "team-b"):
        rights.note("PATCH", account(namespace), None, forbidden("patch", "serviceaccounts"))
    assert rights.sentences() == ['the right to patch serviceaccounts "default" in team-a and 1 more namespace']


def test_a_right_to_a_subresource_names_it() -> None:
    rights = MissingRights()
    refused = forbidden("create", "serviceaccounts/token", 'in the namespace "a"')
    rights.note("POST", f"{account('a')}/token", None, refused)
    assert rights.sentences() == ['the right to create serviceaccounts/token "default" in a']
    rights.note("POST", f"{account('a')}/token", None, None)
    assert rights.sentences() == []


def test_a_request_that_succeeds_proves_its_right_and_no_other() -> None:
    rights = MissingRights()
    rights.note("WATCH", SECRETS, NAMED, forbidden("watch", "secrets"))
    rights.note("PATCH", account("a"), None, forbidden("create", "serviceaccounts"))
    rights.note("WATCH", NAMESPACES, {"watch": "true"}, None)
    rights.note("GET", SECRETS, NAMED, None)
    assert len(rights.missing()) == 2
    rights.note("WATCH", SECRETS, NAMED, None)
    assert rights.sentences() == ['the right to create serviceaccounts "default" in a']
    rights.note("PATCH", account("a"), None, None)
    assert rights.sentences() == []


@pytest.mark.parametrize(
    "error",
    [
        Forbidden('secrets "pull" is forbidden: exceeded quota: objects', status=403, reason="Forbidden"),
        Forbidden('"pull" is forbidden: unable to create new content in namespace a', status=403, reason="Forbidden"),
        Conflict("PATCH: 409 Conflict", status=409),
        ApiError("no answer"),
    ],
)
def test_other_failures_are_no_missing_right(error: ApiError) -> None:
    rights = MissingRights()
    rights.note("PATCH", account("a"), None, error)
    assert rights.sentences() == []


def test_credentials_that_are_not_accepted_are_named_until_they_are() -> None:
    rights = MissingRights()
    rights.note("GET", NAMESPACES, None, Forbidden("GET: 401 Unauthorized", status=401))
    assert rights.sentences() == ["credentials that the API server accepts (401)"]
    rights.note("GET", NAMESPACES, None, None)
    assert rights.sentences() == []


def test_what_is_remembered_is_bounded_in_number_and_time() -> None:
    now = [0.0]
    rights = MissingRights(lambda: now[0])
    for number in range(MAX_RIGHTS + 50):
        rights.note("PATCH", account(f"n{number}"), None, forbidden("patch", "serviceaccounts"))
    assert len(rights.missing()) == MAX_RIGHTS
    now[0] = FORGET_SECONDS + 1
    assert rights.missing() == []
