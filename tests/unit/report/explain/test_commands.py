from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.unit.report.explain.test_explanation import LABEL, ONE, inputs, pod
from webhook.report.explain.commands import retire_command, select_command
from webhook.report.explain.explanation import explain_dropped, explain_namespace, explain_subject
from webhook.report.explain.step import LOOK_UP
from webhook.rules.configuration import Configuration, OptIn
from webhook.rules.labels import Operator, Requirement, Selector

GOLD = Requirement("tier", Operator.IN, ("gold", "silver"))
TIERED = Requirement("tier", Operator.EXISTS)
NOT_GOLD = Requirement("tier", Operator.NOT_IN, ("gold",))
NO_TIER = Requirement("tier", Operator.DOES_NOT_EXIST)


@pytest.mark.parametrize(
    ("requirements", "labels", "changes"),
    [
        ([GOLD], {}, "tier=gold"),
        ([GOLD], {"tier": "bronze"}, "tier=gold --overwrite"),
        ([TIERED], {}, "tier=true"),
        ([GOLD, TIERED], {}, "tier=gold"),
        ([GOLD, NOT_GOLD], {}, "tier=silver"),
        ([TIERED, NOT_GOLD], {"tier": "gold"}, "tier=true --overwrite"),
        ([NOT_GOLD], {"tier": "gold"}, "tier-"),
        ([NO_TIER, Requirement("team", Operator.IN, ("a",))], {"tier": "x"}, "tier- team=a"),
    ],
)
def test_the_labels_of_the_command_are_those_that_the_selector_requires(
    requirements: list[Requirement], labels: dict[str, str], changes: str
) -> None:
    assert select_command("team-a", Selector(tuple(requirements)), labels) == (
        f"kubectl label namespace team-a {changes}"
    )


@pytest.mark.parametrize(
    ("declined", "command"),
    [
        ({"registry"}, "kubectl annotate namespace team-a pullsecrets.webhook/decline-"),
        ({"registry", "vendor"}, "kubectl edit namespace team-a"),
    ],
)
def test_a_namespace_keeps_the_other_names_that_it_declines(declined: set[str], command: str) -> None:
    configuration = Configuration((ONE,), OptIn(may_decline=True))
    where = inputs(configuration=configuration, namespace={"declined": frozenset(declined)})
    step = next(each for each in explain_namespace(where, "team-a").steps if each.reason == "namespace-declines")
    assert step.command == command


@pytest.mark.parametrize(("name", "command"), [("web", "kubectl -n team-a edit pod/web"), ("", LOOK_UP)])
def test_an_object_without_a_name_has_no_command_about_it(name: str, command: str) -> None:
    subject = replace(pod(labels={LABEL: "disabled"}), name=name, generate_name="web-")
    assert explain_subject(inputs(), subject).verdict.command.startswith(command)


def test_the_copy_of_a_dropped_name_is_retired_with_the_other_names() -> None:
    command = retire_command("psw", "pull-secrets", ["a", "old"])
    found = explain_dropped("old", "team-a", "psw", command)
    assert (found.title, found.verdict.reason) == ("Secret/old", "copy-dropped")
    assert found.verdict.command == (
        """helm upgrade psw CHART -n pull-secrets --reuse-values --set-json 'retired=["a", "old"]'"""
    )
