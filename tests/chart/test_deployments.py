from __future__ import annotations

from typing import Any

import pytest
import typer.main

from tests.chart.rendered import FULLNAME, NAMESPACE, render
from webhook.cli import app

COMMON = [
    "--config=/etc/pullsecrets/config.yaml",
    f"--namespace={NAMESPACE}",
    "--log-format=json",
    "--log-level=info",
]
both = pytest.mark.parametrize("component", ["webhook", "sync"])


def pod(component: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
    return dict(render(values).one("Deployment", f"-{component}")["spec"]["template"]["spec"])


def test_the_webhook_runs_serve_with_its_flags_spelled_out() -> None:
    container = render().container("webhook")
    assert container["command"] == ["pullsecrets"]
    assert container["args"] == [
        "serve",
        *COMMON,
        "--metrics-port=8080",
        "--secure-port=8443",
        f"--tls-secret={NAMESPACE}/{FULLNAME}-tls",
        "--tls-min-version=1.2",
        "--drain-seconds=8",
    ]


def test_the_sync_loop_runs_sync_with_its_flags_spelled_out() -> None:
    container = render().container("sync")
    assert container["command"] == ["pullsecrets"]
    assert container["args"] == [
        "sync",
        *COMMON,
        "--metrics-port=8080",
        "--release=psw",
        "--workers=16",
        "--writes-per-second=1000",
        "--leader-elect",
        f"--lease-name={FULLNAME}-sync",
        f"--config-map={FULLNAME}",
        f"--state-secret={FULLNAME}-state",
        f"--webhook-configuration={FULLNAME}",
        f"--tls-secret={FULLNAME}-tls",
        f"--ca-secret={FULLNAME}-ca",
        f"--tls-san={FULLNAME}-webhook.{NAMESPACE}.svc",
        "--ca-lifetime=365d",
        "--tls-lifetime=30d",
        "--ca-settle=10s",
    ]


@both
@pytest.mark.parametrize("mode", ["self-managed", "cert-manager", "provided"])
def test_the_command_line_knows_every_flag(component: str, mode: str) -> None:
    bundle = "-----BEGIN CERTIFICATE-----\n"
    callers = {"clientCA": bundle, "clientAllowedNames": ["kube-apiserver", "spiffe://example.com/a b"]}
    values = {
        "certificates": {"mode": mode},
        "webhook": {"caBundle": bundle if mode == "provided" else "", "tlsMinVersion": "1.3", **callers},
        "log": {"format": "text", "level": "warning"},
        "sync": {"workers": 64, "writesPerSecond": 1},
    }
    command, *flags = render(values).container(component)["args"]
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    context = group.commands[command].make_context(command, list(flags))
    assert context.params["namespace"] == NAMESPACE


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://webhook.example.com:9443/mutate", "webhook.example.com"),
        ("https://Webhook.Example.com", "webhook.example.com"),
        ("https://127.0.0.1:9443", "127.0.0.1"),
        ("https://[::1]:9443", "::1"),
    ],
)
def test_the_certificate_is_for_the_host_that_the_api_server_calls(url: str, name: str) -> None:
    assert f"--tls-san={name}" in render({"webhook": {"url": url}}).container("sync")["args"]


@both
def test_pods_meet_the_restricted_pod_security_standard(component: str) -> None:
    spec = pod(component)
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"}.intersection(spec)


@both
def test_pods_run_as_their_own_identity_and_have_time_to_drain(component: str) -> None:
    spec = pod(component)
    assert spec["serviceAccountName"] == f"{FULLNAME}-{component}"
    assert spec["terminationGracePeriodSeconds"] == 30


def test_the_grace_period_is_longer_than_the_drain() -> None:
    rendered = render({"webhook": {"drainSeconds": 120}})
    assert "--drain-seconds=120" in rendered.container("webhook")["args"]
    spec = rendered.one("Deployment", "-webhook")["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] == 142


@both
def test_the_variables_of_other_services_are_kept_out(component: str) -> None:
    assert pod(component)["enableServiceLinks"] is False


@both
def test_probes_ask_the_plain_port(component: str) -> None:
    container = render().container(component)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["metrics"] == 8080
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert container["startupProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}


@both
def test_the_configuration_is_mounted_as_a_folder_so_that_changes_arrive(component: str) -> None:
    spec = pod(component)
    mounts = {mount["name"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts["config"] == {"name": "config", "mountPath": "/etc/pullsecrets", "readOnly": True}
    assert mounts["tmp"]["mountPath"] == "/tmp"  # noqa: S108 (in a container)
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes["config"]["configMap"] == {"name": FULLNAME}
    assert volumes["tmp"]["emptyDir"]["medium"] == "Memory"


@both
def test_replicas_resources_and_logs_come_from_the_values(component: str) -> None:
    resources = {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    rendered = render({component: {"replicas": 3, "resources": resources}, "log": {"format": "text", "level": "debug"}})
    assert rendered.one("Deployment", f"-{component}")["spec"]["replicas"] == 3
    assert rendered.container(component)["resources"] == resources
    assert {"--log-format=text", "--log-level=debug"} <= set(rendered.container(component)["args"])


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({"repository": "registry.example.com/psw"}, "registry.example.com/psw:0.1.0"),
        ({"repository": "registry.example.com/psw", "tag": "1.2"}, "registry.example.com/psw:1.2"),
        ({"repository": "registry.example.com:5000/psw", "tag": "1.2"}, "registry.example.com:5000/psw:1.2"),
        ({"repository": "psw", "tag": "1.2", "digest": f"sha256:{'a' * 64}"}, f"psw@sha256:{'a' * 64}"),
    ],
)
def test_the_image_is_named_by_tag_or_by_digest(image: dict[str, str], expected: str) -> None:
    container = render({"image": {**image, "pullPolicy": "Always"}}).container("sync")
    assert (container["image"], container["imagePullPolicy"]) == (expected, "Always")


@both
def test_a_deployment_selects_its_own_pods_and_no_others(component: str) -> None:
    deployment = render().one("Deployment", f"-{component}")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert labels["app.kubernetes.io/component"] == component


def test_the_service_leads_to_the_secure_port_of_the_webhook() -> None:
    rendered = render()
    spec = rendered.one("Service", "-webhook")["spec"]
    assert spec["ports"] == [{"name": "https", "port": 443, "targetPort": "https"}]
    assert spec["selector"] == rendered.one("Deployment", "-webhook")["spec"]["selector"]["matchLabels"]
    assert {"name": "https", "containerPort": 8443} in rendered.container("webhook")["ports"]


def test_without_deployments_only_what_outside_processes_need_is_installed() -> None:
    inside = {item["kind"] for item in render().objects}
    values = {"deployments": {"enabled": False}, "webhook": {"url": "https://127.0.0.1:9443"}}
    assert {item["kind"] for item in render(values).objects} == inside - {
        "Deployment",
        "Job",
        "Pod",
        "PodDisruptionBudget",
        "Service",
    }
