"""No sentence promises a write that will not happen."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import pytest

from webhook.report.explain.obstacle import (
    ControllerState,
    EventReport,
    Holder,
    Obstacle,
    Target,
    nearest_obstacle,
    obstacle_everywhere,
    standing_reports,
)
from webhook.report.preview.row import PreviewReason
from webhook.report.protocol import Severity

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
TERM = timedelta(seconds=15)
LEADS = Holder("psw", "psw-sync", "pod-1", NOW - timedelta(seconds=2), TERM)


def report(
    reason: str = "CopyDenied", message: str = "quota exceeded", minutes: float = 1, target: str = "Namespace/team-a"
) -> EventReport:
    kind, _, name = target.partition("/")
    return EventReport("team-a", reason, message, NOW - timedelta(minutes=minutes), kind, name)


def standing(*reports: EventReport, right: Collection[Target] = (), written: bool = False) -> tuple[EventReport, ...]:
    return standing_reports(reports, NOW, lambda target: target in right, lambda _: written)


@pytest.mark.parametrize(
    ("holder", "words"),
    [
        (Holder("psw", "psw-sync"), "no replica of sync holds the Lease psw/psw-sync"),
        (
            Holder("psw", "psw-sync", "pod-1", NOW - timedelta(seconds=21), timedelta(seconds=15)),
            "pod-1 has not renewed",
        ),
        (LEADS, ""),
        (Holder("psw", "psw-sync", "pod-1", NOW + timedelta(minutes=1), TERM), ""),
    ],
)
def test_a_lease_that_no_replica_holds_is_an_obstacle(holder: Holder, words: str) -> None:
    found = holder.obstacle(NOW)
    assert (found is not None) == bool(words)
    if found is not None:
        assert words in found.message
        assert "kubectl get pods -n psw" in found.advice


def test_what_was_reported_last_is_the_obstacle_and_old_or_other_events_do_not_count() -> None:
    assert nearest_obstacle(standing(), ()) is None
    assert nearest_obstacle(standing(report(minutes=6), report("SourceRecovered")), ()) is None
    found = nearest_obstacle(standing(report(minutes=3), report("CopyChangedRepeatedly", "it is changed", 1)), ())
    assert found is not None
    assert found.message == "it is changed (Event CopyChangedRepeatedly, 11:59:00 UTC)"
    assert found.advice == "kubectl get events -n team-a --field-selector reason=CopyChangedRepeatedly"


def test_a_report_about_the_object_itself_comes_before_a_later_one_about_another() -> None:
    of_copy, of_account = report(minutes=3, target="Secret/pull"), report(minutes=1, target="ServiceAccount/ci")
    reports = standing(of_copy, of_account)
    found, other = nearest_obstacle(reports, {("Secret", "pull")}), nearest_obstacle(reports, {("Secret", "other")})
    assert found == of_copy.obstacle()
    assert other is not None
    assert not other.is_cause
    assert other.message == "sync reports about ServiceAccount ci: quota exceeded (Event CopyDenied, 11:59:00 UTC)"
    step = ControllerState(True, None, reports).due(
        "copy", "it is due", PreviewReason.COPY_DUE, "other", {("Secret", "other")}
    )
    assert step.message.startswith("it is due; sync reports about")


def test_a_report_is_over_when_its_object_is_right_or_was_written_since() -> None:
    refused = report(target="Secret/pull")
    assert standing(refused) == (refused,)
    assert standing(refused, right={("Secret", "pull")}) == ()
    assert standing(refused, written=True) == ()
    # Writes of the controller are no proof that nobody undoes them any more.
    undone = report("CopyChangedRepeatedly", target="Secret/pull")
    assert standing(undone, written=True) == (undone,)


@pytest.mark.parametrize(
    ("reports", "named"),
    [
        ([report("WritesPaused", "all writes pause")], "all writes pause"),
        ([report("WritesPaused", minutes=1), report("WritesResumed", minutes=0.5)], ""),
        ([report("WritesResumed", minutes=1), report("WritesPaused", "all writes pause", 0.5)], "all writes pause"),
        ([report("WatchForbidden", "secrets may not be watched")], "secrets may not be watched"),
        ([report("WatchForbidden", minutes=3)], ""),
        ([report("CopyDenied")], ""),
    ],
)
def test_reports_of_the_release_namespace_are_in_the_way_everywhere(reports: list[EventReport], named: str) -> None:
    found = obstacle_everywhere(LEADS, reports, NOW)
    assert (found is not None) == bool(named)
    if found is not None:
        assert found.message.startswith(named)


def test_a_missing_leader_comes_before_what_was_reported() -> None:
    found = obstacle_everywhere(Holder("psw", "psw-sync"), [report("WritesPaused")], NOW)
    assert found is not None
    assert "Lease" in found.message


def test_seconds_are_promised_only_when_a_replica_leads_and_nothing_is_reported() -> None:
    def due(writer: ControllerState) -> tuple[str, str]:
        step = writer.due("copy", "the copy is not there yet", PreviewReason.COPY_DUE, "registry")
        assert (step.severity, step.reason) == (Severity.FAULT, "copy-due")
        return step.message, step.advice

    assert "within seconds" in due(ControllerState(is_known=True))[1]
    assert "within seconds" not in due(ControllerState())[1]
    obstacle = Obstacle("the API server refused a write: quota", "kubectl get events")
    message, advice = due(ControllerState(is_known=True, obstacle=obstacle))
    assert message == "the copy is not there yet: the API server refused a write: quota"
    assert advice == "kubectl get events"
