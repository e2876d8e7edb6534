"""A rotation goes through its stages, and every way out of each of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import structs
from msgspec.structs import replace

from webhook.rules import rollout as rules
from webhook.rules.configuration import ProofSettings, RolloutSettings, WhenUnknown
from webhook.rules.rollout import HoldReason, Progress, ProofOutcome, Rollout, Stage, Verb

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STEPWISE = RolloutSettings(prove=ProofSettings(), canary=("staging-*",), soak=60.0, overlap=600.0)
REACHED = Progress(canary=2, canary_reached=2, remaining=5)


def proposed() -> Rollout:
    return rules.propose(rules.first("old", "a", NOW), "new", "b", NOW)


def proved() -> Rollout:
    return rules.prove(proposed(), ProofOutcome.PROVED, "", NOW)


def canary() -> Rollout:
    return rules.advance(proved(), 0.0, REACHED, STEPWISE, NOW)


def rolling() -> Rollout:
    tried = rules.prove(canary(), ProofOutcome.PROVED, "", NOW)
    return rules.advance(tried, 60.0, REACHED, STEPWISE, NOW)


def complete() -> Rollout:
    return rules.advance(rolling(), 0.0, Progress(2, 2, remaining=0), STEPWISE, NOW)


def refused() -> Rollout:
    return rules.prove(proposed(), ProofOutcome.REFUSED, "registry.example.com refuses it", NOW)


def test_a_rotation_goes_through_all_stages() -> None:
    stages = [state.stage for state in (proposed(), proved(), canary(), rolling(), complete())]
    assert stages == [Stage.PROPOSED, Stage.PROVED, Stage.CANARY, Stage.ROLLING_OUT, Stage.COMPLETE]


@pytest.mark.parametrize(
    ("state", "in_canary", "elsewhere"),
    [
        (proposed(), "old", "old"),
        (proved(), "old", "old"),
        (canary(), "new", "old"),
        (rolling(), "new", "new"),
        (complete(), "new", "new"),
        (refused(), "old", "old"),
        (rules.prove(canary(), ProofOutcome.REFUSED, "", NOW), "old", "old"),
        (rules.request(canary(), Verb.ABORT, "c", NOW), "old", "old"),
        (rules.request(rolling(), Verb.ABORT, "c", NOW), "old", "old"),
        (rules.request(complete(), Verb.ABORT, "c", NOW), "old", "old"),
    ],
)
def test_a_namespace_gets_the_content_of_its_stage(state: Rollout, in_canary: str, elsewhere: str) -> None:
    assert state.target(in_canary=True) == in_canary
    assert state.target(in_canary=False) == elsewhere


def test_the_first_content_has_nothing_to_return_to() -> None:
    assert rules.first("old", "a", NOW).stage is Stage.SETTLED


def test_a_refused_content_is_held_until_its_registry_accepts_it() -> None:
    held = refused()
    assert (held.stage, held.reason, held.detail) == (
        Stage.HELD,
        HoldReason.REFUSED,
        "registry.example.com refuses it",
    )
    assert rules.advance(held, 1e6, REACHED, STEPWISE, NOW) == held
    assert rules.prove(held, ProofOutcome.UNKNOWN, "down", NOW) == held
    assert rules.prove(held, ProofOutcome.PROVED, "", NOW).stage is Stage.PROVED


def test_a_refused_content_cannot_be_promoted() -> None:
    assert rules.request(refused(), Verb.PROMOTE, "c", NOW) == refused()


def test_a_registry_that_does_not_answer_holds_the_rollout_and_a_person_may_promote_it() -> None:
    unknown = rules.prove(proposed(), ProofOutcome.UNKNOWN, "no answer", NOW)
    held = rules.advance(unknown, 0.0, REACHED, STEPWISE, NOW)
    assert (held.stage, held.reason) == (Stage.HELD, HoldReason.UNPROVED)
    promoted = rules.request(held, Verb.PROMOTE, "c", NOW)
    assert rules.advance(promoted, 0.0, REACHED, STEPWISE, NOW).stage is Stage.CANARY


def test_without_a_proof_and_a_canary_a_rollout_begins_immediately() -> None:
    plain = RolloutSettings()
    assert rules.advance(proposed(), 0.0, REACHED, plain, NOW).stage is Stage.ROLLING_OUT


def test_the_soak_counts_only_while_every_canary_namespace_has_the_content() -> None:
    waiting = rules.advance(canary(), 1e6, Progress(2, 1, 5), STEPWISE, NOW)
    assert waiting.elapsed == 0.0
    tried = rules.prove(waiting, ProofOutcome.PROVED, "", NOW)
    assert rules.advance(tried, 59.0, REACHED, STEPWISE, NOW).stage is Stage.CANARY


def test_the_soak_does_not_end_before_a_proof_in_the_canary() -> None:
    soaked = rules.advance(canary(), 1e6, REACHED, STEPWISE, NOW)
    assert soaked.stage is Stage.CANARY
    unanswered = rules.prove(soaked, ProofOutcome.UNKNOWN, "no answer", NOW)
    assert rules.advance(unanswered, 1.0, REACHED, STEPWISE, NOW).stage is Stage.CANARY
    proved_again = rules.prove(unanswered, ProofOutcome.PROVED, "", NOW)
    assert rules.advance(proved_again, 1.0, REACHED, STEPWISE, NOW).stage is Stage.ROLLING_OUT


def test_a_clock_that_goes_back_does_not_shorten_the_soak() -> None:
    soaking = rules.advance(canary(), 30.0, REACHED, STEPWISE, NOW)
    assert rules.advance(soaking, -1e6, REACHED, STEPWISE, NOW - timedelta(days=9)) == soaking


def test_another_canary_begins_a_new_soak() -> None:
    soaking = rules.advance(canary(), 30.0, REACHED, STEPWISE, NOW)
    other = replace(STEPWISE, canary=("test",))
    assert rules.advance(soaking, 10.0, REACHED, other, NOW).elapsed == 0.0


def test_a_canary_that_was_removed_from_the_configuration_is_over() -> None:
    none = replace(STEPWISE, canary=())
    assert rules.advance(canary(), 0.0, Progress(remaining=3), none, NOW).stage is Stage.ROLLING_OUT


def test_a_canary_without_a_namespace_is_held_until_there_is_one() -> None:
    held = rules.advance(proved(), 0.0, Progress(remaining=5), STEPWISE, NOW)
    assert (held.stage, held.reason) == (Stage.HELD, HoldReason.CANARY_EMPTY)
    assert rules.advance(held, 9.0, Progress(remaining=5), STEPWISE, NOW) == held
    assert rules.advance(held, 9.0, Progress(1, 0, 5), STEPWISE, NOW).stage is Stage.PROPOSED


def test_a_pod_that_is_refused_a_pull_holds_the_rollout_until_a_person_promotes_it() -> None:
    watching = replace(STEPWISE, watch_pods=True)
    held = rules.refuse_pods(canary(), "Pod staging-a/api", NOW)
    assert (held.stage, held.reason, held.detail) == (Stage.HELD, HoldReason.PODS_REFUSED, "Pod staging-a/api")
    assert rules.advance(held, 1e6, REACHED, watching, NOW) == held
    assert rules.prove(held, ProofOutcome.PROVED, "", NOW) == held
    assert rules.advance(held, 0.0, REACHED, STEPWISE, NOW).stage is Stage.PROPOSED  # no longer watched
    promoted = rules.request(held, Verb.PROMOTE, "c", NOW)
    assert promoted.stage is Stage.PROPOSED
    again = rules.advance(rules.prove(promoted, ProofOutcome.PROVED, "", NOW), 0.0, REACHED, watching, NOW)
    assert (again.stage, rules.refuse_pods(again, "Pod staging-a/api", NOW)) == (Stage.CANARY, again)
    assert not rules.propose(again, "newer", "d", NOW).ignores_pods


def test_a_refused_pod_is_noted_before_it_holds_the_rollout() -> None:
    watching = replace(STEPWISE, watch_pods=True)
    noted = rules.suspect_pod(rules.prove(canary(), ProofOutcome.PROVED, "", NOW), "Pod staging-a/api", "staging-a/api")
    assert (noted.stage, noted.target(in_canary=True)) == (Stage.CANARY, "new")
    assert rules.suspect_pod(noted, "Pod staging-a/web", "staging-a/web") == noted
    assert rules.advance(noted, 1e6, REACHED, watching, NOW) == noted
    assert rules.prove(noted, ProofOutcome.PROVED, "", NOW).detail == "Pod staging-a/api"
    assert rules.advance(noted, 1e6, REACHED, STEPWISE, NOW).pod == ""  # no longer watched
    assert rules.suspect_pod(refused(), "Pod staging-a/api", "staging-a/api") == refused()


def test_pods_matter_only_in_the_canary() -> None:
    for state in (proposed(), proved(), rolling(), complete(), refused()):
        assert rules.refuse_pods(state, "Pod staging-a/api", NOW) == state


def test_the_soak_counts_only_while_the_pods_are_known() -> None:
    blind = replace(REACHED, is_blind=True)
    assert rules.advance(canary(), 10.0, blind, STEPWISE, NOW).elapsed == 0.0
    ignoring = structs.replace(canary(), ignores_pods=True)
    assert rules.advance(ignoring, 10.0, blind, STEPWISE, NOW).elapsed == 10.0


def test_a_promoted_canary_is_rolled_out() -> None:
    assert rules.request(canary(), Verb.PROMOTE, "c", NOW).stage is Stage.ROLLING_OUT


def test_a_request_is_for_one_rollout_and_has_effect_once() -> None:
    state = canary()
    value = rules.encode_request(Verb.ABORT, state.id)
    assert rules.decode_request(value, state.id) is Verb.ABORT
    assert rules.decode_request(value, "other") is None
    assert rules.decode_request("", "") is None
    aborted = rules.request(state, Verb.ABORT, "c", NOW)
    assert rules.decode_request(value, aborted.id) is None


def test_an_aborted_rollout_begins_again_when_it_is_promoted() -> None:
    aborted = rules.request(rolling(), Verb.ABORT, "c", NOW)
    assert rules.advance(aborted, 1e6, REACHED, STEPWISE, NOW) == aborted
    assert rules.request(aborted, Verb.PROMOTE, "d", NOW).stage is Stage.PROPOSED


def test_within_the_overlap_a_complete_rollout_can_be_aborted() -> None:
    assert rules.request(complete(), Verb.ABORT, "c", NOW).target(in_canary=False) == "old"
    later = rules.advance(complete(), 600.0, Progress(2, 2), STEPWISE, NOW)
    assert later.previous == ""
    assert rules.request(later, Verb.ABORT, "c", NOW) == later


def test_a_source_that_is_put_back_ends_the_rollout_immediately() -> None:
    for state in (proposed(), canary(), rolling(), refused()):
        back = rules.propose(state, "old", "c", NOW)
        assert (back.stage, back.target(in_canary=True)) == (Stage.SETTLED, "old")


def test_a_state_is_older_than_sources_that_were_put_back_or_changed_again() -> None:
    aborted = rules.request(canary(), Verb.ABORT, "c", NOW)
    states = (proposed(), canary(), rolling(), refused(), aborted, complete())
    assert [rules.is_about(state, "new") for state in states] == [True] * 6
    assert [rules.is_about(state, "old") for state in states] == [False] * 6
    assert not rules.is_about(canary(), "newer")


def test_a_second_rotation_begins_again_and_keeps_the_base() -> None:
    for state in (proposed(), proved(), canary(), refused()):
        second = rules.propose(state, "newer", "c", NOW)
        assert (second.stage, second.base, second.proposed) == (Stage.PROPOSED, "old", "newer")


def test_a_second_rotation_while_one_is_rolled_out_does_not_take_that_back() -> None:
    second = rules.propose(rolling(), "newer", "c", NOW)
    assert (second.stage, second.base, second.proposed) == (Stage.PROPOSED, "new", "newer")


def test_a_second_rotation_during_the_overlap_starts_from_the_complete_content() -> None:
    second = rules.propose(complete(), "newer", "c", NOW)
    assert (second.stage, second.base, second.proposed) == (Stage.PROPOSED, "new", "newer")


def test_a_configuration_without_a_proof_releases_what_the_proof_held() -> None:
    unproved = replace(STEPWISE, prove=None)
    assert rules.advance(refused(), 0.0, REACHED, unproved, NOW).stage is Stage.PROPOSED


class RotationModel(RuleBasedStateMachine):
    """Any sequence of what can happen, with a cluster whose copies follow the targets one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = count()
        self.settings = STEPWISE
        self.copies: dict[str, str] = {}
        self.refused: set[str] = set()
        self.promoted: set[str] = set()

    @initialize()
    def install(self) -> None:
        self.state = rules.first("c0", self.new_id(), NOW)
        self.content = "c0"
        self.copies = {"staging-a": "c0", "a": "c0", "b": "c0"}

    def new_id(self) -> str:
        return f"id{next(self.numbers)}"

    def change(self, after: Rollout) -> None:
        before, self.state = self.state, after
        if before.stage is Stage.PROPOSED and after.stage is Stage.ROLLING_OUT:
            assert not self.settings.canary
            assert self.may_skip_the_proof(before)
        if before.stage is Stage.PROPOSED and after.stage is Stage.CANARY:
            assert self.may_skip_the_proof(before)
        if after.stage is Stage.ROLLING_OUT and before.stage is Stage.PROVED:
            assert not self.settings.canary
        if after.stage is Stage.COMPLETE and before.stage is not Stage.COMPLETE:
            assert before.stage is Stage.ROLLING_OUT

    def may_skip_the_proof(self, before: Rollout) -> bool:
        return self.settings.prove is None or before.is_promoted or self.settings.continues_unproved

    @rule(number=st.integers(0, 4))
    def rotate(self, number: int) -> None:
        self.content = f"c{number}"
        self.change(rules.propose(self.state, self.content, self.new_id(), NOW))

    @rule(outcome=st.sampled_from(ProofOutcome))
    def answer(self, outcome: ProofOutcome) -> None:
        if self.settings.prove is None or not self.state.needs_proof:
            return
        (self.refused.add if outcome is ProofOutcome.REFUSED else self.refused.discard)(self.state.proposed)
        self.change(rules.prove(self.state, outcome, "a sentence", NOW))

    @rule()
    def refuse_a_pod(self) -> None:
        before = self.state
        if before.stage is Stage.CANARY and not before.ignores_pods and not before.pod:
            self.change(rules.suspect_pod(before, "a Pod", "staging-a/web"))
            return
        self.change(rules.refuse_pods(before, before.detail, NOW, before.pod))
        if before.stage is Stage.CANARY and not before.ignores_pods:
            assert self.state.reason is HoldReason.PODS_REFUSED

    @rule(seconds=st.sampled_from([-1e9, 0.0, 1.0, 61.0, 1e9]))
    def pass_time(self, seconds: float) -> None:
        self.change(rules.advance(self.state, seconds, self.progress(), self.settings, NOW))

    @rule(verb=st.sampled_from(Verb))
    def ask(self, verb: Verb) -> None:
        before = self.state
        self.change(rules.request(self.state, verb, self.new_id(), NOW))
        if self.state is not before:
            assert self.state.id != before.id

    @rule(name=st.sampled_from(["staging-a", "staging-b", "a", "b", "c"]))
    def write_copy(self, name: str) -> None:
        """Also that of a new namespace."""
        self.copies[name] = self.target(name)

    @precondition(lambda self: len(self.copies) > 1)
    @rule(index=st.integers(0, 9))
    def delete_namespace(self, index: int) -> None:
        self.copies.pop(sorted(self.copies)[index % len(self.copies)])

    @rule(
        prove=st.sampled_from([None, ProofSettings(), ProofSettings(WhenUnknown.CONTINUE)]),
        canary=st.sampled_from([(), ("staging-*",), ("a",)]),
        watch_pods=st.booleans(),
    )
    def configure(self, *, prove: ProofSettings | None, canary: tuple[str, ...], watch_pods: bool) -> None:
        self.settings = replace(self.settings, prove=prove, canary=canary, watch_pods=watch_pods)
        if prove is None:
            self.refused.clear()

    def target(self, name: str) -> str:
        return self.state.target(in_canary=self.settings.is_canary(name))

    def progress(self) -> Progress:
        canary = [content for name, content in self.copies.items() if self.settings.is_canary(name)]
        proposed = self.state.proposed
        return Progress(
            len(canary),
            sum(content == proposed for content in canary),
            sum(content != proposed for content in self.copies.values()),
        )

    @invariant()
    def a_refused_content_is_the_target_of_no_namespace(self) -> None:
        proposed = self.state.proposed
        if proposed in self.refused and self.state.stage is not Stage.ROLLING_OUT:
            assert proposed not in {self.target("staging-a"), self.target("a"), self.target("c")}

    @invariant()
    def an_unproved_content_stays_inside_the_canary(self) -> None:
        if self.state.stage not in (Stage.ROLLING_OUT, Stage.SETTLED, Stage.COMPLETE):
            outside = self.state.target(in_canary=False)
            assert outside == self.state.base != self.state.proposed

    @invariant()
    def what_is_held_or_aborted_is_returned_everywhere(self) -> None:
        if self.state.stage in (Stage.HELD, Stage.ABORTED):
            assert {self.target("staging-a"), self.target("a")} == {self.state.base}

    @invariant()
    def the_old_content_is_known_while_it_may_be_needed(self) -> None:
        assert self.state.base
        assert self.state.is_under_way == (self.state.stage not in (Stage.SETTLED, Stage.COMPLETE))

    @invariant()
    def a_hold_has_a_reason(self) -> None:
        assert (self.state.stage is Stage.HELD) == (self.state.reason is not None)
        if self.state.stage is not Stage.CANARY:
            assert bool(self.state.pod) == (self.state.reason is HoldReason.PODS_REFUSED)

    @invariant()
    def a_content_that_was_accepted_is_not_one_that_is_refused(self) -> None:
        assert not (self.state.proved_at and self.state.reason is HoldReason.REFUSED)
        assert self.state.proved_at or self.state.proof is not ProofOutcome.PROVED
        assert not (self.state.proved_at and self.state.stage is Stage.SETTLED)

    @invariant()
    def every_state_can_be_brought_to_an_end(self) -> None:
        """With registries that accept, Pods that pull and copies that are written, at most one promotion is needed."""
        state, settings = self.state, self.settings
        everywhere = Progress(canary=1, canary_reached=1)
        if state.pod and state.stage is Stage.CANARY:
            state = rules.refuse_pods(state, state.detail, NOW, state.pod)
        if state.stage is Stage.ABORTED or state.reason is HoldReason.PODS_REFUSED:
            state = rules.request(state, Verb.PROMOTE, "z", NOW)
        for _ in range(12):
            if settings.prove is not None and state.needs_proof:
                state = rules.prove(state, ProofOutcome.PROVED, "", NOW)
            state = rules.advance(state, 1e9, everywhere, settings, NOW)
        assert state.stage in (Stage.COMPLETE, Stage.SETTLED)
        assert state.base == (self.state.proposed or self.state.base)


TestRotations = RotationModel.TestCase
TestRotations.settings = hypothesis_settings(max_examples=200, stateful_step_count=40, deadline=None)
