"""Other people's mutating policies change what sync and cleanup write, in the same request, and the guard lets them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.integration.conftest import FIRST_PASSWORD
from tests.integration.hostile.impostor import JSON_PATCH, Impostor
from tests.integration.policies.guarding import await_guard, refused, stored
from tests.integration.policies.mutators import (
    ANNOTATION,
    APPEND,
    LABEL,
    MUTATED,
    PLAIN_LABEL,
    PREPEND,
    REFERENCE,
    STAMP,
    applied,
    mutating,
    patched,
)
from tests.integration.site.playground import COPY, Playground, eventually, names, service_account
from tests.integration.site.rights import await_right
from tests.integration.test_cleanup import cleanup

UPDATE = ["UPDATE"]
WRITES = ["CREATE", "UPDATE"]


@pytest.fixture
def installed(playground: Callable[..., Playground]) -> Playground:
    running = playground()
    running.set_source(FIRST_PASSWORD)
    running.start()
    return running


@pytest.fixture(params=[APPEND, PREPEND], ids=["appends", "prepends"])
def mutated(cluster: Cluster, installed: Playground, request: pytest.FixtureRequest) -> Iterator[Playground]:
    """A release in a cluster whose owner labels and annotates what is written, and has an injector of his own."""
    name = installed.installation.release
    with (
        mutating(cluster, name, "serviceaccounts", UPDATE, applied(STAMP), patched(request.param)),
        mutating(cluster, name, "secrets", WRITES, applied(STAMP)),
    ):
        yield installed


def namespace(mutated: Playground) -> str:
    """Return a namespace that has not opted in yet, with one ServiceAccount of each kind."""
    name = mutated.namespace(selected=False, labels={MUTATED: mutated.installation.release})
    mutated.create(name, "serviceaccounts", service_account("listed", imagePullSecrets=[{"name": "mine"}]))
    applied_by_tenant = {"imagePullSecrets": [{"name": "mine"}], "automountServiceAccountToken": False}
    mutated.apply(name, "ServiceAccount", "applied", applied_by_tenant)
    return name


ACCOUNTS = {"default": set[str](), "listed": {"mine"}, "applied": {"mine"}}


def await_references(mutated: Playground, tenant: str, *ours: str) -> None:
    for account, theirs in ACCOUNTS.items():
        eventually(
            lambda account=account: set(mutated.references(tenant, account) or ()),  # type: ignore[misc]
            lambda seen, theirs=theirs: seen == theirs | {REFERENCE, *ours},  # type: ignore[misc]
        )


def stamped(obj: dict[str, Any] | None) -> bool:
    metadata = (obj or {})["metadata"]
    return {LABEL, PLAIN_LABEL} <= {*metadata.get("labels", {})} and ANNOTATION in metadata.get("annotations", {})


def test_opt_in_backfill_rotation_opt_out_and_uninstall_work(mutated: Playground) -> None:
    tenant, other = namespace(mutated), namespace(mutated)
    for each in (tenant, other):
        mutated.opt(each, "enabled")
        mutated.await_selected(each, FIRST_PASSWORD)
        await_references(mutated, each, COPY)
    assert stamped(mutated.get(tenant, "secrets", COPY))
    assert all(stamped(mutated.get(tenant, "serviceaccounts", account)) for account in ACCOUNTS)

    mutated.set_source("second")
    mutated.await_selected(tenant, "second")

    mutated.opt(tenant, None)
    mutated.await_left(tenant)
    await_references(mutated, tenant)

    done = cleanup(mutated)
    assert done.returncode == 0, done.stderr
    assert mutated.get(other, "secrets", COPY) is None
    await_references(mutated, other)
    assert [reason for reason, _ in mutated.events(other)] == []


def test_what_a_thief_adds_beside_them_is_still_refused(mutated: Playground) -> None:
    tenant = namespace(mutated)
    mutated.opt(tenant, "enabled")
    mutated.await_selected(tenant, FIRST_PASSWORD)
    await_guard(mutated)
    thief = Impostor.of(mutated, "sync")
    for change in ({"labels": {"x": "y"}}, {"annotations": {"eks.amazonaws.com/role-arn": "x"}}):
        for account in ACCOUNTS:
            refused(thief.patch_account(tenant, {"metadata": change}, account), "nothing changes but")
        labels = {"labels": {**thief.copy_labels(tenant), **change.get("labels", {})}}
        refused(thief.apply_secret(tenant, metadata=change | labels), "no other labels and annotations than ours")


@pytest.mark.parametrize("kind", ["labels", "annotations"])
def test_thousands_of_labels_beside_a_policy_that_adds_one_stop_no_removal(
    cluster: Cluster, installed: Playground, kind: str
) -> None:
    tenant = installed.namespace(selected=False, labels={MUTATED: installed.installation.release})
    large = service_account("large", imagePullSecrets=[{"name": COPY}])
    large["metadata"][kind] = {f"key-{number}": "" for number in range(4000)}
    installed.create(tenant, "serviceaccounts", large)
    path = f"/api/v1/namespaces/{tenant}/serviceaccounts/large?dryRun=All"
    removed = [{"op": "remove", "path": "/imagePullSecrets/0"}]
    with mutating(cluster, installed.installation.release, "serviceaccounts", UPDATE, applied(STAMP)):
        for component in ("sync", "cleanup"):
            thief = Impostor.of(installed, component)
            account = f"{installed.installation.namespace}:{installed.installation.fullname}-{component}"
            user = f"system:serviceaccount:{account}"
            await_right(cluster, user, "patch", "serviceaccounts", namespace=tenant, name="large")
            after = stored(thief.api.request("PATCH", path, removed, JSON_PATCH))
            assert stamped(after)
            assert not names(after)


def test_the_value_that_lets_a_changed_label_pass_is_named_and_works(
    cluster: Cluster, playground: Callable[..., Playground]
) -> None:
    """A label that somebody owns, and that a policy changes: nobody can tell that from a thief."""
    ours = playground()
    ours.set_source(FIRST_PASSWORD)
    ours.start()
    tenant = ours.namespace(selected=False, labels={MUTATED: ours.installation.release})
    labelled = {"name": "default", "namespace": tenant, "labels": {LABEL: "mine"}}
    ours.apply(tenant, "ServiceAccount", "default", {"metadata": labelled})
    await_guard(ours)  # else sync is let through before the API server knows the guard, and no denial comes
    with mutating(cluster, ours.installation.release, "serviceaccounts", UPDATE, applied(STAMP)):
        ours.opt(tenant, "enabled")
        told = eventually(lambda: dict(ours.events(tenant)), lambda seen: "CopyDenied" in seen)
        assert f"label {LABEL}" in told["CopyDenied"]
        assert "guard.othersMayAdd" in told["CopyDenied"]
        ours.installation.set_configuration(guard={"othersMayAdd": ["policy.example.com/*"]})
        thief = Impostor.of(ours, "sync")
        eventually(lambda: thief.reference(tenant, COPY, query="?dryRun=All").status == 200)
        # Of the policy sync is not told: it tries again up to two minutes later, or when the namespace changes.
        for value in (None, "enabled"):
            ours.opt(tenant, value)
        ours.await_selected(tenant, FIRST_PASSWORD)
