from __future__ import annotations

from dataclasses import replace

from webhook.rules.actions import HandBack, NamespacePlan
from webhook.rules.managed_fields import HandBackNeed, ListOwnership
from webhook.rules.objects import References, ServiceAccount
from webhook.sync.planner import HAND_BACK_BURST, HAND_BACKS_PER_SECOND, SETTLE_SECONDS, HandBackRateLimit

ACCOUNT = ServiceAccount("a", "default", "1", {}, References())
PLAN = NamespacePlan(hand_backs=(HandBack(ACCOUNT, HandBackNeed(keep=True, from_stand_in=False)),))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_few_are_made_at_once_and_many_are_spread_evenly() -> None:
    clock = Clock()
    pace = HandBackRateLimit(clock)
    many = [f"namespace-{number}" for number in range(1_000)]
    waits = {name: pace.filter(name, PLAN)[1] for name in many}

    assert sum(wait == 0 for wait in waits.values()) == HAND_BACK_BURST + 1
    done = 0
    for second in range(60):
        clock.now = 1000.0 + second
        due = [name for name, wait in waits.items() if 0 < wait <= second]
        done += len(due)
        assert all(pace.filter(name, PLAN) == (PLAN, 0.0) for name in due)
        assert done <= second * HAND_BACKS_PER_SECOND + 1
        for name in due:
            del waits[name]
    assert done == len(many) - HAND_BACK_BURST - 1


def test_a_namespace_keeps_its_turn_and_the_rest_of_its_plan_does_not_wait() -> None:
    clock = Clock()
    pace = HandBackRateLimit(clock)
    for number in range(HAND_BACK_BURST + 1):
        pace.filter(f"other-{number}", PLAN)
    held, first = pace.filter("a", PLAN)

    assert held == NamespacePlan()
    assert pace.filter("a", PLAN) == (NamespacePlan(), first)
    clock.now += first
    assert pace.filter("a", PLAN) == (PLAN, 0.0)


def test_what_has_nothing_to_hand_back_costs_nothing() -> None:
    pace = HandBackRateLimit(Clock())

    assert pace.filter("a", NamespacePlan()) == (NamespacePlan(), 0.0)


def test_a_list_that_somebody_may_be_about_to_hand_back_is_left_for_a_moment() -> None:
    clock = Clock()
    pace = HandBackRateLimit(clock)
    held = replace(ACCOUNT, ownership=ListOwnership(entries=1, ours=0, holds=True))
    plan = NamespacePlan(hand_backs=(HandBack(held, HandBackNeed(keep=False, from_stand_in=False)),))

    assert pace.filter("a", plan) == (NamespacePlan(), SETTLE_SECONDS)
    clock.now += SETTLE_SECONDS
    assert pace.filter("a", plan) == (plan, 0.0)
