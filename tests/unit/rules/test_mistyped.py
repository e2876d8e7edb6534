from __future__ import annotations

import pytest

from webhook.rules.configuration import OptIn
from webhook.rules.mistyped import mistyped_opt_in

LABEL = "pullsecrets.webhook/inject"
OPT_IN = OptIn()


@pytest.mark.parametrize("value", ["true", "True", "Enabled", "enable", "enabeld", "yes", "on", "1"])
def test_a_value_that_was_meant_to_opt_in_is_found(value: str) -> None:
    assert mistyped_opt_in({LABEL: value}, OPT_IN) == (LABEL, value)


@pytest.mark.parametrize("value", ["enabled", "disabled", "", "false", "later"])
def test_other_values_are_meant_as_they_are(value: str) -> None:
    assert mistyped_opt_in({LABEL: value, "app": "web"}, OPT_IN) is None


@pytest.mark.parametrize(
    "key", ["pullsecret.webhook/inject", "pullsecrets.webhook/injct", "pullsecrets.webhooks/inject"]
)
def test_a_key_that_was_meant_to_opt_in_is_found(key: str) -> None:
    assert mistyped_opt_in({"app": "web", key: "enabled"}, OPT_IN) == (key, "enabled")
    assert mistyped_opt_in({key: "True"}, OPT_IN) == (key, "True")
    assert mistyped_opt_in({key: "enabled"}, OPT_IN, others={key}) is None


@pytest.mark.parametrize("labels", [{}, {"istio-injection": "enabled"}, {"pullsecret.webhook/inject": "no"}])
def test_labels_of_other_tools_are_left_alone(labels: dict[str, str]) -> None:
    assert mistyped_opt_in(labels, OPT_IN) is None
