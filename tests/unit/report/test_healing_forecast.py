"""The plan has for each Pod without a reference what healing would do, as its rules decide."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.rules.test_healing import CONFIGURATION, IMAGE, RECORD, SELECTED, pod
from webhook.report.healing import HealingForecast, LackingPod, few_evicted
from webhook.report.preview.row import Effect, PreviewReason, Row
from webhook.rules.healing import HealingInput, OwnerRecord, PulledPod, Trial

PLAIN = (Effect.RECREATE, PreviewReason.POD_WITHOUT_REFERENCE)
REFUTED = OwnerRecord("a", RECORD.names, "2100-01-01T00:00:00Z", 1000.0, Trial.REFUTED)


def forecast(*pods: PulledPod, registry: str = "registry.example.com", **given: Any) -> list[Row]:  # noqa: ANN401
    records = given.pop("records", {})
    made = HealingForecast(HealingInput(CONFIGURATION, 1000.0, records), {"pull": [registry]}, **given)
    lacking = [LackingPod(each, Row("a", f"Pod/{each.name}", *PLAIN, "it lacks it", ("pull",))) for each in pods]
    return list(made.rows(SELECTED, lacking))


@pytest.mark.parametrize(
    ("pulled", "given", "expected", "words"),
    [
        (pod(), {}, (Effect.EVICT, "healing-due"), "healing evicts it"),
        (pod(failing=()), {}, PLAIN, "it lacks it"),
        (pod(terminating=True), {}, PLAIN, "it lacks it"),
        (pod(owner=None), {}, (Effect.RECREATE, "healing-bare-pod"), "no controller"),
        (pod(has_run=True), {}, (Effect.RECREATE, "healing-pod-has-run"), "a container of it runs, or has run"),
        (pod(), {"registry": "ghcr.io"}, PLAIN, "it has no credential for"),
        (pod(), {"unseen": ["pull"]}, PLAIN, "you lack the right to read the source"),
        (pod(), {"records": {"owner": REFUTED}}, (Effect.RECREATE, "healing-stopped"), "lacks the reference, too"),
    ],
)
def test_a_row_has_the_next_step_of_healing(
    pulled: PulledPod, given: dict[str, Any], expected: tuple[Effect, str], words: str
) -> None:
    (row,) = forecast(pulled, **given)
    assert (row.effect, row.reason) == expected
    assert words in row.message
    assert (f"it cannot pull {IMAGE}" in row.message) is (row.message != "it lacks it")


def test_a_limit_of_one_is_no_plural() -> None:
    assert [few_evicted(limit) for limit in (1, 7)] == ["no Pod was evicted", "fewer than 7 Pods were evicted"]


def test_the_other_pods_of_an_owner_are_evicted_later_and_rows_keep_their_order() -> None:
    rows = forecast(pod("b", created="2026-01-02T00:00:00Z"), pod("a"))
    assert [(row.title, row.effect, row.reason) for row in rows] == [
        ("Pod/b", Effect.EVICT, "healing-trial"),
        ("Pod/a", Effect.EVICT, "healing-due"),
    ]
