from __future__ import annotations

from dataclasses import replace

from webhook.rules.actions import HandBack, NamespacePlan
from webhook.rules.managed_fields import HandBackNeed, ListOwnership
from webhook.rules.objects import References, ServiceAccount
from webhook.sync.planner import AT_ONCE, PER_SECOND, SETTLE_SECONDS, HandBackPace

ACCOUNT = ServiceAccount("a", "default", "1", {}, References())
PLAN = NamespacePlan(hand_backs=(HandBack(ACCOUNT, HandBackNeed(keep=True, from_stand_in=False)),))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_few_are_made_at_once_and_many_are_spread_evenly() -> None:
    clock = Clock()
    pace = HandBackPace(clock)
    many = [f"namespace-{number}" for number in range(1_000)]
    waits = {name: pace.hold(name, PLAN)[1] for name in many}

    assert sum(wait == 0 for wait in waits.values()) == AT_ONCE + 1
    done = 0
    for second in range(60):
        clock.now = 1000.0 + second
        due = [name for name, wait in waits.items() if 0 < wait <= second]
        done += len(due)
        assert all(pace.hold(name, PLAN) == (PLAN, 0.0) for name in due)
        assert done <= second * PER_SECOND + 1
        for name in due:
            del waits[name]
    assert done == len(many) - AT_ONCE - 1


def test_a_namespace_keeps_its_turn_and_the_rest_of_its_plan_does_not_wait() -> None:
    clock = Clock()
    pace = HandBackPace(clock)
    for number in range(AT_ONCE + 1):
        pace.hold(f"other-{number}", PLAN)
    held, first = pace.hold("a", PLAN)

    assert held == NamespacePlan()
    assert pace.hold("a", PLAN) == (NamespacePlan(), first)
    clock.now += first
    assert pace.hold("a", PLAN) == (PLAN, 0.0)


def test_what_has_nothing_to_hand_back_costs_nothing() -> None:
    pace = HandBackPace(Clock())

    assert pace.hold("a", NamespacePlan()) == (NamespacePlan(), 0.0)


def test_a_list_that_somebody_may_be_about_to_hand_back_is_left_for_a_moment() -> None:
    clock = Clock()
    pace = HandBackPace(clock)
    held = replace(ACCOUNT, ownership=ListOwnership(entries=1, ours=0, holds=True))
    plan = NamespacePlan(hand_backs=(HandBack(held, HandBackNeed(keep=False, from_stand_in=False)),))

    assert pace.hold("a", plan) == (NamespacePlan(), SETTLE_SECONDS)
    clock.now += SETTLE_SECONDS
    assert pace.hold("a", plan) == (plan, 0.0)
