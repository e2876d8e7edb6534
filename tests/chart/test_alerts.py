"""The alerts: each fires when it should and is silent otherwise, by Prometheus' own judgement."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.chart import promtool
from tests.chart.alert_cases import CASES, MINUTES, Case, leaders
from tests.chart.rendered import FULLNAME, NAMESPACE, render
from tests.unit.documented import DOCS


def groups(disabled: tuple[str, ...] = (), **values: Any) -> dict[str, Any]:  # noqa: ANN401 (values are any JSON)
    """Return the groups of rules, as a document of rules for Prometheus."""
    rule = {"enabled": True, "disabled": list(disabled)}
    spec: dict[str, Any] = render({**values, "monitoring": {"prometheusRule": rule}}).one("PrometheusRule")["spec"]
    return spec


def by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in document["groups"] for rule in group["rules"]}


def test_every_alert_has_a_case_and_every_case_an_alert() -> None:
    assert set(CASES) == set(by_name(groups()))
    assert all(CASES.values())


def expected(alert: str, case: Case, *, fires: bool) -> dict[str, Any]:
    matchers = "".join(f',{label}="{value}"' for label, value in case.by.items()) if fires else ""
    query = f'count(ALERTS{{alertname="{alert}",alertstate="firing"{matchers}}})'
    samples = [{"labels": "{}", "value": 1}] if fires else []
    return {
        "interval": "1m",
        "input_series": [
            {"series": series, "values": values} for series, values in (case.firing if fires else case.quiet).items()
        ],
        "promql_expr_test": [{"expr": query, "eval_time": f"{MINUTES}m", "exp_samples": samples}],
    }


@promtool.needed
@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_when_it_should_and_then_only(tmp_path: Path, alert: str) -> None:
    alone = {"groups": [{"name": "one", "rules": [by_name(groups())[alert]]}]}
    rule_file = promtool.written(tmp_path / "rules.yaml", alone)
    tests = [expected(alert, case, fires=fires) for case in CASES[alert] for fires in (True, False)]
    document = {"rule_files": [rule_file], "evaluation_interval": "1m", "tests": tests}
    promtool.run("test", "rules", promtool.written(tmp_path / "test.yaml", document))


@promtool.needed
def test_an_alert_that_should_fire_and_does_not_is_found(tmp_path: Path) -> None:
    """The judge itself judged: an expectation that is wrong must fail."""
    rule_file = promtool.written(tmp_path / "rules.yaml", groups())
    case = Case(leaders(1), leaders(1))
    document = {"rule_files": [rule_file], "tests": [expected("PullSecretsNoLeader", case, fires=True)]}
    with pytest.raises(AssertionError, match="FAILED"):
        promtool.run("test", "rules", promtool.written(tmp_path / "test.yaml", document))


@promtool.needed
def test_the_rules_are_valid(tmp_path: Path) -> None:
    promtool.run("check", "rules", promtool.written(tmp_path / "rules.yaml", groups()))


def test_nothing_is_left_to_be_filled_in() -> None:
    text = str(groups())
    assert not re.search(r"RELEASE_NAMESPACE|FULLNAME|_QUARTER|RUNBOOK", text)
    assert f'namespace="{NAMESPACE}"' in text
    assert f'name="{FULLNAME}-sync"' in text


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_says_what_is_wrong_in_words_that_it_has(alert: str) -> None:
    rule = by_name(groups())[alert]
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"]["summary"].endswith(".")
    grouped = {label.strip() for found in re.findall(r"by \(([\w, ]+)\)", rule["expr"]) for label in found.split(",")}
    named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["description"]))
    assert named <= grouped


@pytest.mark.parametrize("alert", CASES)
def test_no_word_of_an_alert_depends_on_a_number(alert: str) -> None:
    """A template has no plurals, so that "1 copies" would be shown."""
    assert not re.search(r'printf "%\.0f" \}\} \w', by_name(groups())[alert]["annotations"]["description"])


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_says_at_night_what_it_means_what_to_run_first_and_where_to_read_on(alert: str) -> None:
    annotations = by_name(groups())[alert]["annotations"]
    meaning, _, command = annotations["description"].partition(" First look: ")
    assert meaning.endswith(".")
    assert command.split()[0] in {"kubectl", "pullsecrets"}
    address, _, anchor = annotations["runbook_url"].partition("#")
    assert address == "docs/alerts.md"
    assert f'<a id="{anchor}"></a>`{alert}`' in (DOCS / "alerts.md").read_text()


def test_the_address_of_the_runbook_can_be_that_of_a_published_page() -> None:
    monitoring = {"prometheusRule": {"enabled": True, "runbookUrl": "https://docs.example.com/alerts/"}}
    spec = render({"monitoring": monitoring}).one("PrometheusRule")["spec"]
    assert by_name(spec)["PullSecretsNoLeader"]["annotations"]["runbook_url"] == (
        "https://docs.example.com/alerts/#pullsecretsnoleader"
    )


def test_an_alert_can_be_left_out_and_a_group_without_any_goes() -> None:
    left_out = ("PullSecretsConfigurationRefused", "PullSecretsNoLeader")
    document = groups(left_out)
    assert set(by_name(document)) == set(by_name(groups())) - set(left_out)
    assert "pull-secret-webhook-configuration" not in [group["name"] for group in document["groups"]]


def test_the_lifetimes_of_the_values_are_those_of_the_alerts() -> None:
    found = by_name(groups(certificates={"lifetime": "4h", "caLifetime": "8h"}))
    assert found["PullSecretsCertificateExpiring"]["expr"].endswith("< 3600")
    assert found["PullSecretsAuthorityExpiring"]["expr"].endswith("< 7200")
