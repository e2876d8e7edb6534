from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from tests.unit.clock import Clock
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from tests.unit.sync.running import Running
from tests.unit.sync.world import CONFIGURATION
from webhook.kube.client import Client
from webhook.rules.actions import ApplyCopy, DeleteCopy, HandBack, NamespacePlan, RemoveReferences
from webhook.rules.managed_fields import HandBackNeed, ListOwnership
from webhook.rules.objects import Copy, Namespace, NamespaceState, ServiceAccount
from webhook.rules.ownership import Mark
from webhook.rules.references import References
from webhook.rules.renewing import IssuedState
from webhook.sync.contention import Contention
from webhook.sync.planner import (
    GRACE_SECONDS,
    HAND_BACK_BURST,
    HAND_BACKS_PER_SECOND,
    RENEWAL_BURST,
    SETTLE_SECONDS,
    CopyRate,
    HandBackRateLimit,
    PlanFilters,
    PlannedNamespace,
    Planner,
    RemovalDelay,
)
from webhook.sync.rollouts import Rollouts, Turns
from webhook.sync.selections import FlapDamping


def test_a_plan_has_no_effect(opted_in: FakeApiServer, client: Client) -> None:
    standby = Running(client)
    standby.start(leading=False)
    planner = Planner(standby.loop.caches)

    def plan() -> PlannedNamespace | None:
        return planner.plan("a", CONFIGURATION, {"pull": "sha256:first"})

    until(lambda: (planned := plan()) is not None and planned.plan.additions)
    first = plan()
    assert first is not None
    assert [action.name for action in first.plan.copies] == ["pull"]
    assert [standing.secret for standing in first.copies] == ["pull"]
    assert plan() == first
    assert standby.loop.status_index.namespaces() == set()
    assert opted_in.seen("apply", "patch", "delete") == []
    standby.stop()


ACCOUNT = ServiceAccount("a", "default", "1", {}, References())
PLAN = NamespacePlan(hand_backs=(HandBack(ACCOUNT, HandBackNeed(keep=True, from_stand_in=False)),))


def test_a_few_are_made_at_once_and_many_are_spread_evenly() -> None:
    clock = Clock()
    pace = HandBackRateLimit(clock)
    many = [f"namespace-{number}" for number in range(1_000)]
    waits = {name: pace.filter(name, PLAN)[1] for name in many}

    assert sum(wait == 0 for wait in waits.values()) == HAND_BACK_BURST + 1
    done = 0
    for second in range(60):
        clock.now = 100.0 + second
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


STRICT = ServiceAccount("a", "strict", "9", {}, References(True, ("old",)), enforces=True)
LENIENT = replace(STRICT, name="lenient", enforces=False)
COPY = Copy("a", "old", "uid", "7", Mark(), content_hash="sha256:1")
LEAVING = NamespacePlan(
    removals=(RemoveReferences(STRICT, ("old",)), RemoveReferences(LENIENT, ("old",))), deletions=(DeleteCopy(COPY),)
)


@pytest.fixture
def grace(clock: Clock) -> RemovalDelay:
    return RemovalDelay(clock)


def test_references_stay_for_a_while_where_pods_would_be_refused_without_them(
    grace: RemovalDelay, clock: Clock
) -> None:
    plan, again = grace.filter("a", LEAVING)
    assert [removal.service_account for removal in plan.removals] == [LENIENT]
    assert plan.deletions == ()
    assert again == GRACE_SECONDS

    clock.now += 100.0
    assert grace.filter("a", LEAVING)[1] == GRACE_SECONDS - 100.0

    clock.now += GRACE_SECONDS - 100.0
    assert grace.filter("a", LEAVING) == (LEAVING, 0.0)


def test_nobody_else_waits(grace: RemovalDelay) -> None:
    plan = NamespacePlan(removals=LEAVING.removals[1:], deletions=LEAVING.deletions)

    assert grace.filter("a", plan) == (plan, 0.0)
    grace.filter("a", LEAVING)
    assert grace.filter("b", plan) == (plan, 0.0)


def test_what_is_wanted_again_and_then_goes_again_has_its_time_again(grace: RemovalDelay, clock: Clock) -> None:
    grace.filter("a", LEAVING)
    clock.now += 100.0
    grace.filter("a", NamespacePlan())
    clock.now += 100.0

    assert grace.filter("a", LEAVING)[1] == GRACE_SECONDS
    assert list(grace._since) == ["a"]
    grace.filter("a", NamespacePlan())
    assert grace._since == {}


def test_a_namespace_that_is_being_deleted_is_not_remembered() -> None:
    damping = FlapDamping()
    filters = PlanFilters(Contention(), damping, None)

    def look(*, terminating: bool) -> None:
        state = NamespaceState(Namespace("a", terminating=terminating), {}, ())
        filters.filter(PlannedNamespace(state, NamespacePlan(), (), frozenset(), datetime.now(UTC)))

    look(terminating=False)
    assert list(damping._selections) == ["a"]
    look(terminating=True)
    assert damping._selections == {}


class Rationed(Rollouts):
    """A rollout of one pull secret that changes one copy in a second."""

    @property
    def names(self) -> frozenset[str]:
        return frozenset({"pull"})

    def turns(self, name: str, namespace: str) -> tuple[Turns, int]:
        del name, namespace
        return Turns("sha256:1"), 1


def test_a_namespace_that_is_gone_keeps_no_turn() -> None:
    now = datetime.now(UTC)
    copy_rate = CopyRate(Rationed())
    filters = PlanFilters(Contention(), FlapDamping(), None, copy_rate)
    issued = IssuedState(issued_at=now, expires_at=now + timedelta(hours=1))
    renewal = ApplyCopy("pull", updates=replace(COPY, issued=issued))
    held = replace(ACCOUNT, ownership=ListOwnership(entries=1, ours=0, holds=True))
    plan = NamespacePlan(hand_backs=(HandBack(held, HandBackNeed(keep=False, from_stand_in=False)),), copies=(renewal,))
    names = [f"namespace-{number}" for number in range(2 * RENEWAL_BURST)]
    for name in names:
        filters.filter(PlannedNamespace(NamespaceState(Namespace(name), {}, ()), plan, (), frozenset(), now))
    assert filters._hand_backs._turns._due
    assert filters._renewals._turns._due
    assert copy_rate._booked["pull"].due

    for name in names:
        filters.forget(name)

    assert filters._hand_backs._turns._due == filters._renewals._turns._due == copy_rate._booked["pull"].due == {}


def test_the_webhook_s_configuration_has_come_by_then() -> None:
    assert GRACE_SECONDS >= 2 * 60.0
