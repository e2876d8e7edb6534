from __future__ import annotations

from dataclasses import replace

import pytest

from webhook.rules.configuration import Configuration, OptIn, PullSecret, Reason
from webhook.rules.gates import decide_namespace, selected_pull_secrets
from webhook.rules.labels import Operator, Requirement, Selector
from webhook.rules.objects import Namespace, declined_names

LABEL = "pullsecrets.webhook/inject"
GOLD = Selector((Requirement("tier", Operator.IN, ("gold",)),))
EVERYWHERE = PullSecret("everywhere", ("harbor",))
GOLD_ONLY = PullSecret("gold-only", ("ghcr",), GOLD)
CONFIGURATION = Configuration((EVERYWHERE, GOLD_ONLY)).excluding("pull-secret-webhook")


def namespace(name: str = "team-a", value: str = "enabled", *, terminating: bool = False, **labels: str) -> Namespace:
    return Namespace(name, {LABEL: value, **labels}, terminating)


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        (namespace(), Reason.INJECTED),
        (namespace("kube-system"), Reason.NAMESPACE_EXCLUDED),
        (namespace("pull-secret-webhook"), Reason.NAMESPACE_EXCLUDED),
        (namespace("kube-system", terminating=True), Reason.NAMESPACE_EXCLUDED),
        (namespace(terminating=True), Reason.NAMESPACE_TERMINATING),
        (namespace(value="disabled"), Reason.NAMESPACE_NOT_OPTED_IN),
        (namespace(value="Enabled"), Reason.NAMESPACE_NOT_OPTED_IN),
        (namespace(value=""), Reason.NAMESPACE_NOT_OPTED_IN),
        (Namespace("team-a"), Reason.NAMESPACE_NOT_OPTED_IN),
    ],
)
def test_a_namespace_takes_part_only_when_nothing_stops_it(subject: Namespace, reason: Reason) -> None:
    assert decide_namespace(subject, CONFIGURATION).reason is reason


def test_the_opt_in_label_is_the_configured_one() -> None:
    configuration = Configuration((EVERYWHERE,), OptIn("example.com/registry", "yes"))

    assert decide_namespace(Namespace("a", {"example.com/registry": "yes"}), configuration).reason is Reason.INJECTED
    assert decide_namespace(namespace(), configuration).reason is Reason.NAMESPACE_NOT_OPTED_IN


def test_each_pull_secret_selects_for_itself_and_the_order_is_kept() -> None:
    assert selected_pull_secrets(CONFIGURATION, namespace()) == (EVERYWHERE,)
    assert selected_pull_secrets(CONFIGURATION, namespace(tier="gold")) == (EVERYWHERE, GOLD_ONLY)
    assert selected_pull_secrets(CONFIGURATION, namespace(value="off", tier="gold")) == ()
    assert selected_pull_secrets(CONFIGURATION, namespace(terminating=True)) == ()


@pytest.mark.parametrize(
    ("configuration", "subject", "reason"),
    [
        (CONFIGURATION, namespace(), Reason.INJECTED),
        (CONFIGURATION, namespace("kube-public"), Reason.NAMESPACE_EXCLUDED),
        (Configuration(()), namespace(), Reason.NOTHING_CONFIGURED),
        (Configuration((GOLD_ONLY,)), namespace(), Reason.NAMESPACE_NOT_SELECTED),
    ],
)
def test_a_namespace_as_a_whole_has_one_reason(
    configuration: Configuration, subject: Namespace, reason: Reason
) -> None:
    assert decide_namespace(subject, configuration).reason is reason


LIMITED = PullSecret("limited", ("harbor", "ghcr"), limits=(("team-*",), ("team-a", "team-b")))


@pytest.mark.parametrize(("name", "expected"), [("team-a", True), ("team-c", False), ("a", False), ("team-", False)])
def test_a_pull_secret_goes_where_each_of_its_sources_may(name: str, expected: bool) -> None:
    configuration = Configuration((LIMITED,))
    assert (selected_pull_secrets(configuration, namespace(name)) == (LIMITED,)) is expected
    reason = Reason.INJECTED if expected else Reason.SOURCE_NOT_FOR_NAMESPACE
    assert decide_namespace(namespace(name), configuration).reason is reason


def test_a_namespace_declines_by_name_where_it_may() -> None:
    declining = replace(namespace(tier="gold"), declined=frozenset({"everywhere", "no-such"}))
    assert selected_pull_secrets(CONFIGURATION, declining) == (EVERYWHERE, GOLD_ONLY)
    allowing = replace(CONFIGURATION, opt_in=OptIn(may_decline=True))
    assert selected_pull_secrets(allowing, declining) == (GOLD_ONLY,)
    assert decide_namespace(declining, allowing).reason is Reason.INJECTED
    only = replace(allowing, pull_secrets=(EVERYWHERE,))
    assert decide_namespace(declining, only).reason is Reason.NAMESPACE_DECLINES


@pytest.mark.parametrize(
    ("annotation", "names"),
    [(None, []), ("", []), ("a", ["a"]), (" a ,b,, c\n", ["a", "b", "c"]), ("a b", ["a b"])],
)
def test_the_annotation_names_pull_secrets_separated_by_commas(annotation: str | None, names: list[str]) -> None:
    annotations = {} if annotation is None else {"pullsecrets.webhook/decline": annotation}
    assert declined_names(annotations) == frozenset(names)
