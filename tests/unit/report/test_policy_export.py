from __future__ import annotations

from typing import Any

import pytest

from webhook.report.policy_export import guards, manifests
from webhook.rules.configuration import Configuration, NameFilter, OptIn, PodPolicy, PullSecret, Scope
from webhook.rules.labels import Operator, Requirement, Selector

PLAIN = PullSecret("registry-credentials", ("harbor",))


def spec(kind: str, resource: str, *entries: PullSecret, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 (fields of a configuration)
    (found,) = (
        manifest["spec"]
        for manifest in manifests(Configuration(entries, **fields), "psw")
        if (manifest["kind"], manifest["metadata"]["name"]) == (kind, f"psw-{resource}")
    )
    assert isinstance(found, dict)
    return found


def policy(resource: str, *entries: PullSecret, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 (as above)
    return spec("MutatingAdmissionPolicy", resource, *entries, **fields)


def variables(resource: str, *entries: PullSecret, **fields: Any) -> dict[str, str]:  # noqa: ANN401 (as above)
    return {each["name"]: each["expression"] for each in policy(resource, *entries, **fields)["variables"]}


@pytest.mark.parametrize("resource", ["pods", "serviceaccounts"])
def test_each_policy_has_its_binding(resource: str) -> None:
    assert spec("MutatingAdmissionPolicyBinding", resource, PLAIN) == {"policyName": f"psw-{resource}"}


def test_pods_are_patched_when_they_are_created_and_service_accounts_when_they_are_updated_too() -> None:
    (rule,) = policy("pods", PLAIN)["matchConstraints"]["resourceRules"]
    assert (rule["resources"], rule["operations"]) == (["pods"], ["CREATE"])
    (rule,) = policy("serviceaccounts", PLAIN)["matchConstraints"]["resourceRules"]
    assert (rule["resources"], rule["operations"]) == (["serviceaccounts"], ["CREATE", "UPDATE"])


def test_a_policy_never_blocks_anyone_and_is_asked_again() -> None:
    found = policy("pods", PLAIN)
    assert (found["failurePolicy"], found["reinvocationPolicy"]) == ("Ignore", "IfNeeded")


def test_namespaces_are_chosen_by_the_opt_in_label_and_by_name() -> None:
    opt_in = OptIn("example.com/inject", "yes")
    found = policy("pods", PLAIN, opt_in=opt_in, excluded_namespaces=frozenset({"b", "a"}))["matchConstraints"]
    assert found["namespaceSelector"]["matchExpressions"] == [
        {"key": "example.com/inject", "operator": "In", "values": ["yes"]},
        {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["a", "b"]},
    ]
    assert found["objectSelector"]["matchExpressions"] == [
        {"key": "example.com/inject", "operator": "NotIn", "values": ["disabled"]}
    ]


def test_every_namespace_that_does_not_opt_out_and_matches_no_pattern_is_chosen_in_the_scope_all() -> None:
    fields = {"opt_in": OptIn(scope=Scope.ALL), "excluded_patterns": ("openshift-*", "x?")}
    chosen = policy("pods", PLAIN, **fields)["matchConstraints"]["namespaceSelector"]["matchExpressions"]
    assert chosen[0] == {"key": "pullsecrets.webhook/inject", "operator": "NotIn", "values": ["disabled"]}
    for resource in ("pods", "serviceaccounts"):
        conditions = {each["name"]: each["expression"] for each in policy(resource, PLAIN, **fields)["matchConditions"]}
        assert conditions["namespace-not-excluded"] == '!request.namespace.matches(r"^(?:openshift\\-.*|x.)$")'


def test_where_no_namespace_is_excluded_no_name_is_asked_for() -> None:
    found = policy("pods", PLAIN, excluded_namespaces=frozenset())["matchConstraints"]["namespaceSelector"]
    assert [each["key"] for each in found["matchExpressions"]] == ["pullsecrets.webhook/inject"]


def test_a_plain_configuration_needs_no_more_than_the_names() -> None:
    assert variables("serviceaccounts", PLAIN) == {
        "held": 'object.?imagePullSecrets.orValue([]).map(each, each.?name.orValue(""))',
        "missing": '[\n  "registry-credentials"\n].filter(name, name != "" && !(name in variables.held))',
    }


def test_what_a_pull_secret_depends_on_is_a_condition_of_its_own() -> None:
    selector = Selector((Requirement("team", Operator.NOT_IN, ("a", "")), Requirement("x", Operator.EXISTS)))
    entry = PullSecret(
        "ghcr",
        ("ghcr",),
        selector,
        NameFilter(("ci-*",), ("ci-x",)),
        PodPolicy.WHEN_IMAGE_MATCHES,
        ("ghcr.io",),
        (("team-*",), ("*",)),
    )
    found = variables("pods", PLAIN, entry, opt_in=OptIn(may_decline=True))
    assert list(found) == ["labels", "declined", "account", "repositories", "held", "missing"]
    first, second = found["missing"].splitlines()[1:3]
    assert first == '  (!("registry-credentials" in variables.declined)) ? "registry-credentials" : "",'
    assert second.removeprefix("  (").removesuffix(') ? "ghcr" : ""').split(") && (") == [
        '!("team" in variables.labels && variables.labels["team"] in ["a", ""])',
        '"x" in variables.labels',
        r'request.namespace.matches(r"^(?:team\-.*)$")',
        '!("ghcr" in variables.declined)',
        r'variables.account.matches(r"^(?:ci\-.*)$")',
        r'!variables.account.matches(r"^(?:ci\-x)$")',
        r'variables.repositories.exists(name, name.matches(r"^(?:(?:ghcr\.io))(?:/|$)"))',
    ]


def test_images_are_not_looked_at_for_service_accounts() -> None:
    entry = PullSecret("ghcr", ("ghcr",), pods=PodPolicy.WHEN_IMAGE_MATCHES, registries=("ghcr.io",))
    assert "repositories" not in variables("serviceaccounts", entry)


def test_a_pull_secret_that_pods_never_get_is_in_no_policy_for_pods() -> None:
    never = PullSecret("ghcr", ("ghcr",), pods=PodPolicy.NEVER)
    assert "ghcr" not in str(policy("pods", PLAIN, never))
    assert {each["metadata"]["name"] for each in manifests(Configuration((never,)), "psw")} == {"psw-serviceaccounts"}


def test_without_pull_secrets_there_are_no_policies() -> None:
    assert manifests(Configuration(()), "psw") == []


def test_an_object_that_is_no_policy_is_not_a_guard() -> None:
    policy = {"kind": "ValidatingAdmissionPolicy", "metadata": {"labels": {"app.kubernetes.io/component": "guard"}}}
    whole = {**policy, "spec": {}}
    strange = {**whole, "metadata": {"labels": ["app.kubernetes.io/component"]}}
    assert guards([policy, whole, strange, {**policy, "spec": None}]) == [whole]
