"""Secrets that belong to the namespaces: they are referenced, and nothing else is known or done about them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from webhook.rules.actions import AddReferences, DeleteCopy, RemoveReferences
from webhook.rules.backfill import needs_plan
from webhook.rules.brake import lost_by_change
from webhook.rules.configuration import Configuration, OptIn, PodPolicy, PullSecret
from webhook.rules.copy_status import CopyState, CopyStatus, copy_statuses
from webhook.rules.dangling import still_referenced
from webhook.rules.gates import decide, decide_namespace
from webhook.rules.labels import Operator, Requirement, Selector
from webhook.rules.managed_fields import ListOwnership, Owner
from webhook.rules.objects import Copy, Namespace, NamespaceState, ServiceAccount, Subject
from webhook.rules.ownership import Mark
from webhook.rules.plan import plan_namespace, plan_uninstall
from webhook.rules.references import References
from webhook.rules.scope import scope_of

LABEL = "pullsecrets.webhook/inject"
IN, OUT = Namespace("team-a", {LABEL: "enabled"}), Namespace("team-a", {})
OWN = PullSecret("own", (), tenant_owned=True)
BOTH = Configuration((OWN, PullSecret("one", ("harbor",))))
HASHES = {"one": "sha256:1"}
COPY = Copy("team-a", "one", "uid", "7", Mark(), "sha256:1")
BY_A_PERSON = ListOwnership(owners=(Owner("kubectl", "Update", "v1", ""),))
BY_US = ListOwnership(ours=0)


def account(*names: str, ownership: ListOwnership = BY_US) -> ServiceAccount:
    return ServiceAccount("team-a", "default", "9", {}, References(bool(names), names), ownership=ownership)


def state(namespace: Namespace, *accounts: ServiceAccount, copies: tuple[Copy, ...] = (COPY,)) -> NamespaceState:
    return NamespaceState(namespace, {copy.name: copy for copy in copies}, accounts)


@pytest.mark.parametrize("kind", ["Pod", "ServiceAccount"])
def test_it_is_injected_in_the_order_of_the_configuration(kind: str) -> None:
    subject = Subject(kind, "x", "team-a", {}, {}, References())  # type: ignore[arg-type]
    assert decide(subject, BOTH, IN).added == ("own", "one")
    never = replace(BOTH, pull_secrets=(replace(OWN, pods=PodPolicy.NEVER), *BOTH.pull_secrets[1:]))
    assert decide(subject, never, IN).added == (("one",) if kind == "Pod" else ("own", "one"))


def test_a_namespace_declines_it_and_a_selector_limits_it_as_any_other() -> None:
    declines = replace(BOTH, opt_in=OptIn(may_decline=True))
    assert decide_namespace(replace(IN, declined=frozenset({"own"})), declines).added == ("one",)
    gold = Selector((Requirement("tier", Operator.IN, ("gold",)),))
    limited = replace(BOTH, pull_secrets=(replace(OWN, namespace_selector=gold), *BOTH.pull_secrets[1:]))
    assert decide_namespace(IN, limited).added == ("one",)


def test_the_reference_is_added_without_a_copy_and_nothing_is_found_to_be_missing() -> None:
    lacking = account()
    plan = plan_namespace(state(IN, lacking), BOTH, HASHES)
    assert plan.additions == (AddReferences(lacking, ("own", "one")),)
    assert (plan.copies, plan.deletions, plan.findings) == ((), (), ())
    assert list(copy_statuses(state(IN), BOTH)) == [CopyStatus("one", CopyState.STALE, "sha256:1")]
    assert plan_namespace(state(IN, account("own", "one")), BOTH, HASHES).is_empty


@pytest.mark.parametrize(("ownership", "removed"), [(BY_US, ("own",)), (ListOwnership(), ("own",)), (BY_A_PERSON, ())])
def test_after_an_opt_out_the_reference_leaves_lists_that_no_person_has_written(
    ownership: ListOwnership, removed: tuple[str, ...]
) -> None:
    held = account("own", ownership=ownership)
    only = replace(BOTH, pull_secrets=(OWN,))
    expected = (RemoveReferences(held, removed),) if removed else ()
    # without_copy is empty: nobody has the right to prove that the Secret does not exist.
    assert plan_namespace(state(OUT, held, copies=()), only, {}, lost={"own"}).removals == expected
    assert still_referenced(state(OUT, held, copies=()), only, {"own"}) == set(removed)
    assert needs_plan(held, OUT, only)
    assert plan_namespace(state(OUT, held, copies=()), only, {}).is_empty
    assert plan_uninstall(state(IN, held, copies=()), only).removals == expected


def test_the_name_is_kept_of_service_accounts_and_is_not_that_of_a_copy() -> None:
    assert scope_of(BOTH).names == {"own", "one"}
    assert (BOTH.secret_names, BOTH.reference_names, BOTH.tenant_names) == (("one",), ("one", "own"), ("own",))
    # The brake counts copies only, and this one has none.
    assert lost_by_change(BOTH, replace(BOTH, pull_secrets=(OWN,)), IN) == frozenset()


def test_a_copy_from_before_leaves_if_the_name_is_retired_and_the_references_stay() -> None:
    before, held = replace(COPY, name="own"), account("own")
    now = Configuration((OWN,), retired=("own",))
    plan = plan_namespace(state(IN, held, copies=(before,)), now, {})
    assert (plan.deletions, plan.removals) == ((DeleteCopy(before),), ())
    assert list(copy_statuses(state(IN, copies=(before,)), now)) == [CopyStatus("own", CopyState.LEAVING)]
    theirs = replace(before, mark=None)
    assert plan_namespace(state(IN, held, copies=(theirs,)), now, {}).is_empty
    # Without the name among the retired ones, there is no right on it, and nothing is known of the copy.
    assert plan_namespace(state(IN, held, copies=()), Configuration((OWN,)), {}).is_empty
    # An opt-out takes both away.
    plan = plan_namespace(state(OUT, held, copies=(before,)), now, {}, lost={"own"})
    assert (plan.deletions, plan.removals) == ((DeleteCopy(before),), (RemoveReferences(held, ("own",)),))
