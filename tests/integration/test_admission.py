"""What a tenant sees: the references are in the very answer of the API server to the create call."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.integration.site.playground import COPY, Playground, eventually, names, pod, service_account
from tests.integration.site.playground import Playground as _Playground


@pytest.fixture(scope="module")
def selected(shared: _Playground) -> str:
    """A namespace that has opted in before anything is created in it."""
    namespace = shared.namespace(selected=True)
    shared.await_selected(namespace, "first")
    shared.await_injection(namespace)
    return namespace


def test_a_pod_of_a_labelled_namespace_carries_the_reference(shared: Playground, selected: str) -> None:
    assert names(shared.create(selected, "pods", pod("plain"))["spec"]) == [COPY]


def test_a_service_account_of_a_labelled_namespace_carries_the_reference(shared: Playground, selected: str) -> None:
    assert names(shared.create(selected, "serviceaccounts", service_account("builder"))) == [COPY]


def test_objects_of_an_unlabelled_namespace_are_untouched(shared: Playground) -> None:
    namespace = shared.namespace(selected=False)
    assert names(shared.create(namespace, "pods", pod("plain"))["spec"]) == []
    assert names(shared.create(namespace, "serviceaccounts", service_account("builder"))) == []


def test_entries_that_are_there_stay_and_keep_their_order(shared: Playground, selected: str) -> None:
    theirs = [{"name": "one"}, {"name": "two"}]
    created = shared.create(selected, "pods", pod("with-theirs", imagePullSecrets=theirs))
    assert names(created["spec"]) == ["one", "two", COPY]
    account = shared.create(selected, "serviceaccounts", service_account("with-theirs", imagePullSecrets=theirs))
    assert names(account) == ["one", "two", COPY]


def test_a_pod_that_references_the_secret_already_is_left_as_it_is(shared: Playground, selected: str) -> None:
    created = shared.create(selected, "pods", pod("has-it", imagePullSecrets=[{"name": COPY}, {"name": "one"}]))
    assert names(created["spec"]) == [COPY, "one"]


def test_a_dry_run_is_answered_alike_and_leaves_nothing_behind(shared: Playground, selected: str) -> None:
    account = shared.create(selected, "serviceaccounts", service_account("rehearsal"), "?dryRun=All")
    assert names(account) == [COPY]
    assert names(shared.create(selected, "pods", pod("rehearsal"), "?dryRun=All")["spec"]) == [COPY]
    assert shared.get(selected, "serviceaccounts", "rehearsal") is None
    assert shared.get(selected, "pods", "rehearsal") is None


def test_an_object_with_the_label_disabled_opts_out_alone(shared: Playground, selected: str) -> None:
    account = service_account("hands-off")
    account["metadata"]["labels"] = {shared.label: "disabled"}
    assert names(shared.create(selected, "serviceaccounts", account)) == []


def test_an_updated_service_account_that_lost_the_reference_gets_it_back_in_the_answer(
    shared: Playground, selected: str
) -> None:
    shared.create(selected, "serviceaccounts", service_account("updated"))
    path = f"/api/v1/namespaces/{selected}/serviceaccounts/updated"
    emptied = shared.cluster.api.json_patch(path, [{"op": "remove", "path": "/imagePullSecrets"}])
    assert names(emptied) == [COPY]


def test_the_audit_log_tells_the_reason_and_the_names_and_no_call_failed_open(
    shared: Playground, selected: str
) -> None:
    # A Pod without a list gets its ServiceAccount's before any webhook is asked: nothing would be left to inject.
    shared.create(selected, "pods", pod("audited", imagePullSecrets=[{"name": "theirs"}]))
    webhook = "pods.pullsecrets.webhook"

    def annotations() -> list[dict[str, str]]:
        return [
            event.get("annotations", {})
            for event in shared.cluster.audit_events()
            if (about := event.get("objectRef", {})).get("resource") == "pods" and about.get("namespace") == selected
        ]

    found = eventually(
        annotations,
        lambda seen: any(each.get(f"{webhook}/reason") == "injected" for each in seen),
    )
    assert any(each.get(f"{webhook}/names") == COPY for each in found)
    assert not any(key.startswith("failed-open") for each in found for key in each)


def test_the_webhook_is_not_asked_about_an_object_that_has_every_reference(shared: Playground, selected: str) -> None:
    eventually(lambda: names(shared.get(selected, "serviceaccounts", "default") or {}), lambda seen: seen == [COPY])
    numbers = itertools.count()

    def is_asked() -> bool:
        name = f"complete-{next(numbers)}"
        shared.create(selected, "pods", pod(name))
        event = eventually(lambda: created(name))
        return any(key.startswith("pods.pullsecrets.webhook") for key in (event or {}).get("annotations", {}))

    def created(name: str) -> dict[str, Any] | None:
        about = ({**event.get("objectRef", {}), **event} for event in shared.cluster.audit_events())
        return next((event for event in about if (event.get("namespace"), event.get("name")) == (selected, name)), None)

    # The API server gives a Pod the list of its ServiceAccount, of which it learns by a watch.
    eventually(lambda: not is_asked())
