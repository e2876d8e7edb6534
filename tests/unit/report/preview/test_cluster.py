from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from webhook.report.preview.cluster import ORIGIN, Forecaster, summarized
from webhook.report.preview.preview import Preview
from webhook.report.preview.row import Effect, Row
from webhook.report.preview.secrets import Expected
from webhook.rules import rollout
from webhook.rules.configuration import Configuration, NameFilter, PullSecret, Reason, RolloutSettings
from webhook.rules.dockerconfig import content_hash
from webhook.rules.managed_fields import ListOwnership
from webhook.rules.objects import Copy, Namespace, NamespaceState, ServiceAccount, Subject
from webhook.rules.ownership import Mark
from webhook.rules.references import References
from webhook.rules.renewing import NamespaceToken
from webhook.rules.state_document import LastGood, StoredRollout
from webhook.rules.versions import SourceVersion

LABEL = "pullsecrets.webhook/inject"
TEAM = Namespace("team-a", {LABEL: "enabled"})
HASH = "sha256:1"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CONFIGURATION = Configuration(
    (PullSecret("pull", ("harbor",)), PullSecret("late", ("x",), service_accounts=NameFilter(exclude=("ci-*",)))),
    retired=("old",),
)
EXPECTED = {"pull": Expected(HASH), "late": Expected(problem="it does not exist")}


def account(*names: str, enforces: bool = False, labels: dict[str, str] | None = None) -> ServiceAccount:
    return ServiceAccount("team-a", "default", "1", labels or {}, References(True, names), enforces=enforces)


def copy(name: str, *, ours: bool = True) -> Copy:
    return Copy("team-a", name, "u", "1", Mark() if ours else None, HASH)


def rows(
    *copies: Copy, accounts: tuple[ServiceAccount, ...] = (), namespace: Namespace = TEAM, unseen: tuple[str, ...] = ()
) -> list[Row]:
    state = NamespaceState(namespace, {each.name: each for each in copies}, accounts)
    return list(Forecaster(CONFIGURATION, EXPECTED, unseen).of_namespace(state))


def short(found: list[Row]) -> list[tuple[str, str, str]]:
    return [(row.title, row.effect, row.reason) for row in found]


def test_what_the_loop_would_write_is_a_row_each() -> None:
    assert short(rows(copy("old"), accounts=(account("old"),))) == [
        ("Namespace/team-a", "none", "namespace-selected"),
        ("Secret/pull", "create", "copy-due"),
        ("Secret/late", "problem", "source-unavailable"),
        ("Secret/old", "delete", "copy-not-wanted"),
        ("ServiceAccount/default", "references", "injected"),
    ]


def test_a_copy_whose_source_cannot_be_used_is_kept_and_one_that_was_never_made_is_a_problem() -> None:
    (kept,) = (row for row in rows(copy("pull"), copy("late")) if row.title == "Secret/late")
    (missing,) = (row for row in rows(copy("pull")) if row.title == "Secret/late")

    assert (kept.effect, kept.reason) == ("none", "copy-kept")
    assert kept.message == "kept as it is, because it does not exist"
    assert (missing.effect, missing.reason) == ("problem", "source-unavailable")


def test_a_copy_that_does_not_hold_the_last_good_content_is_outdated_and_a_problem() -> None:
    last_good = LastGood(b"{}", (SourceVersion("x", "u", "1"),), datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    late_one = Expected(problem="it does not exist", last_good=last_good, last_good_hash=content_hash(b"{}"))
    expected = {"pull": Expected(HASH), "late": late_one}
    held = replace(copy("late"), content_hash=content_hash(b"{}"))

    def late(each: Copy) -> Row:
        state = NamespaceState(TEAM, {"pull": copy("pull"), "late": each}, ())
        found = Forecaster(CONFIGURATION, expected, ()).of_namespace(state)
        return next(row for row in found if row.title == "Secret/late")

    outdated, kept, older = late(copy("late")), late(held), late(replace(copy("late"), resource_version="0"))
    assert (older.effect, older.reason) == ("update", "copy-due")
    assert older.message == "made of the last good copy from 2026-01-02 03:04 UTC, because it does not exist"
    assert (outdated.effect, outdated.reason) == ("problem", "copy-outdated")
    assert outdated.message == (
        "it does not have the last good copy from 2026-01-02 03:04 UTC and stays as it is, because it does not exist"
    )
    assert (kept.effect, kept.reason) == ("none", "copy-kept")


@pytest.mark.parametrize(
    ("stored", "stage"),
    [
        (rollout.first("old", "a", NOON), "which sync has not noted yet"),
        (rollout.propose(rollout.first("old", "a", NOON), "other", "b", NOON), "which sync has not noted yet"),
        (
            rollout.propose(rollout.first("old", "a", NOON), "new", "b", NOON),
            "which is proposed (every namespace is to have the previous content for now)",
        ),
    ],
)
def test_the_stage_of_a_rotation_is_that_of_the_present_sources(stored: rollout.Rollout, stage: str) -> None:
    expected = {"pull": Expected("new", stages=RolloutSettings(), stored=StoredRollout(stored))}
    state = NamespaceState(TEAM, {"pull": replace(copy("pull"), content_hash="old")})
    row = list(Forecaster(Configuration((PullSecret("pull", ("x",)),)), expected).of_namespace(state))[1]
    assert (row.effect, row.message) == ("none", f"made of the content before the rotation, {stage}")


def test_the_write_of_the_loop_passes_the_webhook_which_adds_what_has_no_copy() -> None:
    row = rows(copy("old"), accounts=(account("old"),))[-1]
    assert (row.added, row.removed) == (("pull", "late"), ("old",))
    assert row.message == "pull and late are due here and not yet referenced; the copy of old will be deleted"


def test_what_is_due_and_has_no_copy_waits_while_nothing_else_is_written() -> None:
    row = rows(copy("pull"), accounts=(account("pull"),))[-1]
    assert (row.effect, row.reason, row.added) == ("none", "source-unavailable", ())
    assert row.message == "late is due as soon as its copy exists"


def test_several_names_that_wait_for_their_copies_are_plural() -> None:
    expected = {name: Expected(problem="it does not exist") for name in ("pull", "late")}
    state = NamespaceState(TEAM, {}, (account(),))
    (*_, row) = Forecaster(CONFIGURATION, expected).of_namespace(state)
    assert row.message == "pull and late are due as soon as their copies exist"


def test_a_reference_without_a_copy_that_is_not_due_any_more_has_no_copy_to_delete() -> None:
    written_by_us = replace(account("pull", "old"), ownership=ListOwnership(ours=0))
    row = rows(copy("old"), accounts=(written_by_us,), namespace=Namespace("team-a"))[-1]
    assert row.removed == ("old", "pull")
    assert row.message == "the copy of old will be deleted; pull is not due any more"


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Namespace("team-a"), ("references", "copy-not-wanted", (), ("pull",))),
        (Namespace("team-a", {LABEL: "enabled"}, terminating=True), ("none", "namespace-terminating", (), ())),
    ],
)
def test_a_namespace_that_is_left(where: Namespace, expected: tuple[object, ...]) -> None:
    row = rows(copy("pull"), accounts=(account("pull"),), namespace=where)[-1]
    assert (row.effect, row.reason, row.added, row.removed) == expected


def test_a_foreign_secret_is_left_alone_and_so_is_the_reference_to_it() -> None:
    found = rows(copy("pull", ours=False), accounts=(account(),))
    assert short(found)[1] == ("Secret/pull", "problem", "copy-conflict")
    assert short(found)[-1] == ("ServiceAccount/default", "none", "copy-conflict")


def test_an_account_that_enforces_and_opts_out_is_a_problem_of_its_own() -> None:
    found = rows(copy("pull"), accounts=(account(enforces=True, labels={LABEL: "disabled"}),))
    assert short(found)[-1] == ("ServiceAccount/default", "problem", "reference-required")


def test_a_list_that_cannot_be_read_is_a_problem() -> None:
    unreadable = ServiceAccount("team-a", "default", "1", {}, None)
    assert short(rows(copy("pull"), accounts=(unreadable,)))[-1][1:] == ("problem", "object-unreadable")


def test_a_copy_without_its_service_account_names_the_account_to_create() -> None:
    entry = PullSecret("pull", (), tokens=(NamespaceToken("", "r.io", "u", "r.io", "puller"),))
    state = NamespaceState(TEAM, token_accounts={})
    found = list(Forecaster(Configuration((entry,)), {"pull": Expected(HASH)}).of_namespace(state))
    assert found[1].message.endswith("so the copy is not made: create the ServiceAccount")


def test_of_copies_that_may_not_be_read_nothing_is_known() -> None:
    assert short(rows(unseen=("pull",)))[1] == ("Secret/pull", "undecided", "copy-not-seen")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), ("recreate", "pod-without-reference", ("pull", "late"))),
        (("pull",), ("recreate", "pod-without-reference", ("late",))),
        (("pull", "late"), ("none", "already-present", ())),
    ],
)
def test_a_pod_that_exists_has_to_be_created_anew(names: tuple[str, ...], expected: tuple[object, ...]) -> None:
    subject = Subject("Pod", "web", "team-a", labels={}, annotations={}, references=References(True, names))
    row = Forecaster(CONFIGURATION, EXPECTED).of_pod(subject, TEAM)
    assert (row.effect, row.reason, row.added) == expected


WHY = "its sources cannot be copied now: it does not exist"


def missing_copy(namespace: str, name: str = "pull") -> Row:
    return Row(namespace, f"Secret/{name}", Effect.PROBLEM, "source-unavailable", WHY)


def waiting_account(namespace: str, *due: str) -> Row:
    gates = tuple((name, str(Reason.INJECTED)) for name in due)
    reason = "source-unavailable"
    return Row(namespace, "ServiceAccount/default", Effect.NONE, reason, "due", gates=gates, origin=ORIGIN)


OTHER = Row("team-a", "Secret/other", Effect.CREATE, "copy-due", "made from it")


def test_what_waits_for_a_source_is_one_row_for_each_pull_secret() -> None:
    rows = (
        missing_copy("team-a"),
        OTHER,
        waiting_account("team-a", "pull"),
        missing_copy("team-b"),
        missing_copy("team-b", "late"),
        waiting_account("team-b"),
    )
    found = summarized(Preview(rows, unlisted=3), "psw", lambda _: False)
    assert [(row.namespace, row.title, row.effect, row.reason) for row in found.rows] == [
        ("team-a", "Secret/other", "create", "copy-due"),
        ("psw", "PullSecret/pull", "problem", "source-unavailable"),
        ("psw", "PullSecret/late", "problem", "source-unavailable"),
    ]
    assert found.rows[1].message == f"2 copies are missing and 1 ServiceAccount lacks the reference: {WHY}"
    assert found.rows[2].message == f"1 copy is missing: {WHY}"
    assert found.unlisted == 5
    assert found.has_problems


def test_rows_of_a_namespace_that_was_named_stay() -> None:
    rows = (missing_copy("team-a"), waiting_account("team-a", "pull"))
    assert summarized(Preview(rows), "psw", lambda name: name == "team-a").rows == rows


def test_a_foreign_secret_is_not_a_source_that_is_waited_for() -> None:
    expected = {"pull": Expected(HASH), "late": Expected(problem="it does not exist")}
    state = NamespaceState(TEAM, {"pull": copy("pull", ours=False)}, (account(),))
    late_first = replace(CONFIGURATION, pull_secrets=CONFIGURATION.pull_secrets[::-1])
    found = tuple(Forecaster(late_first, expected).of_namespace(state))
    assert (found[-1].reason, found[-1].message) == (
        "source-unavailable",
        "late and pull are due as soon as their copies exist",
    )
    assert short(list(summarized(Preview(found), "psw", lambda _: False).rows))[1:] == [
        ("Secret/pull", "problem", "copy-conflict"),
        ("PullSecret/late", "problem", "source-unavailable"),
    ]


def test_thousands_of_missing_copies_are_counted_with_separators() -> None:
    rows = tuple(missing_copy(f"team-{number}") for number in range(1200))
    (row,) = summarized(Preview(rows), "psw", lambda _: False).rows
    assert row.message == f"1,200 copies are missing: {WHY}"
