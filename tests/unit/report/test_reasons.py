"""Each reason id is the same in ``explain``, in the logs and in the metrics."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from prometheus_client import generate_latest

from tests.exposition import series
from tests.unit.ops.statuses import status
from tests.unit.sync.world import RELEASE
from webhook.cli import main
from webhook.errors import SourceInvalid
from webhook.http.counters import PortCounters
from webhook.kube.client import Client
from webhook.kube.events import EventRecorder
from webhook.ops.log_format import LogFormat, LogLevel
from webhook.ops.logs import configure
from webhook.ops.metrics import AdmissionMetrics
from webhook.ops.sync_metrics import SyncMetrics
from webhook.report.preview.row import PreviewReason
from webhook.report.reasons import CATALOG
from webhook.rules.actions import Finding, FindingReason
from webhook.rules.configuration import PullSecret, Reason
from webhook.rules.credential import SourceReason
from webhook.rules.expiry import ExpiryReason
from webhook.rules.healing import HealingReason
from webhook.rules.rollout import HoldReason, Rollout, Stage
from webhook.serve.handler import ReviewReply
from webhook.serve.process import DecisionLog
from webhook.sync.credential_watch import ExpiryGroup
from webhook.sync.events import EventReporter
from webhook.sync.source import Source

OF_A_SOURCE = [*SourceReason, *ExpiryReason, *HoldReason, *FindingReason]


def logged(capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Return the values of ``reason`` and ``finding`` in what was logged."""
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return {line[key] for line in lines for key in ("reason", "finding") if key in line}


def test_the_catalog_has_each_once_in_the_order_of_the_gates() -> None:
    assert list(CATALOG) == [*Reason, *OF_A_SOURCE, *PreviewReason, *HealingReason]


@pytest.mark.parametrize("reason", list(CATALOG))
def test_explain_knows_each(reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explain", f"reason/{reason}"])
    assert not ended.value.code
    text = CATALOG[reason]
    assert capsys.readouterr().out == f"{reason}: {text.meaning}\nwhat to do: {text.advice}\n".replace("`", "")


@pytest.mark.parametrize("reason", list(Reason))
def test_each_decision_is_in_the_log_and_the_metrics_of_the_webhook(
    reason: Reason, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = ReviewReply(b"", "pods", "CREATE", reason, namespace="team-a", name="web")
    configure(LogFormat.JSON, LogLevel.DEBUG)
    DecisionLog().answered(answer)
    metrics = AdmissionMetrics(PortCounters())
    metrics.answered(answer, 0.001)

    assert logged(capsys) == {reason}
    counted = [family for family in metrics.registry.collect() if family.name == "pullsecrets_admission_requests"]
    assert [sample.labels["reason"] for family in counted for sample in family.samples] == [reason]


def test_what_is_wrong_with_sources_and_copies_is_in_the_log_of_the_loop(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(LogFormat.JSON, LogLevel.INFO)
    reporter = EventReporter(EventRecorder(client), RELEASE)
    for reason in SourceReason:
        problem = SourceInvalid(reason, "it cannot be used")
        if reason is SourceReason.COPY_TOO_LARGE:
            reporter.copy_refused("pull", problem)
        else:
            reporter.source_changed(Source("harbor", problem=problem))
    for expiry in set(ExpiryReason) - {ExpiryReason.UNREADABLE}:
        reporter.credentials_expire("harbor", ["registry.example.com"], ExpiryGroup(expiry, "expires soon"))
    reporter.expiry_unreadable("harbor", "it is not a time")
    for held in HoldReason:
        rollout = Rollout("id", Stage.HELD, datetime.now(UTC), "old", "new", reason=held)
        reporter.rollout_moved(PullSecret("pull", ("harbor",)), None, rollout)
    for finding in FindingReason:
        reporter.report_findings(f"team-{finding}", [Finding(finding, "pull", "default")])

    assert logged(capsys) == set(map(str, OF_A_SOURCE))


def test_what_is_wrong_with_sources_and_copies_is_in_the_metrics_of_the_loop() -> None:
    metrics = SyncMetrics()
    metrics.follow_state(lambda: status(problems=dict.fromkeys(map(str, OF_A_SOURCE), 1)))
    exported = series(generate_latest(metrics.registry).decode())
    assert [name for name in exported if name.startswith("pullsecrets_sync_problems")] == [
        f'pullsecrets_sync_problems{{reason="{reason}"}}' for reason in OF_A_SOURCE
    ]
