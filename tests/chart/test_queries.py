"""The queries of alerts and dashboard ask for metrics and labels that there are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.chart import promtool, queries
from tests.chart.rendered import FULLNAME, NAMESPACE, render
from tests.cluster.helm import CHART
from tools.chart import dashboard
from tools.chart.dashboard_rows import ANNOTATIONS, ROWS

DOCS = Path(__file__).parents[2] / "docs"
KNOWN: Mapping[str, queries.Metric] = {**queries.of_both_roles(), **queries.API_SERVER}
PANELS = [panel for panels in ROWS.values() for panel in panels]
RULES = {
    rule["alert"]: rule
    for group in yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
}
QUERIES = {
    **{f"{panel.title} {legend}": query for panel in PANELS for legend, query in panel.queries.items()},
    **{name: query for name, _, _, query in ANNOTATIONS},
    **{alert: rule["expr"] for alert, rule in RULES.items()},
}
each_query = pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)


def problems(query: str) -> list[str]:
    """Return what a query asks for that there is not."""
    found, labels = [], {"le", *queries.TARGET_LABELS}
    for name, matched in queries.asked(query):
        resolved = queries.resolve(name, KNOWN)
        if resolved is None:
            found.append(f"no metric {name}")
            continue
        metric, is_counter = resolved
        labels |= metric.labels
        found += [f"no label {label} on {name}" for label in matched - metric.labels - queries.TARGET_LABELS]
        if name in queries.over_time(query) and not is_counter:
            found.append(f"{name} is no counter")
    return found + [f"no label {label} to group by" for label in queries.grouped(query) - labels]


@each_query
def test_every_query_asks_for_what_there_is(query: str) -> None:
    assert list(queries.asked(query))
    assert problems(query) == []


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("sum(pullsecrets_sync_copie)", "no metric pullsecrets_sync_copie"),
        ('pullsecrets_sync_copies{stat="x"}', "no label stat on pullsecrets_sync_copies"),
        ("rate(pullsecrets_sync_copies{}[5m])", "pullsecrets_sync_copies is no counter"),
        ("sum by (colour) (pullsecrets_sync_copies)", "no label colour to group by"),
        ("pullsecrets_sync_copies_bucket", "no metric pullsecrets_sync_copies_bucket"),
    ],
)
def test_a_query_for_what_there_is_not_is_found(query: str, problem: str) -> None:
    assert problems(query) == [problem]


@each_query
def test_every_query_is_about_one_release(query: str) -> None:
    """The names of the webhooks are those of every release; all else is told apart by the namespace."""
    ours = ('namespace="$namespace"', 'namespace="RELEASE_NAMESPACE"', "[.]pullsecrets[.]webhook")
    assert any(matcher in query for matcher in ours)


@promtool.needed
def test_every_query_of_the_dashboard_is_valid(tmp_path: Path) -> None:
    filled = [
        query.replace("$__rate_interval", "5m").replace("$__range", "3h")
        for panel in PANELS
        for query in panel.queries.values()
    ]
    filled += [query for _, _, _, query in ANNOTATIONS]
    rules = [{"record": f"panel:{index}", "expr": query} for index, query in enumerate(filled)]
    document = {"groups": [{"name": "dashboard", "rules": rules}]}
    promtool.run("check", "rules", promtool.written(tmp_path / "dashboard.yaml", document))


TARGET = 'cluster="",namespace="pull-secrets"'
LEADER_AND_STANDBY = {
    f'leader_election_master_status{{{TARGET},pod="one",name="psw-sync"}}': "1x10",
    f'leader_election_master_status{{{TARGET},pod="two",name="psw-sync"}}': "0x10",
}


def judge(folder: Path, title: str, legend: str, series: Mapping[str, str], expected: int | None) -> None:
    """Compare the number in a panel after ten minutes; None is a panel without data."""
    panel = next(panel for panel in PANELS if panel.title == title)
    query = panel.queries[legend].replace("$cluster", "").replace("$namespace", "pull-secrets")
    samples = [] if expected is None else [{"labels": "{}", "value": expected}]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": query.replace("$__rate_interval", "5m"), "eval_time": "10m", "exp_samples": samples}
        ],
    }
    promtool.run("test", "rules", promtool.written(folder / "test.yaml", {"rule_files": [], "tests": [test]}))


@promtool.needed
def test_the_names_in_the_queue_of_a_standby_do_not_wait(tmp_path: Path) -> None:
    depth = f'workqueue_depth{{{TARGET},name="namespaces",pod='
    series = {**LEADER_AND_STANDBY, f'{depth}"one"}}': "3x10", f'{depth}"two"}}': "500x10"}
    judge(tmp_path, "Namespaces", "waiting", series, 3)


@promtool.needed
def test_the_names_that_a_standby_adds_to_its_queue_do_not_count(tmp_path: Path) -> None:
    adds = f'workqueue_adds_total{{{TARGET},name="namespaces",pod='
    series = {**LEADER_AND_STANDBY, f'{adds}"one"}}': "0+60x10", f'{adds}"two"}}': "0+600x10"}
    judge(tmp_path, "Queue: namespaces added", "all", series, 1)


@promtool.needed
@pytest.mark.parametrize("title", ["Invalid sources", "Copies not current"])
def test_without_metrics_of_sync_no_number_claims_that_all_is_well(tmp_path: Path, title: str) -> None:
    judge(tmp_path, title, "", {}, None)
    judge(tmp_path, title, "", LEADER_AND_STANDBY, 0)


def test_the_dashboard_in_the_chart_is_the_one_that_is_written_here() -> None:
    assert dashboard.text() == dashboard.FILE.read_text(), "run `make fix`"


def test_no_panel_lies_over_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard.dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert all(x < dashboard.WIDTH for x, _ in cells)
        taken |= cells


def test_every_panel_has_a_description() -> None:
    assert [panel.title for panel in PANELS if not panel.about.endswith(".")] == []


@each_query
def test_every_query_of_the_dashboard_is_about_the_chosen_cluster(query: str) -> None:
    selectors = re.findall(r"\w+\{[^}]*\}", query)
    if query not in {rule["expr"] for rule in RULES.values()}:
        assert selectors
        assert all('cluster=~"$cluster"' in selector for selector in selectors)


def test_a_legend_names_labels_that_its_query_has() -> None:
    for panel in PANELS:
        for legend, query in panel.queries.items():
            named = set(re.findall(r"\{\{(\w+)\}\}", legend))
            kept = queries.grouped(query) | {"pod"}
            for name, _ in queries.asked(query):
                resolved = queries.resolve(name, KNOWN)
                kept |= resolved[0].labels if resolved and not queries.grouped(query) else set()
            assert named <= kept, (panel.title, legend)


def test_the_dashboard_is_a_config_map_that_grafana_finds() -> None:
    values = {"monitoring": {"dashboard": {"enabled": True, "annotations": {"folder": "platform"}}}}
    found = render(values).one("ConfigMap", "-dashboard")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["metadata"]["annotations"] == {"folder": "platform"}
    assert found["data"] == {f"{FULLNAME}.json": dashboard.text()}


def test_the_pod_monitor_reads_the_metrics_of_both_roles() -> None:
    rendered = render(
        {"monitoring": {"podMonitor": {"enabled": True, "interval": "1m", "labels": {"release": "prom"}}}}
    )
    monitor = rendered.one("PodMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prom"
    assert monitor["spec"]["podMetricsEndpoints"] == [{"port": "metrics", "interval": "1m"}]
    (components,) = monitor["spec"]["selector"]["matchExpressions"]
    for component in components["values"]:
        deployment = rendered.one("Deployment", f"-{component}")
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert components["key"] in labels
        assert {"name": "metrics", "containerPort": 8080} in rendered.container(component)["ports"]
    assert monitor["metadata"]["namespace"] == NAMESPACE
