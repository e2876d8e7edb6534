"""No sentence promises a write that will not happen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from webhook.core.explain.obstacle import Holder, Obstacle, Report, Writer, obstacle_in
from webhook.core.explain.step import Verdict
from webhook.core.preview.row import PreviewReason

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
TERM = timedelta(seconds=15)
LEADS = Holder("psw", "psw-sync", "pod-1", NOW - timedelta(seconds=2), TERM)


def report(reason: str = "CopyDenied", message: str = "quota exceeded", minutes: float = 1) -> Report:
    return Report("team-a", reason, message, NOW - timedelta(minutes=minutes))


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
        assert words in found.why
        assert "kubectl get pods -n psw" in found.advice


def test_what_was_reported_last_is_the_obstacle_and_old_or_other_events_do_not_count() -> None:
    assert obstacle_in(LEADS, [], NOW) is None
    assert obstacle_in(LEADS, [report(minutes=6), report("SourceRecovered")], NOW) is None
    found = obstacle_in(LEADS, [report(minutes=3), report("CopyChangedRepeatedly", "it is changed", 1)], NOW)
    assert found is not None
    assert found.why == "it is changed (Event CopyChangedRepeatedly, 11:59:00 UTC)"
    assert found.advice == "kubectl get events -n team-a --field-selector reason=CopyChangedRepeatedly"


def test_a_missing_leader_comes_before_what_was_reported() -> None:
    found = obstacle_in(Holder("psw", "psw-sync"), [report()], NOW)
    assert found is not None
    assert "Lease" in found.why


def test_seconds_are_promised_only_when_a_replica_leads_and_nothing_is_reported() -> None:
    def due(writer: Writer) -> tuple[str, str]:
        step = writer.due("copy", "the copy is not there yet", PreviewReason.COPY_DUE, "registry")
        assert (step.verdict, step.reason) == (Verdict.STOP, "copy-due")
        return step.why, step.advice

    assert "within seconds" in due(Writer(known=True))[1]
    assert "within seconds" not in due(Writer())[1]
    obstacle = Obstacle("the API server refused a write: quota", "kubectl get events")
    why, advice = due(Writer(known=True, obstacle=obstacle))
    assert why == "the copy is not there yet: the API server refused a write: quota"
    assert advice == "kubectl get events"
