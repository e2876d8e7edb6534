"""What Helm says after an installation: what to do next, and what is risky in the values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import typer.main

from tests.chart.rendered import SAMPLE, render
from webhook.cli import app

TRIAL = {"name": "harbor", "registry": "registry.example.com", "username": "robot", "password": "not-to-be-seen"}
PUBLISHED = {"image": {"repository": "registry.example.com/psw"}}
SAFE: dict[str, Any] = {**SAMPLE, **PUBLISHED, "webhook": {"failurePolicy": {"pods": "Fail"}}}


def notes(values: Mapping[str, Any] | None = None) -> str:
    """Return the notes as `NOTES.txt` has them: ``helm template`` itself leaves that file out."""
    shown = 'kind: Shown\nmetadata: {name: notes}\nnotes: {{ include "pull-secret-webhook.notes" . | toJson }}\n'
    (found,) = render({**(values or {}), "extraObjects": [shown]}).of_kind("Shown")
    return str(found["notes"])


def warnings(values: Mapping[str, Any] | None = None) -> list[str]:
    _, _, after = notes(values).partition("Warnings:")
    return [line.removeprefix("* ") for line in map(str.strip, after.splitlines()) if line]


def test_the_next_steps_are_commands_with_the_names_of_this_release() -> None:
    text = notes(SAMPLE)
    for command in (
        "kubectl --namespace psw-system rollout status deployment/psw-pull-secret-webhook-sync",
        "kubectl --namespace psw-system create secret docker-registry harbor --docker-server=",
        "kubectl --namespace psw-system create secret docker-registry ghcr --docker-server=",
        "kubectl label namespace … pullsecrets.webhook/inject=enabled",
        "--selector app.kubernetes.io/managed-by=pull-secret-webhook,pullsecrets.webhook/release=psw",
        "pullsecrets check --release psw --release-namespace psw-system",
    ):
        assert command in text


def test_in_the_scope_all_a_namespace_is_opted_out() -> None:
    text = notes({**SAMPLE, "optIn": {"scope": "All"}})
    assert "kubectl label namespace … pullsecrets.webhook/inject=disabled" in text
    assert "inject=enabled" not in text


def test_sources_that_the_chart_makes_are_not_asked_for() -> None:
    text = notes({**SAMPLE, "sourceSecrets": [TRIAL]})
    assert "docker-registry ghcr" in text
    assert "docker-registry harbor" not in text


def test_nothing_of_a_credential_is_said() -> None:
    text = notes({**SAMPLE, "sourceSecrets": [TRIAL]})
    assert "not-to-be-seen" not in text
    assert "robot" not in text


def test_without_a_pull_secret_there_is_nothing_to_label() -> None:
    assert "kubectl label" not in notes()
    assert any(line.startswith("pullSecrets is empty") for line in warnings())


def test_values_that_are_safe_leave_one_thing_to_mind() -> None:
    (only,) = warnings(SAFE)
    assert only.startswith("webhook.failurePolicy.pods is Fail")


@pytest.mark.parametrize(
    ("values", "beginning"),
    [
        ({"image": {"repository": "localhost/psw", "tag": "1"}}, "The image is localhost/psw:1: only nodes onto which"),
        ({"webhook": {}}, "A Pod that is created while the webhook does not answer"),
        ({"webhook": {"failurePolicy": {"serviceAccounts": "Fail"}}}, "webhook.failurePolicy.serviceAccounts is Fail"),
        ({"webhook": {"replicas": 1}}, "The webhook can run with a single"),
        ({"webhook": {"autoscaling": {"enabled": True, "minReplicas": 1}}}, "The webhook can run with a single"),
        ({"cleanup": {"enabled": False}}, "cleanup.enabled is false"),
        ({"certificates": {"mode": "cert-manager"}}, "The webhook is available after cert-manager has issued"),
        ({"certificates": {"mode": "provided"}}, "You maintain the certificate: create the Secret"),
        ({"certificates": {"mode": "provided"}}, "webhook.caBundle is empty"),
        (
            {"monitoring": {"podMonitor": {"enabled": True}}, "networkPolicy": {"enabled": True}},
            "networkPolicy.metricsFrom is empty",
        ),
        (
            {"monitoring": {"serviceMonitor": {"enabled": True}}, "networkPolicy": {"enabled": True}},
            "networkPolicy.metricsFrom is empty",
        ),
        ({"guard": {"enabled": False, "reserveOptIn": True}}, "guard.reserveOptIn has no effect"),
        ({"sourceSecrets": [TRIAL]}, "Users who can read the release"),
        (
            {"deployments": {"enabled": False}, "webhook": {"url": "https://127.0.0.1:9443"}},
            'No Pod is installed: run "pullsecrets serve" (reachable at https://127.0.0.1',
        ),
    ],
)
def test_what_is_risky_is_said_and_only_then(values: dict[str, Any], beginning: str) -> None:
    assert [line for line in warnings(SAFE) if line.startswith(beginning)] == []
    (found,) = (line for line in warnings({**SAFE, **values}) if line.startswith(beginning))
    assert found.endswith(".")


def test_what_is_said_of_our_own_command_can_be_typed() -> None:
    (line,) = (line.strip() for line in notes(SAMPLE).splitlines() if line.strip().startswith("pullsecrets "))
    _, command, *flags = line.split()
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    params = group.commands[command].make_context(command, flags).params
    assert (params["release_namespace"], params["release"]) == ("psw-system", "psw")


def test_a_provider_or_proof_that_cannot_reach_its_registry_is_warned_of() -> None:
    provider = {"name": "ecr", "command": "ecr-credential-provider", "images": ["registry.example.com"]}
    only_api_server = {"enabled": True, "apiServerTo": [{"ipBlock": {"cidr": "10.0.0.0/28"}}]}
    values: dict[str, Any] = {"pullSecrets": [{"name": "pull", "sources": [{"credentialProvider": provider}]}]}
    proved = [{"name": "pull", "sources": ["harbor"], "rollout": {"prove": {}}}]
    egress = {"syncEgress": [{"ports": [{"port": 443}]}]}

    def warned(network: Mapping[str, Any], **more: Any) -> bool:  # noqa: ANN401 (values are any JSON)
        return any(
            "networkPolicy.syncEgress" in line for line in warnings({**values, "networkPolicy": network, **more})
        )

    assert warned(only_api_server)
    assert not warned({**only_api_server, **egress})
    assert not warned({"enabled": True})
    assert not warned({**only_api_server, "enabled": False})
    assert not warned(only_api_server, pullSecrets=[{"name": "pull", "sources": ["harbor"]}])
    assert warned(only_api_server, pullSecrets=proved)
    assert not warned({**only_api_server, **egress}, pullSecrets=proved)


def test_without_pods_prometheus_has_nothing_to_reach() -> None:
    values = {"deployments": {"enabled": False}, "webhook": {"url": "https://127.0.0.1:9443"}}
    scraped = {"monitoring": {"podMonitor": {"enabled": True}}, "networkPolicy": {"enabled": True}}
    assert not any("metricsFrom" in line for line in warnings({**values, **scraped}))


def test_tokens_of_namespaces_that_no_policy_narrows_are_warned_of() -> None:
    token = {
        "name": "own",
        "registry": "registry.example.com",
        "username": "jwt",
        "audience": "registry.example.com",
        "serviceAccountName": "puller",
    }

    def warned(*, per_namespace: bool, guard: bool) -> bool:
        source = {"serviceAccountToken": {**token, "perNamespace": per_namespace}}
        values = {"pullSecrets": [{"name": "pull", "sources": [source]}], "guard": {"enabled": guard}}
        return any("for any audience" in line for line in warnings(values))

    assert warned(per_namespace=True, guard=False)
    assert not warned(per_namespace=True, guard=True)
    assert not warned(per_namespace=False, guard=False)
