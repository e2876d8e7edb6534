"""Sources that renew themselves in the chart: their Secrets, rights, policy, and the providers in the container."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.chart.rendered import FULLNAME, SAMPLE, render
from tests.cluster import helm
from tests.cluster.helm import HelmFailed
from tests.unit.documented import DOCS, blocks
from webhook.files.configuration import parse
from webhook.rules.renewing import CredentialProvider, ServiceAccountToken

ISSUED = [f"{FULLNAME}-issued-ecr", f"{FULLNAME}-issued-zot"]
PROVIDER: dict[str, Any] = {
    "credentialProvider": {
        "name": "ecr",
        "command": "ecr-credential-provider",
        "images": ["123456789012.dkr.ecr.eu-west-1.amazonaws.com"],
        "serviceAccountToken": {"audience": "sts.amazonaws.com", "serviceAccountName": "puller"},
    }
}
TOKEN: dict[str, Any] = {
    "serviceAccountToken": {
        "name": "zot",
        "registry": "zot.example.com",
        "username": "jwt",
        "audience": "zot.example.com",
        "serviceAccountName": "puller",
    }
}


def values(*sources: object, **more: object) -> dict[str, Any]:
    return {**SAMPLE, "pullSecrets": [{"name": "pull", "sources": list(sources)}], "retired": [], **more}


def changed(source: dict[str, Any], **settings: object) -> dict[str, Any]:
    ((kind, before),) = source.items()
    return {kind: {**before, **settings}}


def test_the_document_names_the_secret_of_each_and_is_valid() -> None:
    rendered = render(values("harbor", PROVIDER, TOKEN))
    (config_map,) = rendered.of_kind("ConfigMap")

    read = parse(config_map["data"]["config.yaml"], "config.yaml")

    assert read.source_names == ("harbor", *ISSUED)
    provider, token = read.renewing
    assert isinstance(provider, CredentialProvider)
    assert provider.command == "ecr-credential-provider"
    assert isinstance(token, ServiceAccountToken)
    assert token.service_account == "puller"


def test_sync_may_write_exactly_these_secrets_and_request_exactly_these_tokens() -> None:
    rights = render(values("harbor", PROVIDER, TOKEN)).rights("sync")

    granted = {
        (tuple(rule["resources"]), tuple(rule.get("resourceNames", ())), tuple(rule["verbs"])) for _, rule in rights
    }
    assert (("secrets",), tuple(ISSUED), ("create", "patch", "delete")) in granted
    assert (("serviceaccounts/token",), ("puller",), ("create",)) in granted
    assert (("secrets",), ("harbor", *ISSUED), ("get", "list", "watch")) in granted


def test_without_such_sources_there_is_no_right_to_tokens_and_no_policy_about_them() -> None:
    rendered = render(values("harbor"))

    assert all("serviceaccounts/token" not in rule["resources"] for _, rule in rendered.rights("sync"))
    policies = [policy["metadata"]["name"] for policy in rendered.of_kind("ValidatingAdmissionPolicy")]
    assert f"{FULLNAME}-tokens" not in policies
    assert f"{FULLNAME}-secrets" in policies


def test_the_policy_allows_each_service_account_its_own_audiences() -> None:
    rendered = render(values(PROVIDER, TOKEN))
    policy = rendered.one("ValidatingAdmissionPolicy", "-tokens")

    (allowed,) = (each["expression"] for each in policy["spec"]["variables"] if each["name"] == "allowed")
    assert yaml.safe_load(allowed) == {"puller": ["sts.amazonaws.com", "zot.example.com"]}


def test_a_token_of_each_namespace_is_a_right_that_the_policy_narrows_to_where_the_pull_secret_applies() -> None:
    own = changed(TOKEN, name="own", perNamespace=True, serviceAccountName="tenant", audience="own")
    rendered = render(values("harbor", own))
    (config_map,) = rendered.of_kind("ConfigMap")
    policy = rendered.one("ValidatingAdmissionPolicy", "-tokens")
    (audiences,) = (each["expression"] for each in policy["spec"]["variables"] if each["name"] == "ofAccount")

    assert parse(config_map["data"]["config.yaml"], "config.yaml").source_names == ("harbor",)
    (right,) = (each for each in rendered.rights("sync") if each[1]["resources"] == ["serviceaccounts/token"])
    assert right[0] is None, "a ClusterRole"
    assert right[1]["resourceNames"] == ["tenant"]
    assert right[1]["verbs"] == ["create"]
    assert 'variables.due["pull"] && request.name == "tenant" ? ["own"] : []' in audiences


def test_an_init_container_can_bring_the_providers_where_sync_looks_for_them() -> None:
    (block,) = (block for block in blocks(DOCS / "renewing.md", "yaml") if "initContainers" in block)
    rendered = render({**values(PROVIDER), **yaml.safe_load(block)})
    pod = rendered.one("Deployment", "-sync")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (copies,) = pod["initContainers"]

    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "providers")
    assert f"--providers={mount['mountPath']}" in container["args"]
    assert mount["readOnly"]
    (filled,) = copies["volumeMounts"]
    assert copies["command"][-1] == filled["mountPath"] + "/"
    (volume,) = (each for each in pod["volumes"] if each["name"] == filled["name"] == mount["name"])
    assert "emptyDir" in volume
    assert copies["securityContext"] == container["securityContext"]


def test_the_image_has_the_providers_where_sync_looks_for_them() -> None:
    container = render(values(PROVIDER)).container("sync")
    (folder,) = (each.partition("=")[2] for each in container["args"] if each.startswith("--providers="))
    root = DOCS.parent

    assert f"COPY --from=providers --chmod=755 . {folder}/" in (root / "Dockerfile").read_text()
    (derived,) = blocks(DOCS / "renewing.md", "dockerfile")
    assert f"{folder}/" in derived


def test_sync_gets_an_identity_of_a_cloud_and_the_webhook_does_not() -> None:
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/pull"}
    label = {"azure.workload.identity/use": "true"}
    rendered = render(values(PROVIDER, sync={"serviceAccount": {"annotations": role}, "podLabels": label}))
    for name, gets in (("sync", True), ("webhook", False)):
        account = rendered.one("ServiceAccount", f"-{name}")["metadata"].get("annotations", {})
        labels = rendered.one("Deployment", f"-{name}")["spec"]["template"]["metadata"]["labels"]
        assert (role.items() <= account.items(), label.items() <= labels.items()) == (gets, gets)


@pytest.mark.parametrize(
    ("sources", "problem"),
    [
        ([changed(PROVIDER, command="../sh")], "credentialProvider.command"),
        ([changed(PROVIDER, images=["*.example.com"])], "credentialProvider.images[0]"),
        ([changed(PROVIDER, name="Ecr")], "credentialProvider.name"),
        ([changed(TOKEN, audience="https://kubernetes.default.svc")], "audience of the API server"),
        ([changed(TOKEN, audience=" ")], "a token without an audience"),
        ([changed(TOKEN, perNamespace="yes")], "perNamespace"),
        ([{**PROVIDER, **TOKEN}], "a source has one of them"),
        ([{"secretName": "a", **TOKEN}], "a source has one of them"),
        ([TOKEN, changed(TOKEN, username="robot")], "is a duplicate"),
    ],
)
def test_mistakes_in_such_sources_are_refused(sources: list[object], problem: str) -> None:
    with pytest.raises(HelmFailed) as refused:
        render(values(*sources))
    assert problem in str(refused.value)


def test_an_image_volume_is_refused_where_the_cluster_has_none() -> None:
    chosen = helm.installable(values(PROVIDER, providers={"image": "registry.example.com/ecr:1"}))
    with pytest.raises(HelmFailed, match="image volume"):
        helm.run(
            ["template", "psw", str(helm.CHART), "--kube-version", "1.32.0", "--values", "-"], stdin=json.dumps(chosen)
        )


def test_two_sources_of_one_name_with_other_settings_are_refused_also_in_two_pull_secrets() -> None:
    pull_secrets = [{"name": "a", "sources": [TOKEN]}, {"name": "b", "sources": [changed(TOKEN, username="robot")]}]

    with pytest.raises(HelmFailed, match="is also the name of another source"):
        render({**SAMPLE, "pullSecrets": pull_secrets, "retired": []})
    render({**SAMPLE, "pullSecrets": [pull_secrets[0], {**pull_secrets[0], "name": "b"}], "retired": []})
