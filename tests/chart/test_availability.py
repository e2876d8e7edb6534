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


def test_where_no_node_is_left_for_a_further_replica_another_strategy_can_be_had() -> None:
    strategy = spec("webhook", {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}})["strategy"]
    assert strategy["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}


@each_deployment
@pytest.mark.parametrize("selector", [{}, {"matchLabels": {"a": "b"}}], ids=["every Pod", "labelled Pods"])
def test_a_constraint_may_count_other_pods(component: str, selector: dict[str, Any]) -> None:
    chosen = {"topologyKey": "rack", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}
    deployment = spec(component, {"topologySpreadConstraints": [chosen]})
    assert deployment["template"]["spec"]["topologySpreadConstraints"] == [chosen]


@each_deployment
def test_no_spread_can_be_chosen(component: str) -> None:
    assert "topologySpreadConstraints" not in spec(component, {"topologySpreadConstraints": []})["template"]["spec"]


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


def test_the_writes_of_sync_have_seats_of_their_own_where_that_is_chosen_and_its_lease_does_not_wait_there() -> None:
    assert not render().of_kind("FlowSchema")
    rendered = render({"sync": {"flowControl": {"enabled": True, "shares": 7}, "workers": 64}})
    level, flow = rendered.one("PriorityLevelConfiguration", "-sync"), rendered.one("FlowSchema", "-sync")

    assert flow["spec"]["priorityLevelConfiguration"]["name"] == level["metadata"]["name"]
    assert level["spec"]["limited"]["nominalConcurrencyShares"] == 7
    assert level["spec"]["limited"]["limitResponse"]["queuing"]["queueLengthLimit"] >= 64, "a place for each worker"
    (rule,) = flow["spec"]["rules"]
    account = rendered.one("Deployment", "-sync")["spec"]["template"]["spec"]["serviceAccountName"]
    assert rule["subjects"][0]["serviceAccount"]["name"] == account
    assert {resource for part in rule["resourceRules"] for resource in part["resources"]} == {
        "secrets",
        "serviceaccounts",
    }
