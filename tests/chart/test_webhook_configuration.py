from __future__ import annotations

import pytest

from tests.chart.rendered import NAMESPACE, SAMPLE, render

PATHS = {"pods": "object.spec.imagePullSecrets", "serviceaccounts": "object.imagePullSecrets"}


def condition(resource: str, names: str) -> str:
    path = PATHS[resource]
    return f'!has({path}) || {names}.exists(name, !({{"name": name}} in {path}))'


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


def test_the_api_server_may_be_told_to_ask_once_only() -> None:
    rendered = render({"webhook": {"reinvocationPolicy": "Never"}})
    assert {rendered.webhook(resource)["reinvocationPolicy"] for resource in PATHS} == {"Never"}
