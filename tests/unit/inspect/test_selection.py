"""All objects of a kind: each is explained as if it were named, and what they share is read once."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.unit.fake_apiserver.faults import Answer
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.inspect.test_release import put_release
from webhook.errors import UsageError
from webhook.inspect.explain_input import explain_live
from webhook.inspect.reader import FEW, Reader
from webhook.inspect.release import ReleaseQuery, find_release
from webhook.inspect.selection import Selection, explain_selection
from webhook.kube.client import Client
from webhook.report.explain.selected import Explanations

OPTED_IN = {"pullsecrets.webhook/inject": "enabled"}
TEMPLATE = {"containers": [{"name": "app", "image": "registry.example.com/app:1"}]}


def put_namespace(api: FakeApiServer, name: str, *, selected: bool = True) -> None:
    """Create a namespace with a Pod, a Deployment of it, and a ServiceAccount, none of which has a reference."""
    api.put(f"/api/v1/namespaces/{name}", {"metadata": {"labels": OPTED_IN if selected else {}}})
    place = f"/namespaces/{name}"
    api.put(f"/api/v1{place}/pods/web", {"metadata": {"labels": {"app": "web"}}, "spec": TEMPLATE})
    api.put(f"/api/v1{place}/serviceaccounts/default", {})
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": {"spec": TEMPLATE}}
    api.put(f"/apis/apps/v1{place}/deployments/web", {"spec": spec})


def explained(client: Client, kind: str, namespace: str = "", selector: str = "") -> Explanations:
    reader = Reader(client)
    return explain_selection(reader, find_release(reader, ReleaseQuery()), Selection(kind, namespace, selector))


@pytest.fixture
def release(api: FakeApiServer) -> None:
    put_release(api, "psw", "pull-secrets")


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize("kind", ["Pod", "ServiceAccount", "Deployment", "Namespace"])
@pytest.mark.parametrize("namespaces", [2, FEW + 4], ids=["few", "many"])
def test_each_object_is_explained_as_if_it_were_named(
    api: FakeApiServer, client: Client, kind: str, namespaces: int
) -> None:
    for number in range(namespaces):
        put_namespace(api, f"team-{number}", selected=number != 1)
    found = explained(client, kind).explanations
    assert len(found) == namespaces
    assert found[-1].namespace == "team-1"  # the others need attention
    for each in found:
        reader, name = Reader(client), each.title.partition("/")[2]
        alone = explain_live(reader, find_release(reader, ReleaseQuery()), kind, name, each.namespace)
        assert each == alone


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize("kind", ["Pod", "ServiceAccount", "Deployment"])
def test_the_number_of_requests_does_not_depend_on_the_number_of_objects(
    api: FakeApiServer, client: Client, kind: str
) -> None:
    counts = []
    for wanted in (FEW + 2, FEW + 20):
        for number in range(wanted):
            put_namespace(api, f"team-{number}")
        api.requests.clear()
        assert len(explained(client, kind).needing_attention) == wanted
        counts.append(Counter((one.verb, one.target.plural) for one in api.requests))
    assert counts[0] == counts[1]


@pytest.mark.usefixtures("release")
def test_in_one_namespace_only_that_one_is_read(api: FakeApiServer, client: Client) -> None:
    for number in range(FEW + 2):
        put_namespace(api, f"team-{number}")
    found = explained(client, "Pod", "team-3")
    assert [(each.namespace, each.title) for each in found.explanations] == [("team-3", "Pod/web")]
    assert api.seen("list", plural="namespaces") == []
    assert {one.target.namespace for one in api.seen("list", plural="pods")} == {"team-3"}


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize(
    ("plural", "namespace", "message"),
    [
        (
            "pods",
            "team-0",
            (
                "you lack the right to list pods in namespace team-0: ask for it, or name one object. "
                "Next: kubectl auth can-i list pods -n team-0"
            ),
        ),
        (
            "pods",
            "",
            "you lack the right to list pods: ask for it, or name one object. Next: kubectl auth can-i list pods -A",
        ),
        (
            "namespaces",
            "",
            (
                "you lack the right to list namespaces: ask for it, or name one object. "
                "Next: kubectl auth can-i list namespaces"
            ),
        ),
    ],
)
def test_a_list_that_is_forbidden_names_the_missing_right(
    api: FakeApiServer, client: Client, plural: str, namespace: str, message: str
) -> None:
    put_namespace(api, "team-0")
    api.inject(Answer(403), "list", plural=plural, times=None)
    with pytest.raises(UsageError) as refused:
        explained(client, "Pod", namespace)
    assert str(refused.value) == message


@pytest.mark.usefixtures("release")
def test_a_selector_that_is_wrong_and_one_that_selects_nothing_are_errors(api: FakeApiServer, client: Client) -> None:
    api.put("/api/v1/namespaces/empty")
    with pytest.raises(UsageError) as refused:
        explained(client, "Pod", "empty", "app=x")
    assert str(refused.value) == ("-l app=x selects no Pod; list their labels: kubectl get pods -n empty --show-labels")
    api.inject(Answer(400), "list", plural="pods", times=None)
    with pytest.raises(UsageError) as refused:
        explained(client, "Pod", "empty", "app=")
    assert str(refused.value).startswith("-l app= is not a label selector")


@pytest.mark.usefixtures("release")
def test_an_empty_namespace_has_nothing_that_needs_attention(api: FakeApiServer, client: Client) -> None:
    api.put("/api/v1/namespaces/empty")
    assert explained(client, "Pod", "empty").summary() == "0 of 0 Pods need attention"
    with pytest.raises(UsageError, match="namespace absent does not exist"):
        explained(client, "Pod", "absent")


@pytest.mark.usefixtures("release")
def test_copies_that_must_not_be_listed_are_unknown_and_reported(api: FakeApiServer, client: Client) -> None:
    for number in range(FEW + 1):
        put_namespace(api, f"team-{number}")
        reference = {"imagePullSecrets": [{"name": "registry"}]}
        api.put(f"/api/v1/namespaces/team-{number}/serviceaccounts/default", reference)
    api.inject(Answer(403), "list", plural="secrets", times=None)
    reader = Reader(client)
    found = explain_selection(reader, find_release(reader, ReleaseQuery()), Selection("ServiceAccount"))
    assert {step.reason for each in found.explanations for step in each.steps if step.gate == "copy"} == {
        "copy-not-seen"
    }
    assert "you lack the right to list secrets named registry across namespaces" in reader.missing
