"""``explain`` reports the stage of a rotation, the content of the copy and the answer of the registries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from webhook.report.explain.explanation import ExplainInput, explain_namespace, explain_subject
from webhook.report.explain.obstacle import ControllerState, EventReport
from webhook.report.explain.rotation import RotationEvents, latest_events
from webhook.report.explain.step import Explanation, Step
from webhook.report.preview.cluster_view import ClusterView
from webhook.report.preview.copies import hashes_for
from webhook.report.preview.secrets import Expected, Sources
from webhook.report.protocol import Severity
from webhook.report.rollout import proof_sentence, rollout_notice
from webhook.rules import rollout as rules
from webhook.rules.configuration import Configuration, ProofSettings, PullSecret, RolloutSettings
from webhook.rules.objects import Copy, Namespace, NamespaceState, ServiceAccount, Subject
from webhook.rules.ownership import Mark
from webhook.rules.plan import plan_namespace
from webhook.rules.references import References
from webhook.rules.rollout import Progress, ProofOutcome, Rollout, Stage, Verb
from webhook.rules.state_document import StoredRollout

NOW = datetime(2026, 11, 28, 10, tzinfo=UTC)
SETTINGS = RolloutSettings(ProofSettings(), ("staging-*",), soak=60.0, max_per_second=5, overlap=600.0)
ENTRY = PullSecret("pull", ("harbor",), rollout=SETTINGS)
CONFIGURATION = Configuration((ENTRY,)).excluding("pull-secrets")
PROGRESS = Progress(canary=2, canary_reached=2, remaining=3, total=5)
CANARY, OTHER = "staging-a", "team-a"
LACKING = "you lack the right to get secrets/psw-state in namespace pull-secrets"


def proposed() -> Rollout:
    return rules.propose(rules.first("old", "a", NOW), "new", "b", NOW)


def proved() -> Rollout:
    return rules.prove(proposed(), ProofOutcome.PROVED, "", NOW)


def canary() -> Rollout:
    return rules.advance(proved(), 0.0, PROGRESS, SETTINGS, NOW)


def rolling() -> Rollout:
    return rules.request(canary(), Verb.PROMOTE, "c", NOW)


def complete() -> Rollout:
    return rules.advance(rolling(), 0.0, Progress(2, 2), SETTINGS, NOW)


def refused() -> Rollout:
    return rules.prove(canary(), ProofOutcome.REFUSED, "registry.example.com refuses it", NOW)


def unproved() -> Rollout:
    return rules.advance(rules.prove(proposed(), ProofOutcome.UNKNOWN, "no answer", NOW), 0.0, PROGRESS, SETTINGS, NOW)


def stopped_by_a_pod() -> Rollout:
    return rules.refuse_pods(canary(), "Pod staging-a/web cannot pull x", NOW, "staging-a/web")


def aborted() -> Rollout:
    return rules.request(canary(), Verb.ABORT, "c", NOW)


def inputs(
    rollout: Rollout | None,
    namespace: str,
    content: str | None,
    *,
    source: str = "new",
    events: RotationEvents | None = None,
    writer: ControllerState | None = None,
) -> ExplainInput:
    """Return a namespace whose copy has a content, None for no copy, while a rollout is stored."""
    events = events or RotationEvents()
    stored = {} if rollout is None else {"pull": StoredRollout(rollout, PROGRESS)}
    sources = Sources(rollouts=stored, is_state_read=not events.lacking)
    expected = Expected(source, stages=SETTINGS, stored=stored.get("pull"), is_stage_unread=bool(events.lacking))
    wanted = {"pull": expected}
    copies = {} if content is None else {"pull": Copy(namespace, "pull", "u", "1", Mark(), content)}
    account = ServiceAccount(namespace, "default", "u", {}, References(True, ("pull",)))
    state = NamespaceState(Namespace(namespace, {CONFIGURATION.opt_in.label: "enabled"}), copies, (account,))
    plans = {namespace: plan_namespace(state, CONFIGURATION, hashes_for(wanted, state))}
    cluster = ClusterView(CONFIGURATION, "pull-secrets", {namespace: state}, plans, wanted, sources, {})
    return ExplainInput(cluster, NOW, exists=True, rotations=events, writer=writer or ControllerState(is_known=True))


def rotation(explanation: Explanation) -> Step:
    return next(step for step in explanation.steps if step.gate == "rotation")


def step_of(rollout: Rollout, namespace: str, content: str | None, source: str = "new") -> Step:
    return rotation(explain_namespace(inputs(rollout, namespace, content, source=source), namespace))


@pytest.mark.parametrize(
    ("rollout", "namespace", "content", "severity", "reason", "clauses"),
    [
        (proposed(), OTHER, "old", Severity.NOTE, "rotation-under-way", ["previous content", "have not answered yet"]),
        (canary(), OTHER, "old", Severity.NOTE, "rotation-under-way", ["waits for", "the copy has the previous"]),
        (canary(), CANARY, "new", Severity.NOTE, "rotation-under-way", ["in the canary", "the copy has the new"]),
        (canary(), CANARY, "old", Severity.NOTE, "rotation-under-way", ["the new content is due"]),
        (canary(), CANARY, None, Severity.NOTE, "rotation-under-way", ["no copy, which would have the new content"]),
        (rolling(), OTHER, "new", Severity.NOTE, "rotation-under-way", ["the new content", "2 of 5 copies have"]),
        (refused(), CANARY, "old", Severity.NOTE, "rollout-refused", ["the previous", "registry.example.com refuses"]),
        (refused(), CANARY, "new", Severity.NOTE, "rollout-refused", ["new content, and the previous content is due"]),
        (unproved(), OTHER, "old", Severity.NOTE, "rollout-unproved", ["no answer", "--promote"]),
        (stopped_by_a_pod(), OTHER, "old", Severity.NOTE, "rollout-pods-refused", ["Pod staging-a", "accepted the"]),
        (aborted(), OTHER, "old", Severity.NOTE, "rotation-aborted", ["the previous content", "--promote"]),
        (complete(), OTHER, "new", Severity.OK, "", ["the copy has the new content", "when the overlap is over"]),
        (
            rules.first("new", "a", NOW),
            OTHER,
            "new",
            Severity.OK,
            "",
            ["no rotation is under way: the copy has the content of its sources"],
        ),
    ],
)  # fmt: skip
def test_each_stage_is_reported_with_the_content_of_the_copy(
    rollout: Rollout, namespace: str, content: str | None, severity: Severity, reason: str, clauses: list[str]
) -> None:
    step = step_of(rollout, namespace, content)
    assert (step.severity, step.reason) == (severity, reason)
    assert [clause for clause in clauses if clause not in step.message] == []
    assert bool(step.command) is (severity is Severity.NOTE)


def test_the_last_answer_of_the_registries_is_reported_in_every_stage() -> None:
    later = NOW + timedelta(minutes=5)
    asked_again = rules.prove(canary(), ProofOutcome.PROVED, "", later)
    assert (
        "the registries accepted the new content at 2026-11-28 10:05:00 UTC"
        in step_of(asked_again, OTHER, "old").message
    )
    down = rules.prove(asked_again, ProofOutcome.UNKNOWN, "no answer", later)
    assert "at 2026-11-28 10:05:00 UTC; it is unknown whether" in step_of(down, OTHER, "old").message
    assert refused().proved_at is None
    promoted = rules.advance(rules.request(unproved(), Verb.PROMOTE, "c", NOW), 0.0, PROGRESS, SETTINGS, NOW)
    assert (promoted.stage, promoted.proved_at) == (Stage.CANARY, None)
    assert "have not accepted the new content so far" in step_of(promoted, OTHER, "old").message


def test_the_pod_that_holds_a_rotation_is_the_next_thing_to_look_at() -> None:
    assert step_of(stopped_by_a_pod(), OTHER, "old").command == "kubectl -n staging-a describe pod web"
    assert step_of(canary(), OTHER, "old").command == "kubectl pullsecrets rotate pull"


def test_sources_that_sync_has_not_seen_are_reported() -> None:
    assert "sync has not noted yet" in step_of(canary(), OTHER, "old", source="newer").message
    settled = step_of(rules.first("old", "a", NOW), OTHER, "old", source="new").message
    assert "sync has not noted yet" in settled
    assert settled.startswith("no rotation is under way yet; the copy has the previous content; ")


def test_the_cause_of_an_unknown_answer_is_not_taken_from_a_pod() -> None:
    noted = rules.suspect_pod(canary(), "Pod staging-a/web cannot pull x", "staging-a/web")
    down = rules.prove(noted, ProofOutcome.UNKNOWN, "no answer", NOW)
    assert proof_sentence(down, SETTINGS).endswith("it is unknown whether the registries accept the new content now")


def test_a_rotation_is_a_note_of_every_object_and_stops_none() -> None:
    subject = Subject("Pod", "web", OTHER, {}, {}, References(True, ("pull",)), images=("registry.example.com/a:1",))
    for found in (
        explain_subject(inputs(canary(), OTHER, "old"), subject),
        explain_namespace(inputs(canary(), OTHER, "old"), OTHER),
    ):
        assert found.stop is None
        assert (found.verdict.severity, found.verdict.gate) == (Severity.NOTE, "rotation")


def test_a_copy_waits_for_its_turn_unless_sync_cannot_write() -> None:
    def copy_step(writer: ControllerState) -> Step:
        found = explain_namespace(inputs(rolling(), OTHER, "old", writer=writer), OTHER)
        return next(step for step in found.steps if step.gate == "copy")

    waiting = copy_step(ControllerState(is_known=True))
    assert (waiting.severity, "at most 5 copies a second" in waiting.message) == (Severity.NOTE, True)
    report = EventReport(OTHER, "CopyDenied", "exceeded quota", NOW, "Secret", "pull")
    assert copy_step(ControllerState(is_known=True, reports=(report,))).severity is Severity.FAULT
    assert copy_step(ControllerState(is_known=False)).severity is Severity.FAULT


def test_a_person_without_the_right_to_the_stage_is_told_so_and_nothing_is_guessed() -> None:
    events = RotationEvents(LACKING)
    for content, reason in (("new", "copy-current"), ("old", "rotation-not-seen")):
        found = explain_namespace(inputs(None, OTHER, content, events=events), OTHER)
        step = rotation(found)
        assert (step.severity, step.reason) == (Severity.UNKNOWN, "rotation-not-seen")
        assert step.message.startswith(LACKING)
        assert step in found.shown
        assert next(each.reason for each in found.steps if each.gate == "copy") == reason
        # An object gets its references and its copy in every stage.
        assert found.verdict.severity is Severity.OK


def test_the_last_event_counts_where_the_stage_must_not_be_read() -> None:
    before = canary()
    notices = [
        rollout_notice("pull", before, after, lambda verb: f"kubectl annotate {verb}")
        for after in (stopped_by_a_pod(), complete())
    ]
    held, done = (
        EventReport("pull-secrets", notice.event, notice.message, NOW + timedelta(seconds=at))
        for at, notice in enumerate(filter(None, notices))
    )
    other = replace(done, message=done.message.replace('"pull"', '"another"'), at=done.at + timedelta(hours=1))
    strange = replace(done, reason="CopyDenied")

    def step(*reports: EventReport) -> Step:
        events = RotationEvents(LACKING, latest_events(reports))
        return rotation(explain_namespace(inputs(None, OTHER, "old", events=events), OTHER))

    assert (step(held, other, strange).severity, "Pod staging-a/web cannot pull" in step(held).message) == (
        Severity.NOTE,
        True,
    )
    assert "kubectl -n staging-a describe pod web" in held.message
    assert step(done, held).severity is Severity.OK
    assert step(other, strange).severity is Severity.UNKNOWN
    aborting = rollout_notice("pull", before, aborted(), lambda verb: f"kubectl annotate {verb}")
    assert aborting is not None
    assert step(replace(held, reason=aborting.event, message=aborting.message)).reason == "rotation-aborted"


def test_a_pull_secret_without_a_rollout_or_a_stored_stage_has_no_such_step() -> None:
    assert all(step.gate != "rotation" for step in explain_namespace(inputs(None, OTHER, "new"), OTHER).steps)
