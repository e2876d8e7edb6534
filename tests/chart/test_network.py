"""NetworkPolicies: what reaches the Pods and what they reach."""

from __future__ import annotations

from typing import Any

from tests.chart.rendered import Rendered, render

MONITORING = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}


def limited(**values: Any) -> Rendered:  # noqa: ANN401 (values are any JSON)
    return render({"networkPolicy": {"enabled": True, **values}})


def of_all_pods(**values: Any) -> dict[str, Any]:  # noqa: ANN401
    spec: dict[str, Any] = limited(**values).one("NetworkPolicy")["spec"]
    return spec


def test_nothing_is_limited_unless_asked_for() -> None:
    assert render().of_kind("NetworkPolicy") == []


def test_one_policy_is_about_the_pods_of_all_components() -> None:
    rendered = limited()
    selector = rendered.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items()
    workloads = [*rendered.of_kind("Deployment"), *rendered.of_kind("Job")]
    assert len(workloads) == 3
    for workload in workloads:
        assert selector <= workload["spec"]["template"]["metadata"]["labels"].items()


def test_pods_reach_dns_and_the_api_server_and_nothing_else() -> None:
    spec = of_all_pods()
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    dns, api_server = spec["egress"]
    assert dns == {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
    assert api_server == {"ports": [{"port": 443, "protocol": "TCP"}, {"port": 6443, "protocol": "TCP"}]}


def test_the_addresses_of_all_peers_can_be_given() -> None:
    peers = {name: [{"ipBlock": {"cidr": f"10.0.0.{number}/32"}}] for number, name in enumerate(("a", "b", "c"))}
    rendered = limited(dnsTo=peers["a"], apiServerTo=peers["b"], webhookFrom=peers["c"])
    assert [rule["to"] for rule in rendered.one("NetworkPolicy")["spec"]["egress"]] == [peers["a"], peers["b"]]
    (ingress,) = rendered.one("NetworkPolicy", "-webhook")["spec"]["ingress"]
    assert ingress == {"from": peers["c"], "ports": [{"port": "https"}]}


def test_other_ports_and_further_rules_come_from_the_values() -> None:
    proxy = {"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [{"port": 3128}]}
    dns, api_server, further = of_all_pods(dnsPorts=[5353], apiServerPorts=[8443], extraEgress=[proxy])["egress"]
    assert {port["port"] for port in dns["ports"]} == {5353}
    assert {port["port"] for port in api_server["ports"]} == {8443}
    assert further == proxy


def test_the_rules_for_sync_alone_are_a_policy_of_its_pods() -> None:
    token_service = {"to": [{"ipBlock": {"cidr": "169.254.170.23/32"}}], "ports": [{"port": 80}]}
    rendered = limited(syncEgress=[token_service])
    policy = rendered.one("NetworkPolicy", "-sync")["spec"]
    assert policy == {
        "podSelector": rendered.one("Deployment", "-sync")["spec"]["selector"],
        "policyTypes": ["Egress"],
        "egress": [token_service],
    }
    assert token_service not in rendered.one("NetworkPolicy")["spec"]["egress"]
    assert [each for each in limited().of_kind("NetworkPolicy") if each["metadata"]["name"].endswith("-sync")] == []


def test_nobody_reads_metrics_unless_named() -> None:
    assert "ingress" not in of_all_pods()
    assert of_all_pods(metricsFrom=[MONITORING])["ingress"] == [{"from": [MONITORING], "ports": [{"port": "metrics"}]}]


def test_the_webhook_is_reached_from_anywhere_at_its_secure_port_alone() -> None:
    rendered = limited(metricsFrom=[MONITORING])
    spec = rendered.one("NetworkPolicy", "-webhook")["spec"]
    assert spec == {
        "podSelector": rendered.one("Deployment", "-webhook")["spec"]["selector"],
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"port": "https"}]}],
    }


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
