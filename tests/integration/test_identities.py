"""What a token of each of the chart's identities is good for, tried on the real API server: next to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.integration.conftest import FIRST_PASSWORD
from tests.integration.hostile.forbidden import ADMISSION, OTHER, for_everybody, of_cleanup, of_sync, of_webhook
from tests.integration.hostile.impostor import MERGE, Impostor
from tests.integration.policies.guarding import await_guard
from tests.integration.site.playground import COPY, NO_READERS, SOURCE, Playground, eventually

COMPONENTS = ("webhook", "sync", "cleanup")
OF = {"webhook": of_webhook, "sync": of_sync, "cleanup": of_cleanup}
SNAPSHOTS = Path(__file__).parent / "snapshots"


@pytest.fixture(scope="module")
def estate(cluster: Cluster) -> Iterator[tuple[Playground, str]]:
    """An installation with all that there is to steal, and one selected namespace."""
    with Playground.make(cluster, **NO_READERS) as playground:
        tenant = playground.namespace(selected=True)
        for namespace in (tenant, playground.installation.namespace, "kube-system"):
            playground.apply(namespace, "Secret", OTHER, {"stringData": {"password": "deep"}})
        playground.apply(tenant, "Secret", SOURCE, {"stringData": {"password": "theirs"}})
        playground.set_source(FIRST_PASSWORD)
        playground.start()
        playground.await_selected(tenant, FIRST_PASSWORD)
        await_guard(playground)
        yield playground, tenant
        playground.delete("kube-system", "secrets", OTHER)


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_row_of_the_table_is_refused(estate: tuple[Playground, str], component: str) -> None:
    playground, tenant = estate
    thief = Impostor.of(playground, component)
    attempts = [*for_everybody(playground, tenant), *OF[component](playground, tenant)]
    answers = {
        each.what: thief.api.request(each.method, each.path, each.body, each.content_type, headers=each.headers)
        for each in attempts
    }
    assert len(answers) == len(attempts) > 100
    assert {what: answer.status for what, answer in answers.items() if answer.status != 403} == {}
    assert not [what for what, answer in answers.items() if "deep" in answer.text or FIRST_PASSWORD in answer.text]


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("where", ["release", "tenant"])
def test_what_it_may_do_is_what_it_was(estate: tuple[Playground, str], component: str, where: str) -> None:
    playground, tenant = estate
    installation = playground.installation
    namespace = installation.namespace if where == "release" else tenant
    identity = f"system:serviceaccount:{installation.namespace}:{installation.fullname}-{component}"
    everybody = may(playground, namespace, "system:serviceaccount:somewhere:somebody")

    def own() -> list[str]:
        found = may(playground, namespace, identity) - everybody
        return sorted(line.replace(installation.fullname, "FULLNAME") for line in found)

    # The API server learns of each kind of role and of binding by a watch.
    expected = sorted((SNAPSHOTS / f"can-i-{component}-{where}.txt").read_text().splitlines())
    eventually(own, lambda seen: seen == expected)


def may(playground: Playground, namespace: str, user: str) -> set[str]:
    """Return what ``kubectl auth can-i --list`` says of a ServiceAccount, a line each."""
    groups = [f"--as-group=system:{group}" for group in ("authenticated", "serviceaccounts")]
    question = ["auth", "can-i", "--list", "--no-headers", f"--as={user}", *groups, f"--namespace={namespace}"]
    return {" ".join(line.split()) for line in playground.cluster.kubectl(*question).splitlines()}


def test_a_stolen_token_of_sync_spreads_nowhere(estate: tuple[Playground, str]) -> None:
    """The story of a compromise: everything that an attacker with it would try first."""
    playground, tenant = estate
    thief = Impostor.of(playground, "sync")
    victim = playground.namespace(selected=False)
    before = {name: playground.get(victim, "serviceaccounts", name) for name in ("default",)}

    # The credentials that it copies are all that it can read: it reads them anyway.
    assert thief.api.request("GET", f"/api/v1/namespaces/{tenant}/secrets/{COPY}").status == 200
    source = f"/api/v1/namespaces/{playground.installation.namespace}/secrets/{SOURCE}"
    assert thief.api.request("GET", source).status == 200

    # A token of another ServiceAccount, by a Secret that the API server fills.
    kind = "kubernetes.io/service-account-token"
    for namespace in (tenant, victim):
        annotations = {"kubernetes.io/service-account.name": "default"}
        bait = {"annotations": annotations, "labels": thief.copy_labels(namespace)}
        guard = eventually(
            lambda namespace=namespace, bait=bait: thief.apply_secret(namespace, type=kind, data={}, metadata=bait),  # type: ignore[misc]
            lambda answer: answer.status != 409,
        )
        assert guard.status in (403, 422)
    # A namespace that has not asked, a Secret that is not ours, the name of a source.
    assert thief.apply_secret(victim).status == 403
    playground.apply(victim, "Secret", COPY, {"type": "Opaque"})
    assert thief.delete_secret(victim).status == 403
    assert thief.apply_secret(playground.installation.namespace, SOURCE).status == 403
    # Another identity in the cloud for the Pods of a namespace, by an annotation.
    role = {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/admin"}}}
    assert thief.patch_account(victim, role).status == 403
    assert thief.patch_account(tenant, role).status == 403
    # What everybody creates, by way of our own webhooks: other kinds, another address.
    own = f"{ADMISSION}/mutatingwebhookconfigurations/{playground.installation.webhook_configuration}"
    webhooks = playground.cluster.api.call("GET", own)["webhooks"]
    anything = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}
    changes: list[dict[str, Any]] = [
        {"rules": [anything]},
        {"clientConfig": {**webhooks[0]["clientConfig"], "url": "https://evil.example/mutate"}},
        {"failurePolicy": "Fail"},
        {"namespaceSelector": {}},
    ]
    for change in changes:
        patch = {"webhooks": [{**webhooks[0], **change}, *webhooks[1:]]}
        assert thief.api.request("PATCH", own, patch, MERGE).status == 403
    # A credential of its own for images that it controls.
    assert thief.reference(tenant, "evil").status == 403
    assert thief.reference(victim, COPY).status == 403

    assert {name: playground.get(victim, "serviceaccounts", name) for name in ("default",)} == before
    assert playground.references(tenant) == [COPY]
    assert playground.cluster.api.call("GET", own)["webhooks"] == webhooks


def test_where_somebody_else_keeps_the_certificate_not_even_those(cluster: Cluster) -> None:
    with Playground.make(cluster, certificates={"mode": "provided"}, **NO_READERS) as playground:
        thief = Impostor.of(playground, "sync")
        own = f"{ADMISSION}/mutatingwebhookconfigurations/{playground.installation.webhook_configuration}"
        for method, body in (("GET", None), ("PATCH", {"webhooks": []}), ("DELETE", None)):
            assert thief.api.request(method, own, body, MERGE).status == 403
