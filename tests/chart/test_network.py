"""NetworkPolicies: what reaches the Pods and what they reach."""

from __future__ import annotations

from typing import Any

from tests.chart.rendered import Rendered, render


def limited(**values: Any) -> Rendered:  # noqa: ANN401 (values are any JSON)
    return render({"networkPolicy": {"enabled": True, **values}})


def test_one_policy_is_about_the_pods_of_all_components() -> None:
    rendered = limited()
    selector = rendered.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items()
    workloads = [*rendered.of_kind("Deployment"), *rendered.of_kind("Job")]
    assert len(workloads) == 3
    for workload in workloads:
        assert selector <= workload["spec"]["template"]["metadata"]["labels"].items()


def test_the_addresses_of_all_peers_can_be_given() -> None:
    peers = {name: [{"ipBlock": {"cidr": f"10.0.0.{number}/32"}}] for number, name in enumerate(("a", "b", "c"))}
    rendered = limited(dnsTo=peers["a"], apiServerTo=peers["b"], webhookFrom=peers["c"])
    assert [rule["to"] for rule in rendered.one("NetworkPolicy")["spec"]["egress"]] == [peers["a"], peers["b"]]
    (ingress,) = rendered.one("NetworkPolicy", "-webhook")["spec"]["ingress"]
    assert ingress == {"from": peers["c"], "ports": [{"port": "https"}]}


def test_without_pods_there_is_nothing_to_limit() -> None:
    outside = {"deployments": {"enabled": False}, "webhook": {"url": "https://127.0.0.1:9443"}}
    assert render({**outside, "networkPolicy": {"enabled": True}}).of_kind("NetworkPolicy") == []


def test_the_webhook_may_share_the_network_of_its_node_at_ports_of_its_own() -> None:
    rendered = render({"webhook": {"hostNetwork": True, "securePort": 10443, "metricsPort": 10080}})
    webhook, sync = (rendered.one("Deployment", f"-{name}")["spec"]["template"]["spec"] for name in ("webhook", "sync"))
    assert (webhook["hostNetwork"], webhook["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
    assert "hostNetwork" not in sync
    container = rendered.container("webhook")
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"https": 10443, "metrics": 10080}
    assert {"--secure-port=10443", "--metrics-port=10080"} <= set(container["args"])
    assert rendered.one("Service", "-webhook")["spec"]["ports"][0]["targetPort"] == "https"
