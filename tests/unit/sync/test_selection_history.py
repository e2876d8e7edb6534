from __future__ import annotations

from tests.unit.sync.clock import Clock
from webhook.sync.selections import SETTLED_SECONDS, TAKEOVER_SECONDS, SelectionHistory


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
