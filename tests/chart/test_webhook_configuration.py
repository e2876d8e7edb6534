from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.chart.rendered import FULLNAME, NAMESPACE, SAMPLE, render

EXCLUDED = ["kube-system", "kube-public", "kube-node-lease"]


PATHS = {"pods": "object.spec.imagePullSecrets", "serviceaccounts": "object.imagePullSecrets"}


def condition(resource: str, names: str) -> str:
    path = PATHS[resource]
    return f'!has({path}) || {names}.exists(name, !({{"name": name}} in {path}))'


@pytest.mark.parametrize(
    ("resource", "operations"), [("pods", ["CREATE"]), ("serviceaccounts", ["CREATE", "UPDATE"])], ids=str
)
def test_each_webhook_is_called_for_its_own_resource_only(resource: str, operations: list[str]) -> None:
    assert render(SAMPLE).webhook(resource) == {
        "name": f"{resource}.pullsecrets.webhook",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "matchPolicy": "Equivalent",
        "reinvocationPolicy": "IfNeeded",
        "timeoutSeconds": 5,
        "failurePolicy": "Ignore",
        "rules": [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "resources": [resource],
                "operations": operations,
                "scope": "Namespaced",
            }
        ],
        "matchConditions": [
            {
                "name": "a-reference-is-missing",
                "expression": condition(resource, '["registry-credentials","vendor-credentials"]'),
            }
        ],
        "clientConfig": {
            "service": {"name": f"{FULLNAME}-webhook", "namespace": NAMESPACE, "path": "/mutate", "port": 443}
        },
        "namespaceSelector": {
            "matchExpressions": [
                {"key": "pullsecrets.webhook/inject", "operator": "In", "values": ["enabled"]},
                {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [*EXCLUDED, NAMESPACE]},
            ]
        },
        "objectSelector": {
            "matchExpressions": [{"key": "pullsecrets.webhook/inject", "operator": "NotIn", "values": ["disabled"]}]
        },
    }


@pytest.mark.parametrize("resource", PATHS)
def test_without_a_pull_secret_the_webhook_is_never_called(resource: str) -> None:
    (only,) = render({"pullSecrets": []}).webhook(resource)["matchConditions"]
    assert only["expression"] == "false"


def test_a_pull_secret_that_no_pod_gets_asks_about_service_accounts_only() -> None:
    never = {"name": "never", "sources": [{"secretName": "harbor"}], "pods": "Never"}
    always = {"name": "always", "sources": [{"secretName": "harbor"}]}
    rendered = render({"pullSecrets": [never, always]})
    found = {resource: rendered.webhook(resource)["matchConditions"][0]["expression"] for resource in PATHS}
    assert found == {
        "pods": condition("pods", '["always"]'),
        "serviceaccounts": condition("serviceaccounts", '["never","always"]'),
    }
    (only,) = render({"pullSecrets": [never]}).webhook("pods")["matchConditions"]
    assert only["expression"] == "false"


def test_there_are_no_other_webhooks() -> None:
    names = [webhook["name"] for webhook in render().one("MutatingWebhookConfiguration")["webhooks"]]
    assert names == ["pods.pullsecrets.webhook", "serviceaccounts.pullsecrets.webhook"]


def test_the_opt_in_label_and_the_excluded_namespaces_come_from_the_values() -> None:
    values = {"optIn": {"label": "example.com/pull", "value": "yes"}, "excludedNamespaces": ["infra", NAMESPACE]}
    webhook = render(values).webhook("pods")
    opt_in, names = webhook["namespaceSelector"]["matchExpressions"]
    assert opt_in == {"key": "example.com/pull", "operator": "In", "values": ["yes"]}
    assert names["values"] == ["infra", NAMESPACE]
    assert webhook["objectSelector"]["matchExpressions"][0]["key"] == "example.com/pull"


def test_in_the_scope_all_the_label_opts_out_and_namespaces_of_kubernetes_stay_excluded() -> None:
    values = {"optIn": {"scope": "All"}, "excludedNamespaces": ["infra", "openshift-*"]}
    for name in ("pods", "serviceaccounts"):
        webhook = render(values).webhook(name)
        opt_out, names = webhook["namespaceSelector"]["matchExpressions"]
        assert opt_out == {"key": "pullsecrets.webhook/inject", "operator": "NotIn", "values": ["disabled"]}
        assert names["values"] == ["infra", "kube-system", "kube-public", "kube-node-lease", NAMESPACE]
        excluded = webhook["matchConditions"][1]
        assert excluded["name"] == "namespace-not-excluded"
        assert excluded["expression"] == '!request.namespace.matches(r"^(?:openshift-.*)$")'


def test_each_webhook_has_a_failure_policy_of_its_own() -> None:
    rendered = render({"webhook": {"failurePolicy": {"pods": "Fail"}, "timeoutSeconds": 2}})
    assert rendered.webhook("pods")["failurePolicy"] == "Fail"
    assert rendered.webhook("serviceaccounts")["failurePolicy"] == "Ignore"
    assert rendered.webhook("pods")["timeoutSeconds"] == 2


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://127.0.0.1:9443", "https://127.0.0.1:9443/mutate"),
        ("https://webhook.example.com/", "https://webhook.example.com/mutate"),
        ("https://[::1]:9443", "https://[::1]:9443/mutate"),
        ("https://gateway.example.com/psw/mutate", "https://gateway.example.com/psw/mutate"),
    ],
)
def test_with_a_url_the_api_server_goes_there_and_not_to_a_service(url: str, expected: str) -> None:
    rendered = render({"webhook": {"url": url}})
    for resource in ("pods", "serviceaccounts"):
        assert rendered.webhook(resource)["clientConfig"] == {"url": expected}


def test_a_provided_bundle_is_set_and_sync_leaves_it_alone() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    rendered = render({"certificates": {"mode": "provided"}, "webhook": {"caBundle": pem}})
    bundle = rendered.webhook("pods")["clientConfig"]["caBundle"]
    assert base64.b64decode(bundle, validate=True).decode() == pem
    arguments: list[Any] = rendered.container("sync")["args"]
    assert not [argument for argument in arguments if argument.startswith(("--tls", "--ca", "--webhook"))]


@pytest.mark.parametrize("resource", PATHS)
@pytest.mark.parametrize("which", ["namespaceSelector", "objectSelector"])
def test_selectors_of_ones_own_narrow_and_never_widen(resource: str, which: str) -> None:
    expression = {"key": "tier", "operator": "NotIn", "values": ["legacy"]}
    own = {"matchLabels": {"team": "a"}, "matchExpressions": [expression]}
    before = render(SAMPLE).webhook(resource)[which]
    after = render({**SAMPLE, "webhook": {which: own}}).webhook(resource)[which]
    assert after == {
        "matchLabels": {"team": "a"},
        "matchExpressions": [*before["matchExpressions"], expression],
    }


@pytest.mark.parametrize("resource", PATHS)
def test_conditions_of_ones_own_come_beside_the_charts(resource: str) -> None:
    own = {"name": "not-by-a-robot", "expression": "request.userInfo.username != 'robot'"}
    before = render(SAMPLE).webhook(resource)["matchConditions"]
    after = render({**SAMPLE, "webhook": {"matchConditions": [own]}}).webhook(resource)["matchConditions"]
    assert after == [*before, own]


def test_the_api_server_may_be_told_to_ask_once_only() -> None:
    rendered = render({"webhook": {"reinvocationPolicy": "Never"}})
    assert {rendered.webhook(resource)["reinvocationPolicy"] for resource in PATHS} == {"Never"}
