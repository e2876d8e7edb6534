"""The rights that the chart grants, exactly: security is a feature here."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.rendered import FULLNAME, NAMESPACE, READERS, SAMPLE, render
from tests.cluster.helm import HelmFailed

POLICY = "ValidatingAdmissionPolicy"
SYNC = {"namespaces", "serviceaccounts", "events"}
"""The kinds that sync and cleanup may also write without a name."""
WITHOUT_CREDENTIALS = {
    *SYNC,
    "mutatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "subjectaccessreviews",
    "pods",
}
"""The kinds that an identity may read or review without a name."""
READ = ["get", "list", "watch"]
COPIES = ["registry-credentials", "vendor-credentials", "old-credentials"]
PROVIDED: dict[str, Any] = {
    "certificates": {"mode": "provided"},
    "webhook": {"caBundle": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"},
}
CERT_MANAGER: dict[str, Any] = {"certificates": {"mode": "cert-manager"}}
ALL_KINDS_OF_VALUES: list[dict[str, Any]] = [
    {},
    dict(SAMPLE),
    {"retired": ["old-credentials"]},
    {"pullSecrets": SAMPLE["pullSecrets"]},
    {**SAMPLE, **PROVIDED},
    {**SAMPLE, **CERT_MANAGER},
    {**SAMPLE, "deployments": {"enabled": False}, "webhook": {"url": "https://127.0.0.1:9443"}},
    {
        "pullSecrets": [
            {
                "name": "registry-credentials",
                "sources": [{"secretName": "harbor"}],
                "rollout": {
                    "prove": {"imagesFromPods": True},
                    "canary": {"namespaces": ["test", "staging-*"], "watchPods": True},
                },
            }
        ]
    },
]


def core(resource: str, verbs: list[str], names: list[str] | None = None) -> dict[str, Any]:
    named = {} if names is None else {"resourceNames": names}
    return {"apiGroups": [""], "resources": [resource], **named, "verbs": verbs}


def test_the_right_to_list_pods_is_granted_only_where_canaries_are_watched_and_named_in_full() -> None:
    def rights(**rollout: dict[str, Any]) -> list[tuple[str | None, dict[str, Any]]]:
        entry = {"name": "registry-credentials", "sources": [{"secretName": "harbor"}], "rollout": rollout}
        found = render({"pullSecrets": [entry]}).rights("sync")
        return [right for right in found if "pods" in right[1]["resources"]]

    namespaces = ["test", "staging-*", "qa-[12]", "demo"]
    listing = core("pods", ["list"])
    assert rights(canary={"namespaces": namespaces}) == []
    assert rights(canary={"namespaces": namespaces, "watchPods": False}, prove={"imagesFromPods": False}) == []
    assert rights(canary={"namespaces": ["staging-*"], "watchPods": True}) == []
    assert rights(canary={"namespaces": namespaces, "watchPods": True}) == [("demo", listing), ("test", listing)]
    assert rights(prove={"imagesFromPods": True}) == [(None, listing)]


@pytest.mark.parametrize("selector", [None, {}, {"matchLabels": {}}, {"matchExpressions": []}], ids=repr)
def test_the_webhook_does_not_read_namespaces_when_no_pull_secret_selects_any(selector: dict[str, Any] | None) -> None:
    given = {} if selector is None else {"namespaceSelector": selector}
    rendered = render({"pullSecrets": [{"name": "x", "sources": [{"secretName": "y"}], **given}]})
    assert rendered.rights("webhook") == [(NAMESPACE, core("secrets", READ, [f"{FULLNAME}-tls"]))]


def test_no_identity_has_a_right_on_a_secret_of_the_tenants() -> None:
    entries = [{"name": "own", "tenantOwned": True}, {"name": "x", "sources": [{"secretName": "y"}]}]
    rendered = render({"pullSecrets": entries})
    granted = [rule.get("resourceNames", ()) for grant in rendered.grants() for rule in grant.rules]
    assert "own" not in {name for names in granted for name in names}
    alone = render({"pullSecrets": entries[:1]})
    assert alone.rights("sync") == render({"pullSecrets": [], "retired": []}).rights("sync")
    # Its references come and go, and the API server calls the webhook about them. It is not a copy.
    policies = {item["metadata"]["name"].removeprefix(FULLNAME): item for item in rendered.of_kind(POLICY)}
    (ours,) = [each for each in policies["-serviceaccounts"]["spec"]["variables"] if each["name"] == "ours"]
    assert ours["expression"] == '{"own":"","x":""}'
    names = 'request.name in ["x"]'
    assert any(names in each["expression"] for each in policies["-secrets"]["spec"]["validations"])
    hooks = rendered.one("MutatingWebhookConfiguration")["webhooks"]
    assert all('["own","x"]' in str(hook["matchConditions"]) for hook in hooks)
    # Copies from before are removed by their retired name.
    assert "own" in str(render({"pullSecrets": entries, "retired": ["own"]}).rights("sync"))


def test_a_selector_by_expressions_alone_lets_the_webhook_read_namespaces() -> None:
    selector = {"matchExpressions": [{"key": "department", "operator": "Exists"}]}
    entry = {"name": "x", "sources": [{"secretName": "y"}], "namespaceSelector": selector}
    assert (None, core("namespaces", READ)) in render({"pullSecrets": [entry]}).rights("webhook")


def test_the_check_of_helm_test_reads_no_secret_and_writes_nothing() -> None:
    rights = render(SAMPLE).rights("check")
    assert {verb for _, rule in rights for verb in rule["verbs"]} == {"get", "list", "create"}
    assert [rule["resources"] for _, rule in rights if "create" in rule["verbs"]] == [["subjectaccessreviews"]]
    assert not [rule for _, rule in rights if "secrets" in rule["resources"]]


def test_without_names_there_is_no_rule_about_copies_or_sources() -> None:
    """An empty resourceNames means every object: the rule must not be there at all."""
    rendered = render({"pullSecrets": [], "retired": []})
    for component in ("sync", "cleanup"):
        secrets = [rule for _, rule in rendered.rights(component) if "secrets" in rule["resources"]]
        own = [[f"{FULLNAME}-state"], [f"{FULLNAME}-tls", f"{FULLNAME}-ca"]]
        assert sorted(rule["resourceNames"] for rule in secrets) == own


@pytest.mark.parametrize(
    "mode", [PROVIDED, CERT_MANAGER, {"certificates": {"mode": "provided"}}], ids=["provided", "cert-manager", "roots"]
)
def test_where_somebody_else_keeps_the_certificate_sync_has_no_right_to_it(mode: dict[str, Any]) -> None:
    rendered = render({**SAMPLE, **mode})
    rights = rendered.rights("sync")
    names = {name for _, rule in rights for name in rule.get("resourceNames", ())}
    assert names == {*COPIES, "harbor", "ghcr", FULLNAME, f"{FULLNAME}-sync", f"{FULLNAME}-state"}
    assert not [rule for _, rule in rights if rule["resources"] == ["mutatingwebhookconfigurations"]]
    taken = {name for _, rule in rendered.rights("cleanup") for name in rule.get("resourceNames", ())}
    assert taken == {*COPIES, FULLNAME, f"{FULLNAME}-sync", f"{FULLNAME}-state"}
    assert rendered.rights("webhook") == render(SAMPLE).rights("webhook")


@pytest.mark.parametrize("values", ALL_KINDS_OF_VALUES)
def test_no_right_is_wider_than_a_name(values: dict[str, Any]) -> None:
    for grant in render(values).grants():
        for rule in grant.rules:
            assert rule.get("resourceNames") != []
            assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"], *rule.get("resourceNames", ()))
            assert not {"update", "deletecollection", "bind", "escalate", "impersonate"}.intersection(rule["verbs"])
            only_reads = {"get", "list", "watch"}.issuperset(rule["verbs"]) or rule["resources"] == [
                "subjectaccessreviews"
            ]
            if not WITHOUT_CREDENTIALS.issuperset(rule["resources"]) or not (
                only_reads or SYNC.issuperset(rule["resources"])
            ):
                assert rule["resourceNames"]


@pytest.mark.parametrize("values", ALL_KINDS_OF_VALUES)
def test_each_role_is_bound_to_one_of_the_identities_or_to_readers(values: dict[str, Any]) -> None:
    rendered = render(values)
    identities = {item["metadata"]["name"] for item in rendered.of_kind("ServiceAccount")}
    runs = values.get("deployments", {}).get("enabled", True)
    expected = {
        f"{FULLNAME}-webhook",
        f"{FULLNAME}-sync",
        *([f"{FULLNAME}-cleanup", f"{FULLNAME}-check"] if runs else []),
    }
    assert identities == expected
    for grant in rendered.grants():
        (subject,) = grant.subjects
        assert subject == READERS or (subject["name"] in identities and subject["namespace"] == NAMESPACE)


def test_view_gets_the_rights_of_readers_unless_it_is_switched_off() -> None:
    label = "rbac.authorization.k8s.io/aggregate-to-view"
    assert render().one("ClusterRole", "-reader")["metadata"]["labels"][label] == "true"
    alone = render({"reader": {"aggregateToView": False}})
    assert label not in alone.one("ClusterRole", "-reader")["metadata"]["labels"]
    others = [item for item in render().objects if item["metadata"]["name"] != f"{FULLNAME}-reader"]
    assert not [item for item in others if label in item["metadata"]["labels"]]


def test_no_group_reads_anything_where_none_is_named() -> None:
    rendered = render({"reader": {"groups": []}})
    named = [item["kind"] for item in rendered.objects if item["metadata"]["name"] == f"{FULLNAME}-reader"]
    assert named == ["ClusterRole"]


def test_a_cluster_that_grants_rights_itself_gets_none_from_the_chart() -> None:
    kinds = {item["kind"] for item in render({**SAMPLE, "rbac": {"create": False}}).objects}
    assert not {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"} & kinds


def test_an_existing_identity_gets_the_rights_and_the_guard() -> None:
    existing = {"serviceAccount": {"create": False, "name": "ours"}}
    rendered = render({**SAMPLE, "sync": existing})
    assert f"{FULLNAME}-sync" not in {item["metadata"]["name"] for item in rendered.of_kind("ServiceAccount")}
    assert {subject["name"] for grant in rendered.grants() for subject in grant.subjects} >= {"ours"}
    assert rendered.one("Deployment", "-sync")["spec"]["template"]["spec"]["serviceAccountName"] == "ours"
    policies = rendered.of_kind("ValidatingAdmissionPolicy")
    assert all(f"system:serviceaccount:{NAMESPACE}:ours" in str(policy["spec"]) for policy in policies)


def test_two_components_never_share_an_identity() -> None:
    with pytest.raises(HelmFailed, match="is also that of webhook; use another, because each component has its own"):
        render({"webhook": {"serviceAccount": {"name": "one"}}, "sync": {"serviceAccount": {"name": "one"}}})
