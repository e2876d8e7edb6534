from __future__ import annotations

from webhook.rules.actions import AddReferences, ApplyCopy, DeleteCopy, NamespacePlan, RemoveReferences
from webhook.rules.objects import Copy, ServiceAccount
from webhook.rules.ownership import Mark
from webhook.rules.references import References


def account(name: str, *, enforces: bool = False) -> ServiceAccount:
    return ServiceAccount("a", name, "9", {}, References(), enforces=enforces)


def copy(name: str) -> Copy:
    return Copy("a", name, "uid", "7", Mark(), content_hash="sha256:1")


ONE, TWO, STRICT = account("one"), account("two"), account("strict", enforces=True)
PLAN = NamespacePlan(
    required=(AddReferences(STRICT, ("x",)),),
    copies=(ApplyCopy("new"), ApplyCopy("old", updates=copy("old")), ApplyCopy("bad", replaces=copy("bad"))),
    additions=(AddReferences(ONE, ("new", "old")), AddReferences(TWO, ("new", "bad"))),
    removals=(RemoveReferences(ONE, ("gone", "left")), RemoveReferences(TWO, ("gone",))),
    deletions=(DeleteCopy(copy("gone")), DeleteCopy(copy("left")), DeleteCopy(copy("unreferenced"))),
)


def test_a_plan_of_which_nothing_waits_is_the_same() -> None:
    assert PLAN.without() == PLAN


def test_a_service_account_that_waits_is_given_nothing_and_the_others_are() -> None:
    plan = PLAN.without(additions_to={"one", "strict"})

    assert plan.required == ()
    assert plan.additions == PLAN.additions[1:]
    assert (plan.copies, plan.removals, plan.deletions) == (PLAN.copies, PLAN.removals, PLAN.deletions)


def test_a_copy_that_waits_is_not_referenced_before_it_is_there() -> None:
    plan = PLAN.without(copies={"new", "bad"})

    assert plan.copies == (PLAN.copies[1],)
    assert plan.additions == (AddReferences(ONE, ("old",)),)


def test_a_copy_that_is_there_may_be_referenced_though_its_update_waits() -> None:
    plan = PLAN.without(copies={"old"})

    assert [action.name for action in plan.copies] == ["new", "bad"]
    assert plan.additions == PLAN.additions


def test_a_copy_stays_while_a_reference_to_it_does() -> None:
    plan = PLAN.without(removals_from={"one"})

    assert plan.removals == PLAN.removals[1:]
    assert [action.copy.name for action in plan.deletions] == ["unreferenced"]
