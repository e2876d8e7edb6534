from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.sync.clock import Clock
from webhook.rules.actions import DeleteCopy, NamespacePlan, RemoveReferences
from webhook.rules.objects import Copy, References, ServiceAccount
from webhook.rules.ownership import Mark
from webhook.sync.planner import GRACE_SECONDS, RemovalDelay

STRICT = ServiceAccount("a", "strict", "9", {}, References(True, ("old",)), enforces=True)
LENIENT = replace(STRICT, name="lenient", enforces=False)
COPY = Copy("a", "old", "uid", "7", Mark(), content_hash="sha256:1")
LEAVING = NamespacePlan(
    removals=(RemoveReferences(STRICT, ("old",)), RemoveReferences(LENIENT, ("old",))), deletions=(DeleteCopy(COPY),)
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


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


def test_the_webhook_s_configuration_has_come_by_then() -> None:
    assert GRACE_SECONDS >= 2 * 60.0
