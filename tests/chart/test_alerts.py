"""The alerts: each fires when it should and is silent otherwise, by Prometheus' own judgement."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.chart import promtool
from tests.chart.rendered import FULLNAME, NAMESPACE, render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MINUTES = 40
DAY = 24 * 3600
OURS = f'namespace="{NAMESPACE}"'
LEASE = f'leader_election_master_status{{{OURS},name="{FULLNAME}-sync",pod='
NO_SERIES: Mapping[str, str] = {}


def groups(disabled: tuple[str, ...] = (), **values: Any) -> dict[str, Any]:  # noqa: ANN401 (values are any JSON)
    """Return the groups of rules, as a document of rules for Prometheus."""
    rule = {"enabled": True, "disabled": list(disabled)}
    spec: dict[str, Any] = render({**values, "monitoring": {"prometheusRule": rule}}).one("PrometheusRule")["spec"]
    return spec


def by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in document["groups"] for rule in group["rules"]}


GROUPS = groups()
ALL = by_name(GROUPS)


@dataclass(frozen=True, slots=True)
class Case:
    """Series by their names, in promtool's notation, once as they should alarm and once as they should not."""

    firing: Mapping[str, str]
    quiet: Mapping[str, str]
    times: int = 1
    by: Mapping[str, str] = field(default_factory=dict)


def gauge(name: str, labels: str = "", *, bad: str, good: str, **by: str) -> Case:
    series = f"{name}{{{OURS}{labels and ','}{labels}}}"
    return Case({series: bad}, {series: good}, by=by)


def leaders(*values: int) -> dict[str, str]:
    return {f'{LEASE}"sync-{index}"}}': f"{value}x{MINUTES}" for index, value in enumerate(values)}


def expiry(
    seconds: int, name: str = "pullsecrets_certificate_expiry_timestamp_seconds", pod: str = "a"
) -> dict[str, str]:
    return {f'{name}{{{OURS},pod="{pod}"}}': f"{MINUTES * 60 + seconds}x{MINUTES}"}


def on_api_server(metric: str, *, counted: str, watched: str) -> dict[str, str]:
    """One counter of the API server, and since when Prometheus has been looking at that."""
    target = 'job="apiserver",instance="10.0.0.1"'
    return {
        f'{metric}{{name="pods.pullsecrets.webhook",{target}}}': counted,
        f'{metric}{{name="pods.example.com",{target}}}': f"0+1x{MINUTES}",
        f"up{{{target}}}": watched,
    }


def on_replica(series: str, *, counted: str, watched: str) -> dict[str, str]:
    return {series: counted, f'pullsecrets_build_info{{{OURS},pod="a"}}': watched}


ALWAYS = f"1x{MINUTES}"
SINCE_NOW = f"_x35 1x{MINUTES}"
NEW = f"_x38 1x{MINUTES}"
OLD = f"7x{MINUTES}"
RISING = f"7x35 9x{MINUTES}"
FAILED_OPEN = "apiserver_admission_webhook_fail_open_count"
REFUSED = "apiserver_admission_webhook_rejection_count"
FULL = f'pullsecrets_admission_refused_total{{{OURS},pod="a",code="429"}}'
DEFECT = f'pullsecrets_admission_requests_total{{{OURS},pod="a",resource="pods",reason="internal-error"}}'
COPIES = 'pull_secret="x",pod="a",state='
CLIENT_CA = "pullsecrets_client_ca_expiry_timestamp_seconds"
AUTHORITY = "pullsecrets_certificate_authority_expiry_timestamp_seconds"

CASES: dict[str, list[Case]] = {
    "PullSecretsWebhookDown": [
        Case(NO_SERIES, {f'pullsecrets_admission_in_flight_requests{{{OURS},pod="a"}}': f"0x{MINUTES}"}),
    ],
    "PullSecretsFailedOpen": [
        Case(
            on_api_server(FAILED_OPEN, counted=counted, watched=ALWAYS),
            on_api_server(FAILED_OPEN, counted=OLD, watched=SINCE_NOW),
            by={"name": "pods.pullsecrets.webhook"},
        )
        for counted in (RISING, NEW)
    ],
    "PullSecretsRequestsRefused": [
        Case(
            on_api_server(REFUSED, counted=counted, watched=ALWAYS),
            on_api_server(REFUSED, counted=OLD, watched=SINCE_NOW),
            by={"name": "pods.pullsecrets.webhook"},
        )
        for counted in (RISING, NEW)
    ],
    "PullSecretsOverloaded": [
        Case(on_replica(FULL, counted=counted, watched=ALWAYS), on_replica(FULL, counted=OLD, watched=SINCE_NOW))
        for counted in (RISING, NEW)
    ],
    "PullSecretsInternalError": [
        Case(on_replica(DEFECT, counted=counted, watched=ALWAYS), on_replica(DEFECT, counted=OLD, watched=SINCE_NOW))
        for counted in (RISING, NEW)
    ],
    "PullSecretsNamespacesStale": [
        gauge("pullsecrets_namespaces_stale_seconds", 'pod="a"', bad=f"0+60x{MINUTES}", good=f"30x{MINUTES}", pod="a"),
    ],
    "PullSecretsNoLeader": [Case(leaders(0, 0), leaders(1, 0)), Case(NO_SERIES, leaders(0, 1))],
    "PullSecretsSourceInvalid": [
        gauge(
            "pullsecrets_sync_source_valid", 'source="harbor",pod="a"', bad=f"0x{MINUTES}", good=ALWAYS, source="harbor"
        ),
        gauge("pullsecrets_sync_source_valid", 'source="harbor",pod="a"', bad=f"0x{MINUTES}", good=f"1x35 0x{MINUTES}"),
    ],
    "PullSecretsNotReady": [
        Case(
            {
                f'pullsecrets_sync_pull_secret_ready{{{OURS},pull_secret="x",pod="a"}}': f"0x{MINUTES}",
                f'pullsecrets_sync_source_valid{{{OURS},source="harbor",pod="a"}}': ALWAYS,
            },
            {
                f'pullsecrets_sync_pull_secret_ready{{{OURS},pull_secret="x",pod="a"}}': f"0x{MINUTES}",
                f'pullsecrets_sync_source_valid{{{OURS},source="harbor",pod="a"}}': f"0x{MINUTES}",
            },
            by={"pull_secret": "x"},
        ),
    ],
    "PullSecretsCopiesNotCurrent": [
        gauge(
            "pullsecrets_sync_copies", f'{COPIES}"{state}"', bad=f"3x{MINUTES}", good=f"0x30 3x{MINUTES}", state=state
        )
        for state in ("stale", "missing", "failing", "leaving")
    ],
    "PullSecretsCopiesConflicting": [
        gauge(
            "pullsecrets_sync_copies",
            f'{COPIES}"conflicting"',
            bad=f"1x{MINUTES}",
            good=f"0x{MINUTES}",
            pull_secret="x",  # noqa: S106 (a name)
        ),
    ],
    "PullSecretsContended": [
        gauge("pullsecrets_sync_contended_objects", 'kind="Secret"', bad=f"2x{MINUTES}", good=f"2x20 0x{MINUTES}"),
    ],
    "PullSecretsNamespaceWaits": [
        gauge("pullsecrets_sync_oldest_unreconciled_seconds", bad=f"0+60x{MINUTES}", good=f"120x{MINUTES}"),
    ],
    "PullSecretsLoopStandsStill": [
        gauge("pullsecrets_sync_last_full_pass_seconds", bad=f"0+60x{MINUTES}", good=f"600x{MINUTES}"),
    ],
    "PullSecretsWatchDown": [
        gauge("pullsecrets_sync_watches_down", 'pod="a"', bad=f"1x{MINUTES}", good=f"0x38 1x{MINUTES}", pod="a"),
    ],
    "PullSecretsCertificateExpiring": [
        Case(expiry(7 * DAY), expiry(8 * DAY)),
        Case({**expiry(20 * DAY), **expiry(2 * DAY, pod="b")}, {**expiry(20 * DAY), **expiry(-MINUTES * 60, pod="b")}),
    ],
    "PullSecretsCertificateExpired": [Case(expiry(-60), expiry(60))],
    "PullSecretsAuthorityExpiring": [Case(expiry(90 * DAY, AUTHORITY), expiry(92 * DAY, AUTHORITY))],
    "PullSecretsCallersAuthorityExpiring": [
        Case(expiry(13 * DAY, CLIENT_CA), expiry(15 * DAY, CLIENT_CA)),
        Case(expiry(-60, CLIENT_CA), {f'{CLIENT_CA}{{{OURS},pod="a"}}': f"0x{MINUTES}"}),
    ],
    "PullSecretsCertificateRefused": [
        gauge("pullsecrets_certificate_last_reload_successful", 'pod="a"', bad=f"0x{MINUTES}", good=ALWAYS, pod="a"),
        Case(
            {
                f'pullsecrets_client_ca_last_reload_successful{{{OURS},pod="a"}}': f"0x{MINUTES}",
                **expiry(DAY, CLIENT_CA),
            },
            {
                f'pullsecrets_client_ca_last_reload_successful{{{OURS},pod="a"}}': f"0x{MINUTES}",
                f'{CLIENT_CA}{{{OURS},pod="a"}}': f"0x{MINUTES}",
            },
        ),
    ],
    "PullSecretsCertificatesDiffer": [
        Case(
            {**expiry(20 * DAY), **expiry(30 * DAY, pod="b")},
            {**expiry(30 * DAY), **expiry(30 * DAY, pod="b"), **expiry(-MINUTES * 60, pod="standby")},
        ),
    ],
    "PullSecretsConfigurationRefused": [
        gauge("pullsecrets_config_last_reload_successful", 'pod="a"', bad=f"0x{MINUTES}", good=ALWAYS, pod="a"),
    ],
}


def test_every_alert_has_a_case_and_every_case_an_alert() -> None:
    assert set(CASES) == set(ALL)
    assert all(CASES.values())


def expected(alert: str, case: Case, *, fires: bool) -> dict[str, Any]:
    matchers = "".join(f',{label}="{value}"' for label, value in case.by.items()) if fires else ""
    query = f'count(ALERTS{{alertname="{alert}",alertstate="firing"{matchers}}})'
    samples = [{"labels": "{}", "value": case.times}] if fires else []
    return {
        "interval": "1m",
        "input_series": [
            {"series": series, "values": values} for series, values in (case.firing if fires else case.quiet).items()
        ],
        "promql_expr_test": [{"expr": query, "eval_time": f"{MINUTES}m", "exp_samples": samples}],
    }


@promtool.needed
@pytest.mark.parametrize(
    ("alert", "case"),
    [
        pytest.param(alert, case, id=f"{alert}-{index}")
        for alert, cases in CASES.items()
        for index, case in enumerate(cases)
    ],
)
@pytest.mark.parametrize("fires", [True, False], ids=["fires", "is silent"])
def test_an_alert_fires_when_it_should_and_then_only(tmp_path: Path, alert: str, case: Case, fires: bool) -> None:
    alone = {"groups": [{"name": "one", "rules": [ALL[alert]]}]}
    rule_file = promtool.written(tmp_path / "rules.yaml", alone)
    tests = [expected(alert, case, fires=fires)]
    document = {"rule_files": [rule_file], "evaluation_interval": "1m", "tests": tests}
    promtool.run("test", "rules", promtool.written(tmp_path / "test.yaml", document))


@promtool.needed
def test_an_alert_that_should_fire_and_does_not_is_found(tmp_path: Path) -> None:
    """The judge itself judged: an expectation that is wrong must fail."""
    rule_file = promtool.written(tmp_path / "rules.yaml", GROUPS)
    case = Case(leaders(1), leaders(1))
    document = {"rule_files": [rule_file], "tests": [expected("PullSecretsNoLeader", case, fires=True)]}
    with pytest.raises(AssertionError, match="FAILED"):
        promtool.run("test", "rules", promtool.written(tmp_path / "test.yaml", document))


@promtool.needed
def test_the_rules_are_valid(tmp_path: Path) -> None:
    promtool.run("check", "rules", promtool.written(tmp_path / "rules.yaml", GROUPS))


def test_nothing_is_left_to_be_filled_in() -> None:
    text = str(GROUPS)
    assert not re.search(r"RELEASE_NAMESPACE|FULLNAME|_QUARTER", text)
    assert f'namespace="{NAMESPACE}"' in text
    assert f'name="{FULLNAME}-sync"' in text


@pytest.mark.parametrize("alert", ALL)
def test_an_alert_says_what_is_wrong_in_words_that_it_has(alert: str) -> None:
    rule = ALL[alert]
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"]["summary"].endswith(".")
    grouped = {label.strip() for found in re.findall(r"by \(([\w, ]+)\)", rule["expr"]) for label in found.split(",")}
    named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["description"]))
    assert named <= grouped


def test_an_alert_can_be_left_out_and_a_group_without_any_goes() -> None:
    left_out = ("PullSecretsConfigurationRefused", "PullSecretsNoLeader")
    document = groups(left_out)
    assert set(by_name(document)) == set(ALL) - set(left_out)
    assert "pull-secret-webhook-configuration" not in [group["name"] for group in document["groups"]]


def test_the_lifetimes_of_the_values_are_those_of_the_alerts() -> None:
    found = by_name(groups(certificates={"lifetime": "4h", "caLifetime": "8h"}))
    assert found["PullSecretsCertificateExpiring"]["expr"].endswith("< 3600")
    assert found["PullSecretsAuthorityExpiring"]["expr"].endswith("< 7200")
