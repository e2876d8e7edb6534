"""The semantics of metav1.LabelSelectorAsSelector and labels.Requirement.Matches."""

from __future__ import annotations

import pytest

from webhook.rules.labels import EVERYTHING, Operator, Requirement, Selector


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
