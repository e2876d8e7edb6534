from __future__ import annotations

from dataclasses import replace

import pytest

from webhook.rules.actions import DeleteCopy, NamespacePlan, RemoveReferences
from webhook.rules.configuration import Configuration, PullSecret
from webhook.rules.managed_fields import ListOwnership, Owner
from webhook.rules.objects import Copy, Namespace, NamespaceState, References, ServiceAccount
from webhook.rules.ownership import Mark
from webhook.rules.plan import plan_uninstall

CONFIGURATION = Configuration(
    (PullSecret("pull", ("harbor",)), PullSecret("vendor", ("ghcr",))), retired=("old",)
).excluding("psw-system")
SELECTED = Namespace("a", {"pullsecrets.webhook/inject": "enabled"})
LEFT = Namespace("a", {})


def copy(name: str, *, ours: bool = True, terminating: bool = False) -> Copy:
    mark, known = (Mark(), "hash") if ours else (None, "")
    return Copy("a", name, f"uid-{name}", "7", mark, known, terminating=terminating)


def account(*references: str, **labels: str) -> ServiceAccount:
    return ServiceAccount("a", "default", "3", labels, References(present=True, names=references))


def state(namespace: Namespace, *copies: Copy, accounts: tuple[ServiceAccount, ...] = ()) -> NamespaceState:
    return NamespaceState(namespace, {each.name: each for each in copies}, accounts)


def test_every_copy_of_ours_goes_configured_or_retired_selected_or_not() -> None:
    pull, old = copy("pull"), copy("old")
    for namespace in (SELECTED, LEFT, Namespace("psw-system")):
        plan = plan_uninstall(state(namespace, pull, old), CONFIGURATION)
        assert plan == NamespacePlan(deletions=(DeleteCopy(pull), DeleteCopy(old)))


def test_references_to_our_copies_go_and_those_of_others_stay() -> None:
    mine = account("theirs", "pull", "old", "pull")
    plan = plan_uninstall(state(LEFT, copy("pull"), copy("old"), accounts=(mine,)), CONFIGURATION)
    assert plan.removals == (RemoveReferences(mine, ("pull", "old")),)


def test_an_account_that_opts_out_loses_them_too() -> None:
    labelled = account("pull", **{"pullsecrets.webhook/inject": "disabled"})
    plan = plan_uninstall(state(SELECTED, copy("pull"), accounts=(labelled,)), CONFIGURATION)
    assert plan.removals == (RemoveReferences(labelled, ("pull",)),)


def test_a_foreign_secret_and_the_references_to_it_are_left_alone() -> None:
    for namespace in (SELECTED, LEFT):
        foreign = state(namespace, copy("pull", ours=False), accounts=(account("pull"),))
        assert plan_uninstall(foreign, CONFIGURATION).is_empty


def test_a_reference_that_never_had_a_copy_goes_where_it_was_due() -> None:
    waiting = account("vendor", "theirs")
    assert plan_uninstall(state(SELECTED, accounts=(waiting,)), CONFIGURATION).removals == (
        RemoveReferences(waiting, ("vendor",), without_copy=("vendor",)),
    )
    assert plan_uninstall(state(LEFT, accounts=(waiting,)), CONFIGURATION).is_empty


def test_a_retired_reference_without_a_copy_goes_where_the_namespace_opted_in() -> None:
    mine = account("old")
    removal = RemoveReferences(mine, ("old",), without_copy=("old",))
    assert plan_uninstall(state(SELECTED, accounts=(mine,)), CONFIGURATION).removals == (removal,)
    assert plan_uninstall(state(LEFT, accounts=(mine,)), CONFIGURATION).is_empty


@pytest.mark.parametrize("name", ["pull", "old"])
def test_a_list_that_only_we_wrote_loses_them_anywhere(name: str) -> None:
    ours = replace(account(name), ownership=ListOwnership(entries=1, ours=0))
    removal = RemoveReferences(ours, (name,), without_copy=(name,))
    assert plan_uninstall(state(LEFT, accounts=(ours,)), CONFIGURATION).removals == (removal,)
    theirs = replace(ours, ownership=ListOwnership(2, ours=0, owners=(Owner("kubectl", "Update", "v1", ""),)))
    assert plan_uninstall(state(LEFT, accounts=(theirs,)), CONFIGURATION).is_empty


def test_a_copy_that_is_being_deleted_is_not_deleted_again() -> None:
    mine = account("pull")
    plan = plan_uninstall(state(LEFT, copy("pull", terminating=True), accounts=(mine,)), CONFIGURATION)
    assert plan == NamespacePlan(removals=(RemoveReferences(mine, ("pull",)),))


def test_a_namespace_that_ends_takes_everything_with_it() -> None:
    ending = replace(SELECTED, terminating=True)
    assert plan_uninstall(state(ending, copy("pull"), accounts=(account("pull"),)), CONFIGURATION).is_empty


@pytest.mark.parametrize("mark", [Mark("old"), Mark("new", written=False), Mark("old", written=False)])
def test_what_a_person_or_a_backup_put_there_stays_with_the_references_to_it(mark: Mark) -> None:
    namespace = replace(SELECTED, uid="new")
    there = replace(copy("pull"), mark=mark)

    assert plan_uninstall(state(namespace, there, accounts=(account("pull"),)), CONFIGURATION).is_empty
