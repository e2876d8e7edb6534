from __future__ import annotations

from tests.unit.clock import Clock
from webhook.rules.actions import ApplyCopy, DeleteCopy, NamespacePlan
from webhook.rules.objects import Copy
from webhook.sync.selections import (
    CALM_SECONDS,
    FLIPS,
    PAUSE_SECONDS,
    SETTLED_SECONDS,
    TAKEOVER_SECONDS,
    FlapDamping,
    SelectionHistory,
)

COPY = Copy("a", "pull", "uid", "1", None, content_hash="old")
IN = NamespacePlan(copies=(ApplyCopy("pull"),))
OUT = NamespacePlan(deletions=(DeleteCopy(COPY),))
ROTATION = NamespacePlan(copies=(ApplyCopy("pull", updates=COPY),), namespace_uid="uid-1")
SELECTED, NOTHING = frozenset({"pull"}), frozenset[str]()


class Label:
    """The label of one namespace, which flips every two seconds."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.damping = FlapDamping(self.clock)
        self.on = True
        self.look(IN)

    def look(self, plan: NamespacePlan) -> tuple[NamespacePlan, float]:
        return self.damping.filter("a", SELECTED if self.on else NOTHING, plan)

    def flip(self) -> tuple[NamespacePlan, float]:
        self.clock.now += 2.0
        self.on = not self.on
        return self.look(IN if self.on else OUT)


def test_a_few_changes_are_followed_at_once() -> None:
    label = Label()

    assert all(not held for _, held in (label.flip() for _ in range(FLIPS)))


def test_a_label_that_keeps_flipping_gets_one_turn_in_a_while() -> None:
    label = Label()
    for _ in range(FLIPS):
        label.flip()

    outcomes = [label.flip() for _ in range(50)]

    followed = sum(not plan.is_empty for plan, _ in outcomes)
    assert followed == len(outcomes)  # one write each: its pause of a second is over at the next change
    large = NamespacePlan(copies=tuple(ApplyCopy(f"pull-{number}") for number in range(100)))
    label.clock.now += PAUSE_SECONDS
    assert label.look(large) == (large, 0.0)
    held = []
    while (outcome := label.look(large))[1]:
        held.append(outcome)
        label.clock.now += 1.0
    assert len(held) == PAUSE_SECONDS
    assert all(plan.is_empty and 0 < wait <= PAUSE_SECONDS for plan, wait in held)


def test_the_last_state_is_reached_after_the_pause() -> None:
    label = Label()
    for _ in range(FLIPS + 3):
        _, wait = label.flip()
    label.clock.now += max(wait, PAUSE_SECONDS)

    assert label.look(OUT if not label.on else IN) == (OUT if not label.on else IN, 0.0)


def test_a_rotation_reaches_the_copies_that_are_there() -> None:
    label = Label()
    for _ in range(FLIPS + 3):
        label.flip()

    assert label.look(ROTATION)[0] == ROTATION


def test_a_selection_that_stays_ends_the_series() -> None:
    label = Label()
    for _ in range(FLIPS + 3):
        label.flip()
    label.clock.now += CALM_SECONDS

    assert label.flip()[1] == 0.0


def test_a_namespace_that_is_made_again_begins_anew() -> None:
    label = Label()
    for _ in range(FLIPS + 3):
        label.flip()
    label.damping.forget("a")

    assert label.flip()[1] == 0.0


class Seen:
    """The history of one namespace."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.history = SelectionHistory(self.clock)

    def observe(self, *selected: str, uid: str = "1") -> None:
        self.history.observe("a", uid, selected)

    def lost(self, *evidence: str) -> set[str]:
        return set(self.history.lost("a", lambda: evidence))


def test_a_namespace_that_was_never_selected_has_lost_nothing() -> None:
    seen = Seen()
    assert seen.lost() == set()
    seen.observe()
    assert seen.lost() == set()


def test_an_opt_out_is_a_loss_and_an_opt_in_ends_it() -> None:
    seen = Seen()
    seen.observe("one", "two")
    seen.observe("two")
    assert seen.lost() == {"one"}
    seen.observe()
    assert seen.lost() == {"one", "two"}
    seen.observe("one")
    assert seen.lost() == {"two"}


def test_a_namespace_of_the_same_name_is_another() -> None:
    seen = Seen()
    seen.observe("one")
    seen.observe(uid="2")
    assert seen.lost() == set()


def test_a_loss_is_over_once_nothing_is_left_and_no_replica_can_add_it_again() -> None:
    seen = Seen()
    seen.observe("one")
    seen.observe()
    seen.history.record_plan("a", seen.lost())
    seen.clock.now += 10 * TAKEOVER_SECONDS
    assert seen.lost() == {"one"}, "something is left"
    seen.history.record_plan("a", ())
    assert seen.lost() == set()


def test_for_two_minutes_a_reference_that_comes_again_is_removed_again() -> None:
    seen = Seen()
    seen.observe("one")
    seen.observe()
    seen.history.record_plan("a", ())
    seen.clock.now += SETTLED_SECONDS - 1
    assert seen.lost() == {"one"}
    seen.clock.now += 1
    assert seen.lost() == set()


def test_what_another_process_had_long_enough_to_follow_up_is_forgotten() -> None:
    seen = Seen()
    seen.observe("one")
    seen.observe()
    seen.clock.now += TAKEOVER_SECONDS
    assert seen.lost() == set()


def test_evidence_counts_at_the_first_look_alone() -> None:
    seen = Seen()
    seen.observe("two")
    assert seen.lost("one", "two") == {"one"}
    seen.history.record_plan("a", ())
    seen.clock.now += SETTLED_SECONDS
    assert seen.lost("one") == set()
