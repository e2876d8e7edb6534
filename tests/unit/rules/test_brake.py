from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from webhook.rules.actions import DeleteCopy, NamespacePlan, RemoveReferences
from webhook.rules.brake import (
    PastRemoval,
    Removals,
    confirm_command,
    digest,
    encode_configuration,
    lost_by_change,
    max_removals,
    recent,
)
from webhook.rules.configuration import Configuration, OptIn, PullSecret
from webhook.rules.labels import Operator, Requirement, Selector
from webhook.rules.objects import Copy, Namespace, ServiceAccount
from webhook.rules.references import References

NOW = datetime(2026, 5, 4, tzinfo=UTC)
ACCEPTED = Configuration((PullSecret("one", ("harbor",)), PullSecret("two", ("ghcr",))), OptIn("inject", "enabled"))
TYPO = replace(ACCEPTED, opt_in=OptIn("injects", "enabled"))
SELECTED = Namespace("a", {"inject": "enabled"})


@pytest.mark.parametrize(
    ("copies", "total", "past", "held"),
    [
        (0, 0, 0, False),
        (20, 20, 0, False),
        (21, 21, 0, True),
        (60, 60, 0, True),
        (30, 100, 0, False),
        (31, 100, 0, True),
        (3000, 10_000, 0, False),
        (3001, 10_000, 0, True),
        (15, 45, 0, False),
        (15, 30, 15, True),
        (0, 30, 100, False),
    ],
)
def test_more_than_20_and_more_than_30_percent_are_held(copies: int, total: int, past: int, held: bool) -> None:
    assert Removals(copies, total).exceeds([PastRemoval(NOW, past)] if past else []) is held


def test_removals_of_the_last_hour_count() -> None:
    old, new = PastRemoval(NOW - timedelta(hours=1), 5), PastRemoval(NOW - timedelta(minutes=59), 5)
    assert recent([old, new], NOW) == (new,)
    assert max_removals(0) == 20


def test_a_typing_error_in_the_label_takes_everything_away() -> None:
    assert lost_by_change(ACCEPTED, TYPO, SELECTED) == {"one", "two"}


@pytest.mark.parametrize(
    ("proposed", "lost"),
    [
        (ACCEPTED, set()),
        (replace(ACCEPTED, retired=("two",), pull_secrets=ACCEPTED.pull_secrets[:1]), set()),
        (replace(ACCEPTED, pull_secrets=ACCEPTED.pull_secrets[:1]), set()),
        (replace(ACCEPTED, excluded_namespaces=frozenset({"a"})), {"one", "two"}),
        (
            replace(
                ACCEPTED,
                pull_secrets=(
                    replace(
                        ACCEPTED.pull_secrets[0],
                        namespace_selector=Selector((Requirement("x", Operator.EXISTS),)),
                    ),
                    ACCEPTED.pull_secrets[1],
                ),
            ),
            {"one"},
        ),
    ],
    ids=["nothing changes", "retired", "dropped", "excluded", "selector"],
)
def test_what_a_change_takes_away(proposed: Configuration, lost: set[str]) -> None:
    assert lost_by_change(ACCEPTED, proposed, SELECTED) == lost


def test_an_opt_out_is_no_change_of_the_configuration() -> None:
    assert lost_by_change(ACCEPTED, TYPO, Namespace("a", {})) == set()


def test_without_a_known_configuration_every_removal_counts_that_is_not_of_a_retired_name() -> None:
    assert lost_by_change(None, replace(TYPO, retired=("old",)), SELECTED) == {"one", "two"}


def test_a_confirmation_is_of_one_configuration_alone() -> None:
    assert digest(ACCEPTED) == digest(replace(ACCEPTED))
    assert digest(ACCEPTED) != digest(TYPO)
    assert confirm_command("psw", "psw-state", digest(TYPO)).endswith(f"confirm-removals={digest(TYPO)}")


def test_what_is_kept_of_a_plan_is_the_copy_and_the_references_to_it() -> None:
    account = ServiceAccount("a", "default", "1", {}, References(present=True, names=("one", "two")))
    copies = [Copy("a", name, "uid", "1", None, "") for name in ("one", "two")]
    plan = NamespacePlan(
        removals=(RemoveReferences(account, ("one", "two"), ("one",)),),
        deletions=tuple(DeleteCopy(copy) for copy in copies),
    )
    kept = plan.without_removals_of({"one"})
    assert [(removal.names, removal.without_copy) for removal in kept.removals] == [(("two",), ())]
    assert [deletion.copy.name for deletion in kept.deletions] == ["two"]
    assert plan.without_removals_of({"one", "two"}).is_empty
    assert plan.without_removals_of(frozenset()) is plan


def test_the_stored_configuration_has_the_fields_that_earlier_versions_require() -> None:
    """They refuse a document without one of them, for example after a downgrade."""
    assert set(json.loads(encode_configuration(ACCEPTED))) >= {
        "pull_secrets",
        "opt_in",
        "excluded_namespaces",
        "excluded_patterns",
        "retired",
        "credential_providers",
        "service_account_tokens",
        "healing",
        "needs_namespace_labels",
    }
