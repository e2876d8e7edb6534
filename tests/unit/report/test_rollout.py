"""The sentences about a rotation are true whatever was before, and say no more than is known."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from webhook.report.rollout import describe_rollout, next_steps, rollout_notice, unused_sentence
from webhook.rules.rollout import HoldReason, Progress, Rollout, Stage, Verb
from webhook.rules.state_document import LastGood, StoredRollout

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def rollout(stage: Stage) -> Rollout:
    return Rollout("id", stage, NOW, "base", "" if stage in (Stage.SETTLED, Stage.COMPLETE) else "new")


def message(before: Rollout | None, after: Rollout) -> str:
    notice = rollout_notice("reg", before, after, lambda verb: f"<{verb}>")
    assert notice is not None
    return notice.message


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        (Stage.SETTLED, "every namespace keeps the previous one for now"),
        (Stage.CANARY, "the canary namespaces get the previous one back for now"),
        (Stage.ROLLING_OUT, "every namespace gets the one that was being rolled out for now"),
    ],
)
def test_what_namespaces_have_while_a_content_is_proved_depends_on_the_stage_before(stage: Stage, told: str) -> None:
    after = replace(rollout(Stage.PROPOSED), proposed="newer")
    assert message(rollout(stage), after).endswith(told)


def test_a_hold_without_an_answer_ends_by_itself() -> None:
    held = replace(rollout(Stage.HELD), reason=HoldReason.UNPROVED)
    assert "it continues by itself when they answer" in message(None, held)
    assert f"<{Verb.PROMOTE}>" in message(None, held)


def test_a_new_leader_does_not_claim_that_copies_have_been_written_back() -> None:
    held = replace(rollout(Stage.HELD), reason=HoldReason.REFUSED)
    assert "No namespace is to have the new content" in message(None, held)
    assert describe_rollout(held, Progress(remaining=2, total=3)).endswith(
        "1 copy with the new content gets the previous one"
    )


@pytest.mark.parametrize("previous", ["base of before", ""])
def test_only_what_the_rotation_has_replaced_is_to_be_revoked(previous: str) -> None:
    complete = replace(rollout(Stage.COMPLETE), previous=previous, unused_since=NOW)
    sentence = unused_sentence(complete)
    assert "no copy in a selected namespace has the previous content since 2026-01-01" in sentence
    assert sentence.endswith("revoke each credential that only that content had")


def test_what_is_replaced_is_not_to_be_revoked_before_the_overlap_is_over() -> None:
    complete = replace(rollout(Stage.COMPLETE), previous="base of before")
    kept = LastGood(b"{}", (), NOW)
    assert next_steps("reg", StoredRollout(complete, Progress(), kept)).endswith(
        "revoke reg --dry-run --previous; when the overlap is over, revoke what it lists"
    )
    assert next_steps("reg", StoredRollout(complete)) == ""
