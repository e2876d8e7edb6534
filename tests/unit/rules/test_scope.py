from __future__ import annotations

from webhook.rules.configuration import Configuration, OptIn, PullSecret
from webhook.rules.labels import Operator, Requirement, Selector
from webhook.rules.scope import part_within, scope_of

TEAM = Selector((Requirement("team", Operator.IN, ("a",)),))
TIER = Selector((Requirement("tier", Operator.EXISTS),))
BEFORE = Configuration((PullSecret("pull", ("harbor",), TEAM),), retired=("old",))


def test_a_scope_holds_the_names_and_the_labels_that_decisions_read() -> None:
    scope = scope_of(BEFORE)

    assert scope.names == {"pull", "old"}
    assert scope.account_labels == {BEFORE.opt_in.label}
    assert scope.namespace_labels == {BEFORE.opt_in.label, "team"}


def test_a_smaller_configuration_is_covered_and_a_larger_one_is_not() -> None:
    larger = Configuration((*BEFORE.pull_secrets, PullSecret("vendor", ("vendor",))), retired=BEFORE.retired)

    assert scope_of(larger).covers(scope_of(BEFORE))
    assert not scope_of(BEFORE).covers(scope_of(larger))


def test_what_was_not_kept_is_not_decided() -> None:
    new_name, new_label = PullSecret("vendor", ("vendor",)), PullSecret("pull", ("harbor",), TIER)

    part = part_within(Configuration((*BEFORE.pull_secrets, new_name), retired=("old", "older")), scope_of(BEFORE))
    assert (part.pull_secrets, part.retired) == (BEFORE.pull_secrets, ("old",))
    assert part_within(Configuration((new_label,)), scope_of(BEFORE)).pull_secrets == ()


def test_what_was_kept_completely_is_decided_without_another_configuration() -> None:
    assert part_within(BEFORE, scope_of(BEFORE)) is BEFORE


def test_without_the_opt_in_label_nothing_is_decided() -> None:
    other = Configuration(BEFORE.pull_secrets, OptIn("example.com/other"), retired=("old",))

    part = part_within(other, scope_of(BEFORE))

    assert (part.pull_secrets, part.retired) == ((), ())
