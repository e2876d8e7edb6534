"""Replicas: how many, how spread, how replaced."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.rendered import FULLNAME, Rendered, render

each_deployment = pytest.mark.parametrize("component", ["webhook", "sync"])


def spec(component: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
    return dict(render({component: values or {}}).one("Deployment", f"-{component}")["spec"])


def budgets(rendered: Rendered) -> dict[str, Any]:
    return {
        item["metadata"]["name"].removeprefix(f"{FULLNAME}-"): item["spec"]["maxUnavailable"]
        for item in rendered.of_kind("PodDisruptionBudget")
    }


def autoscaled(**values: Any) -> Rendered:  # noqa: ANN401 (values are any JSON)
    return render({"webhook": {"autoscaling": {"enabled": True, **values}}})


def test_a_new_version_of_the_webhook_never_leaves_fewer_replicas() -> None:
    assert spec("webhook")["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }


def test_where_no_node_is_left_for_a_further_replica_another_strategy_can_be_had() -> None:
    strategy = spec("webhook", {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}})["strategy"]
    assert strategy["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}


@each_deployment
def test_replicas_are_spread_over_nodes_and_zones_where_there_are_any(component: str) -> None:
    deployment = spec(component)
    constraints = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert [constraint["topologyKey"] for constraint in constraints] == [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    ]
    for constraint in constraints:
        assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
        assert constraint["labelSelector"] == deployment["selector"]


@each_deployment
@pytest.mark.parametrize("selector", [{}, {"matchLabels": {"a": "b"}}], ids=["every Pod", "labelled Pods"])
def test_a_constraint_may_count_other_pods(component: str, selector: dict[str, Any]) -> None:
    chosen = {"topologyKey": "rack", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}
    deployment = spec(component, {"topologySpreadConstraints": [chosen]})
    assert deployment["template"]["spec"]["topologySpreadConstraints"] == [chosen]


@each_deployment
def test_no_spread_can_be_chosen(component: str) -> None:
    assert "topologySpreadConstraints" not in spec(component, {"topologySpreadConstraints": []})["template"]["spec"]


@each_deployment
def test_drains_take_one_replica_at_a_time(component: str) -> None:
    rendered = render()
    budget = rendered.one("PodDisruptionBudget", f"-{component}")["spec"]
    assert budget == {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": rendered.one("Deployment", f"-{component}")["spec"]["selector"],
    }


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"webhook": {"replicas": 1}}, {"sync": 1}),
        ({"sync": {"replicas": 1}}, {"webhook": 1}),
        ({"webhook": {"podDisruptionBudget": {"enabled": False}}}, {"sync": 1}),
        ({"sync": {"podDisruptionBudget": {"maxUnavailable": "50%"}}}, {"sync": "50%", "webhook": 1}),
        ({"webhook": {"replicas": 1, "autoscaling": {"enabled": True}}}, {"sync": 1, "webhook": 1}),
        ({"webhook": {"autoscaling": {"enabled": True, "minReplicas": 1}}}, {"sync": 1}),
    ],
)
def test_a_budget_never_guards_a_single_replica(values: dict[str, Any], found: dict[str, Any]) -> None:
    assert budgets(render(values)) == found


def test_the_autoscaler_is_off_by_default() -> None:
    assert render().of_kind("HorizontalPodAutoscaler") == []


def test_with_the_autoscaler_the_deployment_leaves_the_number_of_replicas_alone() -> None:
    rendered = autoscaled(minReplicas=3, maxReplicas=9, targetCPUUtilizationPercentage=200)
    assert "replicas" not in rendered.one("Deployment", "-webhook")["spec"]
    assert rendered.one("HorizontalPodAutoscaler", "-webhook")["spec"] == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{FULLNAME}-webhook"},
        "minReplicas": 3,
        "maxReplicas": 9,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 200}},
            }
        ],
    }


def test_sync_is_never_scaled() -> None:
    (only,) = autoscaled().of_kind("HorizontalPodAutoscaler")
    assert only["spec"]["scaleTargetRef"]["name"] == f"{FULLNAME}-webhook"
