"""Sources that may not go everywhere, and namespaces that decline: on the real API server, with both processes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.site.playground import COPY, SOURCE, Playground, eventually, names, pod, service_account

OTHER = "other-credentials"
DECLINE = "pullsecrets.webhook/decline"


@pytest.fixture
def both(playground: Callable[..., Playground]) -> Playground:
    """An installation with two pull secrets, of which a namespace may decline each."""
    entries = [{"name": name, "sources": [{"secretName": SOURCE}]} for name in (COPY, OTHER)]
    made = playground(pullSecrets=entries)
    made.installation.set_configuration(optIn={"label": made.label, "mayDecline": True})
    made.set_source("first")
    made.start()
    return made


def annotate(playground: Playground, namespace: str, value: str | None) -> None:
    body = {"metadata": {"annotations": {DECLINE: value}}}
    playground.cluster.api.call("PATCH", f"/api/v1/namespaces/{namespace}", body, "application/merge-patch+json")


def has(playground: Playground, namespace: str) -> tuple[list[str], list[str]]:
    """Return which of the two copies are there, and which of them the default ServiceAccount references."""
    copies = [name for name in (COPY, OTHER) if playground.get(namespace, "secrets", name) is not None]
    return copies, playground.references(namespace) or []


def await_both(playground: Playground, namespace: str) -> None:
    eventually(lambda: has(playground, namespace), lambda seen: seen == ([COPY, OTHER], [COPY, OTHER]))


def created(playground: Playground, namespace: str) -> list[list[str]]:
    """Return the references of a ServiceAccount and of a Pod with a list of its own that are created by dry run."""
    account = playground.create(namespace, "serviceaccounts", service_account("new"), "?dryRun=All")
    made = playground.create(namespace, "pods", pod("new", imagePullSecrets=[{"name": "mine"}]), "?dryRun=All")
    return [names(account), names(made["spec"])]


def test_a_namespace_declines_one_gets_the_other_and_may_change_its_mind(both: Playground) -> None:
    tenant = both.namespace(selected=True)
    await_both(both, tenant)

    annotate(both, tenant, f" {COPY} ,no-such")

    eventually(lambda: has(both, tenant), lambda seen: seen == ([OTHER], [OTHER]))
    eventually(lambda: created(both, tenant), lambda seen: seen == [[OTHER], ["mine", OTHER]])

    annotate(both, tenant, None)

    eventually(lambda: has(both, tenant), lambda seen: seen == ([COPY, OTHER], [OTHER, COPY]))
    eventually(lambda: created(both, tenant), lambda seen: seen == [[COPY, OTHER], ["mine", COPY, OTHER]])


def test_a_source_goes_to_no_namespace_that_it_is_not_for(both: Playground) -> None:
    tenant, other = both.namespace(selected=True), both.namespace(selected=True)
    for namespace in (tenant, other):
        await_both(both, namespace)

    limited = {"secretName": SOURCE, "namespaces": [f"{tenant[:-1]}?", "team-*"]}
    both.installation.set_configuration(
        pullSecrets=[{"name": COPY, "sources": [limited]}, {"name": OTHER, "sources": [{"secretName": SOURCE}]}]
    )

    eventually(lambda: has(both, other), lambda seen: seen == ([OTHER], [OTHER]))
    eventually(lambda: created(both, other), lambda seen: seen == [[OTHER], ["mine", OTHER]])
    assert has(both, tenant) == ([COPY, OTHER], [COPY, OTHER])
