"""Amazon's own credential provider, run by sync: it signs in to an AWS on loopback in each way that EKS has."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.cluster.processes import PullSecrets
from tests.exposition import series
from tests.integration.site.commands import Ran, of_release
from tests.integration.site.playground import COPY, Playground, eventually, pod
from tests.providers import ecr
from tests.providers.ecr import aws

BY_KEYS, BY_POD, BY_TOKEN = aws.ACCOUNT, "222233334444", "333344445555"
"""Accounts, whose registries are used with keys of a user, the role of the sync Pod, and a role of the source."""


def subject(ours: Playground, account: str) -> str:
    return f"system:serviceaccount:{ours.installation.namespace}:{account}"


def source(name: str, account: str, url: str, **settings: Any) -> dict[str, Any]:  # noqa: ANN401 - values are any JSON
    # The endpoint of STS has a variable of its own: the plugin's SDK reads no other when it assumes the role of a Pod.
    endpoints = {"AWS_ENDPOINT_URL": url, "AWS_ENDPOINT_URL_STS": url, "AWS_EC2_METADATA_DISABLED": "true"}
    env = [{"name": variable, "value": value} for variable, value in endpoints.items()]
    provider = {"name": name, "command": ecr.NAME, "images": [aws.host(account)], "env": env, **settings}
    return {"credentialProvider": provider}


def with_token(account: str) -> dict[str, Any]:
    annotations = {"eks.amazonaws.com/ecr-role-arn": aws.role(account)}
    token = {"audience": aws.AUDIENCE, "serviceAccountName": "puller", "annotations": annotations}
    return {"serviceAccountToken": token}


def values(*sources: dict[str, Any]) -> dict[str, Any]:
    return {"pullSecrets": [{"name": COPY, "sources": list(sources)}]}


def entries(ours: Playground, namespace: str) -> dict[str, str]:
    """Return the password of each registry in a copy."""
    found = ours.get(namespace, "secrets", COPY)
    auths = json.loads(b64decode(found["data"][".dockerconfigjson"]))["auths"] if found else {}
    return {registry: b64decode(entry["auth"]).decode().partition(":")[2] for registry, entry in auths.items()}


def run(ours: Playground, *arguments: str) -> Ran:
    return of_release(ours, *arguments, f"--release-namespace={ours.installation.namespace}")


def findings(ours: Playground) -> dict[str, str]:
    """Return the details of the checks that are not in order, by their code."""
    checks = json.loads(run(ours, "check", "-o", "json").out)["checks"]
    return {check["code"]: check["detail"] for check in checks if check["result"] not in ("ok", "skipped")}


def expiries(sync: PullSecrets) -> dict[str, float]:
    """Return when the credential of each source expires, in Unix seconds."""
    found = series(sync.metrics()).items()
    name = "pullsecrets_sync_credential_expiry_timestamp_seconds"
    return {labels.partition('source="')[2].rstrip('"}'): value for labels, value in found if labels.startswith(name)}


def test_it_signs_in_with_keys_with_the_role_of_the_pod_and_with_the_role_of_a_service_account(
    playground: Callable[..., Playground], tmp_path: Path
) -> None:
    ours = playground()
    subjects = {BY_POD: subject(ours, f"{ours.installation.fullname}-sync"), BY_TOKEN: subject(ours, "puller")}
    cloud = aws.start(ours.cluster, tmp_path, subjects)
    keys, identity = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], ["AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"]
    ours.installation.set_configuration(
        **values(
            source("keys", BY_KEYS, cloud.url, inheritEnv=keys),
            source("pod", BY_POD, cloud.url, inheritEnv=identity),
            source("token", BY_TOKEN, cloud.url, **with_token(BY_TOKEN)),
        )
    )
    ours.apply(ours.installation.namespace, "ServiceAccount", "puller", {})
    token = tmp_path / "token"
    request = ["create", "token", f"{ours.installation.fullname}-sync", f"--namespace={ours.installation.namespace}"]
    token.write_text(ours.cluster.kubectl(*request, f"--audience={aws.AUDIENCE}").strip())
    environment = dict(zip(keys, (cloud.access_key, cloud.secret_key), strict=True))
    environment |= dict(zip(identity, (aws.role(BY_POD), str(token)), strict=True))

    before = datetime.now(UTC)
    sync = ours.installation.start_sync(f"--providers={ecr.find()}", environment=environment)
    namespace = ours.namespace(selected=True)

    accounts = (BY_KEYS, BY_POD, BY_TOKEN)
    expected = {aws.host(account): f"{account}-auth-token" for account in accounts}
    eventually(lambda: entries(ours, namespace), lambda seen: seen == expected)
    # The provider names half of the lifetime of a token of ECR.
    fullname = ours.installation.fullname
    half = timedelta(seconds=aws.LIFETIME / 2)
    found = eventually(lambda: expiries(sync), lambda seen: len(seen) == len(accounts))
    assert found.keys() == {f"{fullname}-issued-{name}" for name in ("keys", "pod", "token")}
    # It counts from when it has the token, and sync from when it starts the provider.
    now = datetime.now(UTC)
    earliest, latest = (before + half - (now - before) / 2).timestamp() - 1, (now + half).timestamp() + 1
    assert all(earliest <= value <= latest for value in found.values())
    log = sync.program.log.read_text()
    assert all(secret not in log for secret in (cloud.secret_key, token.read_text(), *expected.values()))


def test_a_role_that_trusts_another_service_account_is_a_failure_with_the_reason_of_aws(
    playground: Callable[..., Playground], tmp_path: Path
) -> None:
    ours = playground()
    cloud = aws.start(ours.cluster, tmp_path, {BY_TOKEN: subject(ours, "somebody")})
    ours.installation.set_configuration(**values(source("token", BY_TOKEN, cloud.url, **with_token(BY_TOKEN))))
    ours.apply(ours.installation.namespace, "ServiceAccount", "puller", {})

    sync = ours.installation.start_sync(f"--providers={ecr.find()}")

    # There may be one before, about a right or an AWS that was slow to come.
    reason = "InvalidIdentityToken: No trust for this token"
    eventually(
        lambda: [*ours.events(ours.installation.namespace)],
        lambda seen: any(event == "CredentialNotRenewed" and reason in message for event, message in seen),
    )
    counter = 'pullsecrets_sync_renewals_total{result="provider-failed",source="token"}'
    assert series(sync.metrics())[counter] >= 1


def test_without_aws_the_last_credential_stays_and_its_expiry_is_told_by_check_and_explain(
    playground: Callable[..., Playground], tmp_path: Path
) -> None:
    ours = playground()
    cloud = aws.start(ours.cluster, tmp_path, {BY_TOKEN: subject(ours, "puller")}, lifetime=20)
    ours.installation.set_configuration(**values(source("token", BY_TOKEN, cloud.url, **with_token(BY_TOKEN))))
    ours.apply(ours.installation.namespace, "ServiceAccount", "puller", {})
    ours.installation.start_sync(f"--providers={ecr.find()}")
    ours.installation.start_serve().wait_ready()
    namespace = ours.namespace(selected=True)
    eventually(lambda: entries(ours, namespace))
    ours.create(namespace, "pods", pod("web", f"{aws.host(BY_TOKEN)}/app:1", imagePullSecrets=[{"name": COPY}]))

    cloud.program.kill()

    expired = eventually(lambda: findings(ours), lambda seen: "PSW045" in seen)["PSW045"]
    assert aws.host(BY_TOKEN) in expired
    explained = run(ours, "explain", "pod/web", "-n", namespace)
    assert explained.code == 1
    assert explained.out.startswith("STOP credential-expired")
    assert f"{ours.installation.fullname}-issued-token" in explained.out
    assert entries(ours, namespace) == {aws.host(BY_TOKEN): f"{BY_TOKEN}-auth-token"}
