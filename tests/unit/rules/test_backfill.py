from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from types import FrameType

import pytest
from msgspec.json import encode
from msgspec.structs import replace

from webhook.kube.objects import read_reference_list
from webhook.rules.actions import AddReferences, ApplyCopy, Finding, FindingReason
from webhook.rules.backfill import ENFORCE_ANNOTATION, MAX_REFERENCES, enforces_references, needs_plan
from webhook.rules.configuration import Configuration, NameFilter, OptIn, PodPolicy, PullSecret
from webhook.rules.labels import Operator, Requirement, Selector
from webhook.rules.managed_fields import SETTLED, ListOwnership
from webhook.rules.objects import Copy, Namespace, NamespaceState, ServiceAccount
from webhook.rules.patch import SERVICE_ACCOUNT_PATH, removals
from webhook.rules.plan import plan_namespace
from webhook.rules.references import References
from webhook.serve.handler import Handler

LABEL = "pullsecrets.webhook/inject"
NAMESPACE = Namespace("team-a", {LABEL: "enabled"})
ONE = Configuration((PullSecret("one", ("harbor",)),))
HASHES = {"one": "sha256:1", "two": "sha256:2"}
NEVER = replace(ONE, pull_secrets=(PullSecret("one", ("harbor",), pods=PodPolicy.NEVER),))


def enforcing(*names: str, name: str = "strict", **labels: str) -> ServiceAccount:
    return ServiceAccount("team-a", name, "9", labels, References(bool(names), names), enforces=True)


def state(*accounts: ServiceAccount, copy: Copy | None = None) -> NamespaceState:
    return NamespaceState(NAMESPACE, {copy.name: copy} if copy else {}, accounts)


FOREIGN = Copy("team-a", "one", "uid", "7", None, content_hash="")


@pytest.mark.parametrize("value", ["true", "True", "TRUE", "t", "T", "1"])
def test_what_the_api_server_takes_for_true_enforces(value: str) -> None:
    assert enforces_references({ENFORCE_ANNOTATION: value})


@pytest.mark.parametrize("value", ["false", "0", "", "yes", "tRUE", " true", "on"])
def test_what_it_does_not_enforces_nothing(value: str) -> None:
    assert not enforces_references({ENFORCE_ANNOTATION: value})
    assert not enforces_references({})


def test_the_reference_comes_before_the_copy() -> None:
    account = enforcing("mine")

    plan = plan_namespace(state(account), ONE, HASHES)

    assert plan.required == (AddReferences(account, ("one",)),)
    assert plan.copies == (ApplyCopy("one"),)
    assert plan.additions == ()
    assert not plan.is_empty


def test_others_of_the_namespace_wait_for_the_copy_as_ever() -> None:
    other = replace(enforcing(name="other"), enforces=False)

    plan = plan_namespace(state(enforcing(), other), ONE, HASHES)

    assert [action.service_account.name for action in plan.required] == ["strict"]
    assert plan.additions == (AddReferences(other, ("one",)),)


@pytest.mark.parametrize("hashes", [{}, {"one": None}], ids=["unknown", "no usable source"])
def test_the_reference_needs_no_source(hashes: dict[str, str | None]) -> None:
    account = enforcing()

    assert plan_namespace(state(account), ONE, hashes).required == (AddReferences(account, ("one",)),)


def test_the_reference_is_needed_beside_a_foreign_secret_too() -> None:
    account = enforcing()

    plan = plan_namespace(state(account, copy=FOREIGN), ONE, HASHES)

    assert plan.required == (AddReferences(account, ("one",)),)
    assert plan.copies == ()


def test_what_cannot_be_judged_yet_is_injected_already() -> None:
    account = enforcing()
    both = replace(ONE, pull_secrets=(*ONE.pull_secrets, PullSecret("two", ("ghcr",))))

    plan = plan_namespace(state(account), ONE, HASHES, injected=both)

    assert plan.required == (AddReferences(account, ("one", "two")),)
    assert plan.copies == (ApplyCopy("one"),)


def test_what_no_pod_is_given_waits_for_its_copy() -> None:
    account = enforcing()

    assert plan_namespace(state(account), NEVER, {}).required == ()
    assert plan_namespace(state(account), NEVER, HASHES).required == (AddReferences(account, ("one",)),)


def test_what_is_there_needs_no_write() -> None:
    assert plan_namespace(state(enforcing("one")), ONE, {}).is_empty


def test_one_that_is_not_included_gets_nothing_as_its_pods_do_not() -> None:
    excluding = replace(
        ONE, pull_secrets=(PullSecret("one", ("harbor",), service_accounts=NameFilter(("*",), ("strict",))),)
    )

    plan = plan_namespace(state(enforcing()), excluding, HASHES)

    assert (plan.required, plan.findings) == ((), ())


def test_a_namespace_that_is_not_selected_needs_nothing() -> None:
    gold = Selector((Requirement("tier", Operator.IN, ("gold",)),))
    selective = replace(ONE, pull_secrets=(PullSecret("one", ("harbor",), gold),))

    assert plan_namespace(state(enforcing()), selective, HASHES).is_empty
    opted_out = replace(state(enforcing()), namespace=Namespace("team-a", {}))
    assert plan_namespace(opted_out, ONE, HASHES).is_empty


def test_one_that_is_disabled_is_left_alone_and_reported() -> None:
    account = enforcing("mine", **{LABEL: "disabled"})

    plan = plan_namespace(state(account), ONE, HASHES)

    assert (plan.required, plan.additions) == ((), ())
    assert plan.findings == (Finding(FindingReason.REFERENCE_REQUIRED, "one", "strict"),)


def test_one_that_is_disabled_is_not_reported_when_its_pods_are_not_refused() -> None:
    disabled = {LABEL: "disabled"}

    assert plan_namespace(state(enforcing("one", **disabled)), ONE, HASHES).findings == ()
    assert plan_namespace(state(enforcing(**disabled)), NEVER, HASHES).findings == ()
    lenient = replace(enforcing(**disabled), enforces=False)
    assert plan_namespace(state(lenient), ONE, HASHES).findings == ()


@pytest.mark.parametrize("change", [{"terminating": True}, {"references": None}])
def test_one_that_ends_or_cannot_be_read_is_left_alone(change: dict[str, object]) -> None:
    account = replace(enforcing(), **change)

    assert plan_namespace(state(account), ONE, HASHES).required == ()


def test_nothing_is_added_to_a_list_that_is_too_long_and_that_is_reported() -> None:
    long = ServiceAccount("team-a", "long", "1", {}, References(present=True, length=MAX_REFERENCES + 1, positions=()))
    fitting = replace(long, name="fitting", references=References(present=True, length=MAX_REFERENCES, positions=()))

    plan = plan_namespace(state(long, fitting), ONE, HASHES)

    assert [action.service_account.name for action in plan.additions] == ["fitting"]
    assert plan.findings == (Finding(FindingReason.REFERENCES_TOO_MANY, "one", "long"),)


HARMLESS = [
    ServiceAccount("team-a", "new", "1", {"any": "label"}, References(present=True, names=("one", "theirs"))),
    ServiceAccount("team-a", "disabled", "1", {LABEL: "disabled"}, References()),
]
DECISIVE = [
    ServiceAccount("team-a", "lacking", "1", {}, References(present=True, names=("theirs",))),
    ServiceAccount("team-a", "ending", "1", {}, References(present=True, names=("one",)), terminating=True),
    enforcing("one"),
]


@pytest.mark.parametrize("account", HARMLESS, ids=lambda account: account.name)
def test_a_service_account_that_is_in_order_needs_no_look_at_its_namespace(account: ServiceAccount) -> None:
    assert not needs_plan(account, NAMESPACE, ONE)
    assert plan_namespace(state(account), ONE, HASHES).additions == ()


@pytest.mark.parametrize("account", DECISIVE, ids=lambda account: account.name)
def test_a_service_account_that_can_change_the_plan_needs_a_look(account: ServiceAccount) -> None:
    assert needs_plan(account, NAMESPACE, ONE)


def test_a_list_that_has_come_to_be_ours_needs_a_look() -> None:
    account = replace(HARMLESS[0], ownership=ListOwnership(entries=2, ours=1, holds=True))
    assert needs_plan(account, NAMESPACE, ONE)
    assert plan_namespace(state(account), ONE, HASHES).hand_backs


def test_a_reference_that_is_not_wanted_needs_a_look() -> None:
    assert needs_plan(HARMLESS[0], Namespace("team-a"), ONE)
    assert not needs_plan(HARMLESS[1], Namespace("team-a"), ONE)


NAMES = ("pull", "vendor")
CONFIGURATION = Configuration(
    opt_in=OptIn("x/inject", "enabled"), pull_secrets=tuple(PullSecret(name, ("harbor",)) for name in NAMES)
)
COUNTS = (5_000, 10_000, 20_000)


def listed(count: int, place: float) -> list[dict[str, str]]:
    """Return a list with our name at a place: 0 is the beginning, 1 the end."""
    entries = [{"name": f"other-{number:06}"} for number in range(count)]
    entries[int(place * (count - 1))] = {"name": "pull"}
    return entries


def admit(entries: list[dict[str, str]]) -> Callable[[], object]:
    account = {"kind": "ServiceAccount", "metadata": {"name": "app"}, "imagePullSecrets": entries}
    request = {
        "uid": "u",
        "kind": {"group": "", "version": "v1", "kind": "ServiceAccount"},
        "resource": {"group": "", "version": "v1", "resource": "serviceaccounts"},
        "operation": "UPDATE",
        "namespace": "team-a",
        "object": account,
    }
    body = encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
    handler = Handler(lambda: CONFIGURATION, lambda _: None)
    return lambda: handler.handle(body)


def keep_and_remove(entries: list[dict[str, str]]) -> Callable[[], object]:
    data = encode(entries)

    def work() -> object:
        references = read_reference_list(data, NAMES)
        account = ServiceAccount("team-a", "app", "1", {}, references, ownership=SETTLED)
        needs_plan(account, Namespace("team-a", {"x/inject": "enabled"}), CONFIGURATION)
        return removals(SERVICE_ACCOUNT_PATH, references, NAMES)

    return work


def calls(work: Callable[[], object]) -> int:
    """Return how many functions are called, in Python or C."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:  # noqa: ARG001
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("path", [admit, keep_and_remove])
def test_the_work_grows_evenly_with_the_list(
    path: Callable[[list[dict[str, str]]], Callable[[], object]], place: float
) -> None:
    counted = [calls(path(listed(count, place))) for count in COUNTS]
    for before, after in pairwise(counted):
        assert after <= 2.1 * before + 100, counted


def test_a_removal_from_the_middle_is_one_operation() -> None:
    references = read_reference_list(encode(listed(20_001, 0.5)), NAMES)
    assert removals(SERVICE_ACCOUNT_PATH, references, NAMES) == [{"op": "remove", "path": "/imagePullSecrets/10000"}]
