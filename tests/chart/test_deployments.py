from __future__ import annotations

import pytest
import typer.main

from tests.chart.rendered import NAMESPACE, render
from webhook.cli import app

both = pytest.mark.parametrize("component", ["webhook", "sync"])


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


def test_the_grace_period_is_longer_than_the_drain() -> None:
    rendered = render({"webhook": {"drainSeconds": 120}})
    assert "--drain-seconds=120" in rendered.container("webhook")["args"]
    spec = rendered.one("Deployment", "-webhook")["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] == 142


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


def test_the_service_leads_to_the_secure_port_of_the_webhook() -> None:
    rendered = render()
    spec = rendered.one("Service", "-webhook")["spec"]
    assert spec["ports"] == [{"name": "https", "port": 443, "targetPort": "https"}]
    assert spec["selector"] == rendered.one("Deployment", "-webhook")["spec"]["selector"]["matchLabels"]
    assert {"name": "https", "containerPort": 8443} in rendered.container("webhook")["ports"]
