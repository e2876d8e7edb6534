"""The semantics of metav1.LabelSelectorAsSelector and labels.Requirement.Matches."""

from __future__ import annotations

import pytest

from webhook.rules.configuration import OptIn, Scope
from webhook.rules.labels import EVERYTHING, Operator, Requirement, Selector
from webhook.rules.mistyped import mistyped_opt_in


@pytest.mark.parametrize("labels", [{}, {"a": "1"}])
def test_an_empty_selector_matches_everything(labels: dict[str, str]) -> None:
    assert EVERYTHING.matches(labels)


@pytest.mark.parametrize(
    ("operator", "values", "labels", "expected"),
    [
        (Operator.IN, ("1", "2"), {"a": "1"}, True),
        (Operator.IN, ("1", "2"), {"a": "3"}, False),
        (Operator.IN, ("1", "2"), {}, False),
        (Operator.IN, ("",), {"a": ""}, True),
        (Operator.IN, ("",), {}, False),
        (Operator.NOT_IN, ("1",), {"a": "1"}, False),
        (Operator.NOT_IN, ("1",), {"a": "2"}, True),
        (Operator.NOT_IN, ("1",), {}, True),
        (Operator.EXISTS, (), {"a": ""}, True),
        (Operator.EXISTS, (), {"b": "1"}, False),
        (Operator.DOES_NOT_EXIST, (), {"a": ""}, False),
        (Operator.DOES_NOT_EXIST, (), {"b": "1"}, True),
    ],
)
def test_a_requirement_matches_as_upstream(
    operator: Operator, values: tuple[str, ...], labels: dict[str, str], expected: bool
) -> None:
    assert Requirement("a", operator, values).matches(labels) is expected


def test_all_requirements_must_hold() -> None:
    selector = Selector((Requirement("a", Operator.EXISTS), Requirement("b", Operator.IN, ("1",))))

    assert selector.matches({"a": "x", "b": "1"})
    assert not selector.matches({"a": "x", "b": "2"})


LABEL = "pullsecrets.webhook/inject"
OPT_IN = OptIn()
OPT_OUT = OptIn(scope=Scope.ALL)


@pytest.mark.parametrize("value", ["true", "True", "Enabled", "enable", "enabeld", "injected", "yes", "on", "1"])
def test_a_value_that_was_meant_to_opt_in_is_found(value: str) -> None:
    assert mistyped_opt_in({LABEL: value}, OPT_IN) == (LABEL, value)


@pytest.mark.parametrize("value", ["enabled", "disabled", "", "false", "later"])
def test_other_values_are_meant_as_they_are(value: str) -> None:
    assert mistyped_opt_in({LABEL: value, "app": "web"}, OPT_IN) is None


@pytest.mark.parametrize(
    "key",
    [
        "pullsecret.webhook/inject",
        "pullsecrets.webhook/injct",
        "pullsecrets.webhooks/inject",
        "pull-secrets.webhook/inject",
        "pull-secret-webhook/inject",
        "pullsecrets.webhook/Inject",
        "pullsecrets.webhook/injection",
        "pullsecrets.webhook/enabled",
        "pullsecrets.webhook.io/inject",
        "pullsecrets/inject",
        "pullsecrets.webhook",
        "inject",
    ],
)
def test_a_key_that_was_meant_to_opt_in_is_found(key: str) -> None:
    assert mistyped_opt_in({"app": "web", key: "enabled"}, OPT_IN) == (key, "enabled")
    assert mistyped_opt_in({key: "True"}, OPT_IN) == (key, "True")
    assert mistyped_opt_in({key: "enabled"}, OPT_IN, others={key}) is None


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"istio-injection": "enabled"},
        {"sidecar.istio.io/inject": "true"},
        {"linkerd.io/inject": "enabled"},
        {"pullsecret.webhook/inject": "no"},
    ],
)
def test_labels_of_other_tools_are_left_alone(labels: dict[str, str]) -> None:
    assert mistyped_opt_in(labels, OPT_IN) is None


@pytest.mark.parametrize("value", ["disable", "Disabled", "false", "no", "off"])
def test_in_the_scope_all_a_label_that_was_meant_to_opt_out_is_found(value: str) -> None:
    assert mistyped_opt_in({LABEL: value}, OPT_OUT) == (LABEL, value)
    assert mistyped_opt_in({"pullsecret.webhook/inject": value}, OPT_OUT) == ("pullsecret.webhook/inject", value)


@pytest.mark.parametrize("value", ["enabled", "disabled", "", "later", "true"])
def test_in_the_scope_all_other_values_are_meant_as_they_are(value: str) -> None:
    assert mistyped_opt_in({LABEL: value}, OPT_OUT) is None


def test_other_labels_below_a_prefix_of_the_users_own_are_left_alone() -> None:
    assert mistyped_opt_in({"example.com/monitored": "true"}, OptIn("example.com/inject")) is None
