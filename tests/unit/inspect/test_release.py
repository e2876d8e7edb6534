"""Which release is meant: found by its webhook configuration, or by what a person says of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.fake_apiserver.faults import Answer
from tests.unit.fake_apiserver.server import FakeApiServer
from webhook.errors import ConfigurationAbsent, UsageError
from webhook.files.values import CHART
from webhook.inspect.explain_input import registration_of
from webhook.inspect.reader import Reader
from webhook.inspect.release import ReleaseQuery, find_release, likely_fullnames
from webhook.kube.client import Client
from webhook.rules.configuration import Configuration, PullSecret
from webhook.rules.ownership import copy_labels

DOCUMENT = """\
apiVersion: pullsecrets.webhook/v1alpha1
kind: Configuration
pullSecrets:
  - name: registry
    sources: [{secretName: harbor}]
"""
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
INSTANCE = "app.kubernetes.io/instance"
OTHER = Configuration((PullSecret("other", ("x",)),))


def service(namespace: str, name: str) -> dict[str, Any]:
    return {"service": {"namespace": namespace, "name": f"{name}-webhook", "path": "/mutate"}}


def put_release(
    api: FakeApiServer,
    name: str,
    namespace: str,
    client_config: dict[str, Any] | None = None,
    annotations: dict[str, str] | None = None,
    document: str = DOCUMENT,
) -> None:
    """Install a release, as far as it is looked for."""
    webhook = {
        "name": "pods.pullsecrets.webhook",
        "clientConfig": client_config or service(namespace, name),
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
        "namespaceSelector": {
            "matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", namespace]}
            ]
        },
    }
    labels = {"labels": {INSTANCE: name}}
    api.put(
        f"{CONFIGURATIONS}/{name}", {"metadata": {**labels, "annotations": annotations or {}}, "webhooks": [webhook]}
    )
    api.put(
        f"/api/v1/namespaces/{namespace}/configmaps/{name}", {"metadata": labels, "data": {"config.yaml": document}}
    )


def found(client: Client, **wanted: Any) -> tuple[str, str]:  # noqa: ANN401 - of ReleaseQuery
    release = find_release(Reader(client), ReleaseQuery(**wanted)).release
    return release.name, release.namespace


def refusal(client: Client, **wanted: Any) -> str:  # noqa: ANN401 - of ReleaseQuery
    with pytest.raises(UsageError) as refused:
        find_release(Reader(client), ReleaseQuery(**wanted))
    return str(refused.value)


def test_the_only_release_is_found_by_itself(api: FakeApiServer, client: Client) -> None:
    put_release(api, "psw", "pull-secrets")
    api.put(
        f"{CONFIGURATIONS}/other", {"webhooks": [{"name": "pods.example.com", "clientConfig": {"url": "https://x"}}]}
    )
    installed = find_release(Reader(client), ReleaseQuery())
    assert (installed.release.name, installed.release.namespace, installed.fullname) == ("psw", "pull-secrets", "psw")
    assert installed.configuration.secret_names == ("registry",)
    assert "pull-secrets" in installed.configuration.excluded_namespaces
    assert installed.running == installed.configuration


def test_with_a_url_its_namespace_is_one_of_the_excluded(api: FakeApiServer, client: Client) -> None:
    put_release(api, "psw", "pull-secrets", {"url": "https://127.0.0.1:1/mutate"})
    assert found(client) == ("psw", "pull-secrets")


def test_what_helm_has_noted_goes_before(api: FakeApiServer, client: Client) -> None:
    noted = {"meta.helm.sh/release-namespace": "noted"}
    put_release(api, "psw", "noted", service("elsewhere", "psw"), noted)
    assert found(client) == ("psw", "noted")


def test_of_several_one_has_to_be_chosen(api: FakeApiServer, client: Client) -> None:
    put_release(api, "first", "one")
    put_release(api, "second", "two")
    assert refusal(client) == (
        "there is more than one release: first in one and second in two; choose with --release and --release-namespace"
    )
    assert found(client, name="second") == ("second", "two")
    assert found(client, namespace="one") == ("first", "one")
    assert refusal(client, name="third") == (
        "there is no release third in this cluster, but first and second: choose with --release"
    )


def test_another_configuration_is_judged_by_and_the_running_one_is_known(api: FakeApiServer, client: Client) -> None:
    put_release(api, "psw", "pull-secrets")
    installed = find_release(Reader(client), ReleaseQuery(configuration=OTHER))
    assert installed.configuration.secret_names == ("other",)
    assert installed.running is not None
    assert installed.running.secret_names == ("registry",)


def test_a_release_that_has_lost_its_webhook_is_found_by_its_configuration(api: FakeApiServer, client: Client) -> None:
    put_release(api, "psw", "pull-secrets")
    api.remove(f"{CONFIGURATIONS}/psw")
    installed = find_release(Reader(client), ReleaseQuery())
    assert (installed.release.name, installed.release.namespace, installed.fullname) == ("psw", "pull-secrets", "psw")
    assert found(client, namespace="pull-secrets", name="psw") == ("psw", "pull-secrets")
    assert refusal(client, namespace="elsewhere") == (
        "no release of pull-secret-webhook was found in namespace elsewhere: check --context, install the chart, or "
        "name it with --release and --release-namespace"
    )
    registration = registration_of(Reader(client), installed)
    assert registration is not None
    assert registration.hooks == ()


def test_the_lost_webhook_has_the_name_of_the_objects_and_not_of_the_release(
    api: FakeApiServer, client: Client
) -> None:
    metadata = {"labels": {INSTANCE: "psw", "app.kubernetes.io/name": CHART}}
    path = f"/api/v1/namespaces/pull-secrets/configmaps/psw-{CHART}"
    api.put(path, {"metadata": metadata, "data": {"config.yaml": DOCUMENT}})
    registration = registration_of(Reader(client), find_release(Reader(client), ReleaseQuery()))
    assert registration is not None
    assert registration.name == f"psw-{CHART}"


def refuse(api: FakeApiServer, *plurals: str) -> None:
    """Take away the right to list each of these kinds in all namespaces, and to get the cluster-wide ones."""
    for plural in plurals:
        api.inject(Answer(403), "list", plural=plural, times=None)
        api.inject(Answer(403), "get", plural=plural, times=None)


def test_without_the_right_to_list_webhook_configurations_the_usual_name_is_tried(
    api: FakeApiServer, client: Client
) -> None:
    put_release(api, "pull-secret-webhook", "pull-secrets")
    api.inject(Answer(403), "list", plural="mutatingwebhookconfigurations", times=None)
    reader = Reader(client)
    installed = find_release(reader, ReleaseQuery())
    assert (installed.release.name, installed.release.namespace) == ("pull-secret-webhook", "pull-secrets")
    assert installed.webhook is not None
    assert reader.missing == {}


def test_a_copy_in_the_namespace_leads_to_its_release(api: FakeApiServer, client: Client) -> None:
    put_release(api, "psw", "pull-secrets")
    refuse(api, "mutatingwebhookconfigurations", "configmaps", "serviceaccounts", "deployments")
    labels = copy_labels("psw", "pull-secrets", "uid")
    api.put("/api/v1/namespaces/team-a/secrets/registry", {"metadata": {"labels": labels}})
    reader = Reader(client)
    installed = find_release(reader, ReleaseQuery(configuration=OTHER, near=("team-a",)))
    assert (installed.release.name, installed.release.namespace) == ("psw", "pull-secrets")
    assert "cannot be read with your rights: give a configuration with --config, if the" in refusal(
        client, near=("team-a",)
    )


def test_without_any_right_the_sentence_says_what_to_give(api: FakeApiServer, client: Client) -> None:
    put_release(api, "psw", "pull-secrets")
    refuse(api, "mutatingwebhookconfigurations", "configmaps", "serviceaccounts", "deployments", "secrets")
    assert refusal(client, near=("team-a",)) == (
        "no release of pull-secret-webhook was found in this cluster, because you lack the right to list "
        "mutatingwebhookconfigurations: name it with --release and --release-namespace, and give a configuration "
        "with --config, if the command has this flag"
    )
    reader = Reader(client)
    installed = find_release(reader, ReleaseQuery("pull-secrets", "psw", OTHER))
    assert (installed.release.name, installed.webhook) == ("psw", None)
    assert registration_of(reader, installed) is None


def test_an_installation_without_webhook_and_configuration_is_named(api: FakeApiServer, client: Client) -> None:
    labels = {"labels": {INSTANCE: "psw", "app.kubernetes.io/name": "pull-secret-webhook"}}
    api.put("/api/v1/namespaces/pull-secrets/serviceaccounts/psw-sync", {"metadata": labels})
    with pytest.raises(ConfigurationAbsent, match=r"ConfigMap pull-secrets/psw of release psw does not exist"):
        find_release(Reader(client), ReleaseQuery())


def test_a_configuration_that_is_not_valid_is_told_with_its_place(api: FakeApiServer, client: Client) -> None:
    put_release(api, "psw", "pull-secrets", document=DOCUMENT.replace("sources", "source"))
    assert "ConfigMap pull-secrets/psw: the configuration has" in refusal(client)


WITHOUT_CERTIFICATE = "because Secret pull-secrets/psw-tls with the certificate does not exist"


@pytest.mark.parametrize(
    ("endpoints", "answers", "message"),
    [
        ([{"conditions": {"ready": True}}, {"conditions": {}}], True, "leads to 2 ready replicas"),
        ([{"conditions": {"ready": False}}, {}], True, "leads to 1 ready replica"),
        ([{"conditions": {"ready": False}}], False, f"leads to no ready replica, {WITHOUT_CERTIFICATE}"),
        (None, False, f"leads to no ready replica, {WITHOUT_CERTIFICATE}"),
    ],
)
def test_a_service_reaches_the_replicas_that_are_ready(
    api: FakeApiServer, client: Client, endpoints: list[dict[str, Any]] | None, answers: bool, message: str
) -> None:
    put_release(api, "psw", "pull-secrets")
    labels = {"labels": {"kubernetes.io/service-name": "psw-webhook"}}
    path = "/apis/discovery.k8s.io/v1/namespaces/pull-secrets/endpointslices/psw-1"
    api.put(path, {"metadata": labels, "endpoints": endpoints})
    reader = Reader(client)
    registration = registration_of(reader, find_release(reader, ReleaseQuery()))
    assert registration is not None
    assert (registration.reach.answers, registration.reach.message) == (
        answers,
        f"Service pull-secrets/psw-webhook {message}",
    )


def test_a_replica_with_two_addresses_is_one(api: FakeApiServer, client: Client) -> None:
    put_release(api, "psw", "pull-secrets")
    labels = {"labels": {"kubernetes.io/service-name": "psw-webhook"}}
    place = "/apis/discovery.k8s.io/v1/namespaces/pull-secrets/endpointslices"
    for family in ("IPv4", "IPv6"):
        body: dict[str, Any] = {"metadata": labels, "addressType": family, "endpoints": [{}, {}]}
        api.put(f"{place}/psw-{family.lower()}", body)
    reader = Reader(client)
    registration = registration_of(reader, find_release(reader, ReleaseQuery()))
    assert registration is not None
    assert registration.reach.message == "Service pull-secrets/psw-webhook leads to 2 ready replicas"


def test_replicas_that_may_not_be_seen_are_not_said_to_be_away(api: FakeApiServer, client: Client) -> None:
    put_release(api, "psw", "pull-secrets")
    api.inject(Answer(403), "list", plural="endpointslices", times=None)
    reader = Reader(client)
    registration = registration_of(reader, find_release(reader, ReleaseQuery()))
    assert registration is not None
    assert registration.reach.answers is None
    assert "you lack the right to list endpointslices in namespace pull-secrets" in reader.missing


def test_a_release_without_its_config_map_is_named_with_the_way_to_bring_it_back(
    api: FakeApiServer, client: Client
) -> None:
    put_release(api, "psw", "pull-secrets")
    api.remove("/api/v1/namespaces/pull-secrets/configmaps/psw")
    with pytest.raises(
        ConfigurationAbsent, match=r"ConfigMap pull-secrets/psw .* does not exist: .*helm get manifest psw"
    ):
        find_release(Reader(client), ReleaseQuery())
    assert find_release(Reader(client), ReleaseQuery(configuration=OTHER)).running is None


@pytest.mark.parametrize("has_webhook", [True, False])
def test_a_config_map_without_the_document_is_no_missing_right(
    api: FakeApiServer, client: Client, has_webhook: bool
) -> None:
    put_release(api, "psw", "pull-secrets")
    path = "/api/v1/namespaces/pull-secrets"
    api.remove(f"{path}/configmaps/psw")
    labels = {"labels": {INSTANCE: "psw", "app.kubernetes.io/name": CHART}}
    api.put(f"{path}/configmaps/psw", {"metadata": labels, "data": {"other": "x"}})
    api.put(f"{path}/serviceaccounts/psw-sync", {"metadata": labels})
    if not has_webhook:
        api.remove(f"{CONFIGURATIONS}/psw")
    with pytest.raises(ConfigurationAbsent, match=r"ConfigMap pull-secrets/psw of release psw has no config\.yaml: "):
        find_release(Reader(client), ReleaseQuery())


@pytest.mark.parametrize(
    ("release", "chart", "expected"),
    [
        ("psw", CHART, "psw-pull-secret-webhook"),
        ("my-pull-secret-webhook", CHART, "my-pull-secret-webhook"),
        ("psw", "psw", "psw"),
        ("psw", "secrets", "psw-secrets"),
        ("a" * 54, CHART, "a" * 54),
        ("a" * 40, CHART, f"{'a' * 40}-pull-secret-we"),
    ],
)
def test_the_usual_name_of_the_objects_is_the_one_of_the_chart(release: str, chart: str, expected: str) -> None:
    assert likely_fullnames(release, chart)[0] == expected
