from __future__ import annotations

import jsonpatch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from webhook.rules.actions import (
    EMPTY,
    AddReferences,
    ApplyCopy,
    DeleteCopy,
    Finding,
    FindingReason,
    NamespacePlan,
    RemoveReferences,
)
from webhook.rules.configuration import Configuration, NameFilter, PullSecret
from webhook.rules.copy_metadata import CopyMetadata
from webhook.rules.dockerconfig import COPY_TYPE
from webhook.rules.labels import Operator, Requirement, Selector
from webhook.rules.managed_fields import ListOwnership, Owner
from webhook.rules.objects import Copy, Namespace, NamespaceState, ServiceAccount
from webhook.rules.ownership import Mark
from webhook.rules.patch import PatchOperation, additions, removals
from webhook.rules.plan import plan_namespace, plan_uninstall
from webhook.rules.references import References

LABEL = "pullsecrets.webhook/inject"
OPTED_IN = Namespace("team-a", {LABEL: "enabled"})
OPTED_OUT = Namespace("team-a", {})
ONE = Configuration((PullSecret("one", ("harbor",)),))
HASHES = {"one": "sha256:1"}
GOLD = Selector((Requirement("tier", Operator.IN, ("gold",)),))


def a_copy(
    name: str = "one",
    content: str = "sha256:1",
    kind: str = COPY_TYPE,
    *,
    ours: bool = True,
    immutable: bool = False,
    terminating: bool = False,
) -> Copy:
    mark, known = (Mark(), content) if ours else (None, "")
    return Copy("team-a", name, "uid", "7", mark, known, kind, immutable, terminating)


def an_account(*names: str, present: bool = True, terminating: bool = False, **labels: str) -> ServiceAccount:
    return ServiceAccount("team-a", "default", "9", labels, References(present, names), terminating)


def state(namespace: Namespace, *objects: Copy | ServiceAccount) -> NamespaceState:
    return NamespaceState(
        namespace,
        {obj.name: obj for obj in objects if isinstance(obj, Copy)},
        tuple(obj for obj in objects if isinstance(obj, ServiceAccount)),
    )


def finding(reason: FindingReason, secret: str = "one") -> tuple[Finding, ...]:  # noqa: S107
    return (Finding(reason, secret),)


def test_a_selected_namespace_gets_the_copy_and_the_references_to_it() -> None:
    account = an_account("mine")

    plan = plan_namespace(state(OPTED_IN, account), ONE, HASHES)

    assert plan == NamespacePlan(copies=(ApplyCopy("one"),), additions=(AddReferences(account, ("one",)),))


def test_what_is_right_needs_no_write() -> None:
    assert plan_namespace(state(OPTED_IN, a_copy(), an_account("one")), ONE, HASHES).is_empty


def test_a_copy_with_other_content_is_updated_in_place() -> None:
    old = a_copy(content="sha256:0")

    assert plan_namespace(state(OPTED_IN, old), ONE, HASHES).copies == (ApplyCopy("one", updates=old),)


@pytest.mark.parametrize("old", [a_copy(kind="Opaque"), a_copy(immutable=True), a_copy(content="x", immutable=True)])
def test_a_copy_that_no_update_can_make_right_is_replaced(old: Copy) -> None:
    assert plan_namespace(state(OPTED_IN, old), ONE, HASHES).copies == (ApplyCopy("one", replaces=old),)


def test_a_copy_that_a_finalizer_keeps_is_updated_in_place_and_reported() -> None:
    held = replace(a_copy(content="x"), terminating=True, finalizers=("example.com/a", "example.com/b"))

    plan = plan_namespace(state(OPTED_IN, held), ONE, HASHES)

    report = Finding(FindingReason.COPY_TERMINATING, "one", detail="example.com/a, example.com/b")
    assert plan == NamespacePlan(copies=(ApplyCopy("one", updates=held),), findings=(report,))
    assert plan_namespace(state(OPTED_OUT, held), ONE, HASHES) == NamespacePlan(findings=(report,))


@pytest.mark.parametrize("old", [a_copy(), a_copy(kind="Opaque"), a_copy(content="x", immutable=True)])
def test_a_copy_that_is_being_deleted_is_waited_for(old: Copy) -> None:
    assert plan_namespace(state(OPTED_IN, replace(old, terminating=True)), ONE, HASHES).is_empty


@pytest.mark.parametrize("namespace", [OPTED_IN, OPTED_OUT])
@pytest.mark.parametrize("kind", [COPY_TYPE, "Opaque"])
def test_a_foreign_secret_of_that_name_is_left_alone(namespace: Namespace, kind: str) -> None:
    plan = plan_namespace(state(namespace, a_copy(kind=kind, ours=False), an_account()), ONE, HASHES)

    assert plan.is_empty
    assert plan.findings == (finding(FindingReason.COPY_CONFLICT) if namespace is OPTED_IN else ())


def test_without_a_source_an_existing_copy_stays_and_may_be_referenced() -> None:
    account = an_account()

    plan = plan_namespace(state(OPTED_IN, a_copy(content="x"), account), ONE, {"one": None})

    assert not plan.copies
    assert not plan.deletions
    assert plan.additions == (AddReferences(account, ("one",)),)
    assert plan.findings == finding(FindingReason.SOURCE_UNAVAILABLE)


def test_without_a_source_nothing_is_made_and_nothing_referenced() -> None:
    plan = plan_namespace(state(OPTED_IN, an_account()), ONE, {})

    assert plan.is_empty
    assert plan.findings == finding(FindingReason.SOURCE_UNAVAILABLE)


def test_opting_out_takes_away_references_and_copies() -> None:
    copy, account = a_copy(), an_account("mine", "one", "one")

    plan = plan_namespace(state(OPTED_OUT, copy, account), ONE, HASHES)

    assert plan == NamespacePlan(removals=(RemoveReferences(account, ("one",)),), deletions=(DeleteCopy(copy),))


def test_opting_out_while_the_copy_is_being_deleted_takes_away_the_references() -> None:
    account = an_account("one")

    plan = plan_namespace(state(OPTED_OUT, a_copy(terminating=True), account), ONE, HASHES)

    assert plan == NamespacePlan(removals=(RemoveReferences(account, ("one",)),))


def test_a_reference_to_a_secret_that_is_not_ours_stays() -> None:
    assert plan_namespace(state(OPTED_OUT, an_account("one")), ONE, HASHES).is_empty


def test_a_reference_without_a_copy_goes_where_the_namespace_was_selected() -> None:
    account, enforcing = an_account("mine", "one"), replace(an_account("one"), name="strict", enforces=True)

    plan = plan_namespace(state(OPTED_OUT, account, enforcing), ONE, HASHES, lost={"one"})

    removals = tuple(RemoveReferences(each, ("one",), without_copy=("one",)) for each in (account, enforcing))
    assert plan == NamespacePlan(removals=removals)


def test_a_reference_stays_where_a_secret_of_somebody_else_has_the_name_although_the_namespace_was_selected() -> None:
    assert plan_namespace(state(OPTED_OUT, a_copy(ours=False), an_account("one")), ONE, HASHES, lost={"one"}).is_empty


def test_what_is_due_again_is_not_lost() -> None:
    assert plan_namespace(state(OPTED_IN, a_copy(), an_account("one")), ONE, HASHES, lost={"one"}).is_empty


def test_a_name_that_is_not_configured_is_never_taken_away() -> None:
    assert plan_namespace(state(OPTED_OUT, an_account("mine")), ONE, HASHES, lost={"mine"}).is_empty


def test_a_retired_name_is_taken_away_in_a_namespace_that_is_still_selected() -> None:
    copy, account = a_copy("old"), an_account("old", "one")
    configuration = replace(ONE, retired=("old",))

    plan = plan_namespace(state(OPTED_IN, a_copy(), copy, account), configuration, HASHES)

    assert plan == NamespacePlan(removals=(RemoveReferences(account, ("old",)),), deletions=(DeleteCopy(copy),))


def test_a_copy_in_a_namespace_that_has_been_excluded_since_is_taken_away() -> None:
    copy = a_copy()

    assert plan_namespace(state(OPTED_IN, copy), ONE.excluding("team-a"), HASHES).deletions == (DeleteCopy(copy),)


def test_a_namespace_that_ends_is_left_to_end() -> None:
    ending = replace(OPTED_IN, terminating=True)

    assert plan_namespace(state(ending, a_copy(content="x"), an_account()), ONE, HASHES) is EMPTY


def test_a_service_account_that_is_disabled_excluded_terminating_or_unreadable_gets_nothing() -> None:
    excluding = replace(ONE, pull_secrets=(PullSecret("one", ("harbor",), service_accounts=NameFilter(("x-*",))),))
    disabled = replace(an_account(), labels={LABEL: "disabled"})
    unreadable = replace(an_account(), references=None)

    assert plan_namespace(state(OPTED_IN, a_copy(), disabled), ONE, HASHES).is_empty
    assert plan_namespace(state(OPTED_IN, a_copy(), an_account()), excluding, HASHES).is_empty
    assert plan_namespace(state(OPTED_IN, a_copy(), an_account(terminating=True)), ONE, HASHES).is_empty
    assert plan_namespace(state(OPTED_IN, a_copy(), unreadable), ONE, HASHES).is_empty
    assert not plan_namespace(state(OPTED_OUT, a_copy(), unreadable), ONE, HASHES).removals


# Any state at all

NAMES = ("one", "two", "old")
CONFIGURED = Configuration(
    (
        PullSecret("one", ("harbor",), service_accounts=NameFilter(("*",), ("builder",))),
        PullSecret("two", ("ghcr",), GOLD),
    ),
    retired=("old",),
)

copies = st.builds(
    a_copy,
    st.just("to be set"),
    st.sampled_from(["sha256:1", "sha256:x"]),
    st.sampled_from([COPY_TYPE, "Opaque"]),
    ours=st.booleans(),
    immutable=st.booleans(),
    terminating=st.booleans(),
)
references = st.one_of(
    st.none(),
    st.just(References()),
    st.lists(st.sampled_from([*NAMES, "mine", ""]), max_size=5).map(lambda names: References(True, tuple(names))),
)
accounts = st.tuples(
    st.just("team-a"),
    st.sampled_from(["default", "builder", "c"]),
    st.just("9"),
    st.sampled_from([{}, {LABEL: "disabled"}]),
    references,
    st.booleans(),
    st.booleans(),
).map(lambda fields: ServiceAccount(*fields))
namespaces = st.tuples(
    st.sampled_from(["team-a", "kube-system"]),
    st.fixed_dictionaries({}, optional={LABEL: st.sampled_from(["enabled", "no"]), "tier": st.just("gold")}),
    st.booleans(),
).map(lambda fields: Namespace(*fields))
states = st.tuples(
    namespaces,
    st.dictionaries(st.sampled_from(NAMES), copies, max_size=3).map(
        lambda found: {name: replace(copy, name=name) for name, copy in found.items()}
    ),
    st.lists(accounts, max_size=3, unique_by=lambda account: account.name).map(tuple),
).map(lambda fields: NamespaceState(*fields))
contents = st.fixed_dictionaries({}, optional=dict.fromkeys(("one", "two"), st.sampled_from(["sha256:1", None])))


def patched(account: ServiceAccount, patch: list[PatchOperation]) -> ServiceAccount:
    """The account after a patch, as the judge of RFC 6902 has it."""
    assert account.references is not None
    document = {"imagePullSecrets": [{"name": name} for name in account.references.names]}
    after = jsonpatch.apply_patch(document if account.references.present else {}, patch)
    return replace(account, references=References(True, tuple(entry["name"] for entry in after["imagePullSecrets"])))


def carried_out(before: NamespaceState, plan: NamespacePlan, hashes: dict[str, str | None]) -> NamespaceState:
    found = dict(before.copies)
    for action in plan.copies:
        content = hashes[action.name]
        assert content is not None
        found[action.name] = a_copy(action.name, content)
    current = {account.name: account for account in before.service_accounts}
    changes: list[AddReferences | RemoveReferences] = [*plan.required, *plan.additions, *plan.removals]
    for change in changes:
        account = current[change.service_account.name]
        assert account.references is not None
        make = additions if isinstance(change, AddReferences) else removals
        current[account.name] = patched(account, make("/imagePullSecrets", account.references, change.names))
    for deletion in plan.deletions:
        del found[deletion.copy.name]
    return NamespaceState(before.namespace, found, tuple(current.values()))


@settings(max_examples=100)
@given(states, contents)
def test_the_state_that_a_plan_leads_to_needs_no_other(before: NamespaceState, hashes: dict[str, str | None]) -> None:
    plan = plan_namespace(before, CONFIGURED, hashes)
    after = carried_out(before, plan, hashes)

    assert plan_namespace(after, CONFIGURED, hashes).is_empty


@settings(max_examples=100)
@given(states, contents)
def test_no_plan_touches_what_is_not_ours(before: NamespaceState, hashes: dict[str, str | None]) -> None:
    plan = plan_namespace(before, CONFIGURED, hashes)
    after = carried_out(before, plan, hashes)

    foreign = {name: copy for name, copy in before.copies.items() if copy.mark is None}
    assert foreign.items() <= after.copies.items()
    touched = [copy for action in plan.copies for copy in (action.updates, action.replaces) if copy]
    assert all(copy.mark is not None for copy in [*touched, *(deletion.copy for deletion in plan.deletions)])
    required = {action.service_account.name: list(action.names) for action in plan.required}
    for old, new in zip(before.service_accounts, after.service_accounts, strict=True):
        # What Pods are given is needed beside a foreign Secret as well; nothing else changes.
        added = [name for name in required.get(old.name, []) if name not in ours(before)]
        assert others(old, before) + added == others(new, before)


def ours(before: NamespaceState) -> set[str]:
    return {name for name in NAMES if name not in before.copies or before.copies[name].mark is not None}


def others(account: ServiceAccount, before: NamespaceState) -> list[str]:
    """The references that are no business of ours, in their order."""
    names = account.references.names if account.references else ()
    return [name for name in names if name not in ours(before)]


@settings(max_examples=100)
@given(states, contents)
def test_no_service_account_comes_to_name_a_copy_that_is_not_there(
    before: NamespaceState, hashes: dict[str, str | None]
) -> None:
    plan = plan_namespace(before, CONFIGURED, hashes)
    there = before.copies.keys() | {action.name for action in plan.copies}

    assert all(set(addition.names) <= there for addition in plan.additions)
    assert all(addition.service_account.enforces for addition in plan.required)
    left = carried_out(before, replace(plan, deletions=()), hashes)
    for deletion in plan.deletions:
        for account in left.service_accounts:
            if account.references is not None and not account.terminating:
                assert deletion.copy.name not in account.references.names


RECREATED = replace(OPTED_IN, uid="new")


@pytest.mark.parametrize("mark", [Mark(""), Mark("old"), Mark("new", written=False)])
def test_a_copy_that_lacks_a_part_of_the_proof_is_completed_in_place_where_it_belongs(mark: Mark) -> None:
    copy = replace(a_copy(), mark=mark)

    assert plan_namespace(state(RECREATED, copy), ONE, HASHES).copies == (ApplyCopy("one", updates=copy),)


@pytest.mark.parametrize("mark", [Mark("old"), Mark("new", written=False), Mark("old", written=False), None])
def test_a_copy_without_the_whole_proof_is_not_deleted_and_references_to_it_stay(mark: Mark | None) -> None:
    left = replace(RECREATED, labels={})

    assert plan_namespace(state(left, replace(a_copy(), mark=mark), an_account("one")), ONE, HASHES).is_empty


def test_a_copy_of_release_0_1_leaves_like_any_other() -> None:
    copy, left = replace(a_copy(), mark=Mark("")), replace(RECREATED, labels={})

    assert plan_namespace(state(left, copy), ONE, HASHES).deletions == (DeleteCopy(copy),)


CONFIGURATION = Configuration(
    (PullSecret("pull", ("harbor",)), PullSecret("vendor", ("ghcr",))), retired=("old",)
).excluding("psw-system")
SELECTED = Namespace("a", {"pullsecrets.webhook/inject": "enabled"})
LEFT = Namespace("a", {})


def test_a_copy_that_lacks_only_its_labels_is_written_again() -> None:
    metadata = CopyMetadata((("team", "a"),))
    configuration = Configuration((PullSecret("one", ("harbor",), copies=metadata),))
    there = a_copy()
    (write,) = plan_namespace(state(OPTED_IN, there), configuration, HASHES).copies
    assert write == ApplyCopy("one", updates=there, metadata=metadata, only_metadata=True)
    right = replace(there, metadata=metadata.stored)
    assert not plan_namespace(state(OPTED_IN, right), configuration, HASHES).copies
    assert not plan_namespace(state(OPTED_IN, there), configuration, {"one": None}).copies
    (changed,) = plan_namespace(state(OPTED_IN, right), ONE, {"one": "sha256:2"}).copies
    assert changed == ApplyCopy("one", updates=right)


def copy(name: str, *, ours: bool = True, terminating: bool = False) -> Copy:
    mark, known = (Mark(), "hash") if ours else (None, "")
    return Copy("a", name, f"uid-{name}", "7", mark, known, terminating=terminating)


def account(*references: str, **labels: str) -> ServiceAccount:
    return ServiceAccount("a", "default", "3", labels, References(present=True, names=references))


def test_every_copy_of_ours_goes_configured_or_retired_selected_or_not() -> None:
    pull, old = copy("pull"), copy("old")
    for namespace in (SELECTED, LEFT, Namespace("psw-system")):
        plan = plan_uninstall(state(namespace, pull, old), CONFIGURATION)
        assert plan == NamespacePlan(deletions=(DeleteCopy(pull), DeleteCopy(old)))


def test_references_to_our_copies_go_and_those_of_others_stay() -> None:
    mine = account("theirs", "pull", "old", "pull")
    plan = plan_uninstall(state(LEFT, copy("pull"), copy("old"), mine), CONFIGURATION)
    assert plan.removals == (RemoveReferences(mine, ("pull", "old")),)


def test_an_account_that_opts_out_loses_them_too() -> None:
    labelled = account("pull", **{"pullsecrets.webhook/inject": "disabled"})
    plan = plan_uninstall(state(SELECTED, copy("pull"), labelled), CONFIGURATION)
    assert plan.removals == (RemoveReferences(labelled, ("pull",)),)


def test_a_foreign_secret_and_the_references_to_it_are_left_alone() -> None:
    for namespace in (SELECTED, LEFT):
        foreign = state(namespace, copy("pull", ours=False), account("pull"))
        assert plan_uninstall(foreign, CONFIGURATION).is_empty


def test_a_reference_that_never_had_a_copy_goes_where_it_was_due() -> None:
    waiting = account("vendor", "theirs")
    assert plan_uninstall(state(SELECTED, waiting), CONFIGURATION).removals == (
        RemoveReferences(waiting, ("vendor",), without_copy=("vendor",)),
    )
    assert plan_uninstall(state(LEFT, waiting), CONFIGURATION).is_empty


def test_a_retired_reference_without_a_copy_goes_where_the_namespace_opted_in() -> None:
    mine = account("old")
    removal = RemoveReferences(mine, ("old",), without_copy=("old",))
    assert plan_uninstall(state(SELECTED, mine), CONFIGURATION).removals == (removal,)
    assert plan_uninstall(state(LEFT, mine), CONFIGURATION).is_empty


@pytest.mark.parametrize("name", ["pull", "old"])
def test_a_list_that_only_we_wrote_loses_them_anywhere(name: str) -> None:
    ours = replace(account(name), ownership=ListOwnership(entries=1, ours=0))
    removal = RemoveReferences(ours, (name,), without_copy=(name,))
    assert plan_uninstall(state(LEFT, ours), CONFIGURATION).removals == (removal,)
    theirs = replace(ours, ownership=ListOwnership(2, ours=0, owners=(Owner("kubectl", "Update", "v1", ""),)))
    assert plan_uninstall(state(LEFT, theirs), CONFIGURATION).is_empty


def test_a_copy_that_is_being_deleted_is_not_deleted_again() -> None:
    mine = account("pull")
    plan = plan_uninstall(state(LEFT, copy("pull", terminating=True), mine), CONFIGURATION)
    assert plan == NamespacePlan(removals=(RemoveReferences(mine, ("pull",)),))


def test_a_namespace_that_ends_takes_everything_with_it() -> None:
    ending = replace(SELECTED, terminating=True)
    assert plan_uninstall(state(ending, copy("pull"), account("pull")), CONFIGURATION).is_empty


@pytest.mark.parametrize("mark", [Mark("old"), Mark("new", written=False), Mark("old", written=False)])
def test_what_a_person_or_a_backup_put_there_stays_with_the_references_to_it(mark: Mark) -> None:
    namespace = replace(SELECTED, uid="new")
    there = replace(copy("pull"), mark=mark)

    assert plan_uninstall(state(namespace, there, account("pull")), CONFIGURATION).is_empty
