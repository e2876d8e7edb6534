from __future__ import annotations

from typing import Any

import jsonpatch
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.rules.managed_fields import (
    PLACEHOLDER,
    Entry,
    HandBackNeed,
    ListOwnership,
    hand_back,
    hand_back_needed,
    list_ownership,
    to_restore,
)

KEEP, GO = HandBackNeed(keep=True, from_stand_in=False), HandBackNeed(keep=False, from_stand_in=False)
LIST: dict[str, Any] = {"f:imagePullSecrets": {}}
LABELS: dict[str, Any] = {"f:metadata": {"f:labels": {"f:team": {}}}}


def entry(manager: str, operation: str = "Apply", **fields: Any) -> dict[str, Any]:  # noqa: ANN401 (any JSON)
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }


TENANT, TENANTS_LABELS = entry("kubectl", **LIST), entry("kubectl", **LABELS)
OURS = entry("pull-secret-webhook", "Update", **LIST)
STAND_IN = entry("before-first-apply", "Update", **LIST)


def read(entries: list[dict[str, Any]]) -> tuple[Entry, ...]:
    return msgspec.json.decode(msgspec.json.encode(entries), type=tuple[Entry, ...])


def handed_back(
    after: list[dict[str, Any]], need: HandBackNeed, before: list[dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """The entries after the patch, as the judge of RFC 6902 has them; the API server drops those that own nothing."""
    owners = list_ownership(read(before or [])).owners
    operations = hand_back(list_ownership(read(after)), need, to_restore(owners, read(after)))
    document = {"metadata": {"managedFields": after} if after else {}}
    patched: list[dict[str, Any]] = jsonpatch.apply_patch(document, operations)["metadata"].get("managedFields", [])
    return [each for each in patched if each["fieldsV1"]]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([TENANT], [OURS]),
        ([entry("kubectl", **LIST, **LABELS)], [TENANTS_LABELS, OURS]),
        ([entry("helm", **LIST), TENANTS_LABELS], [TENANTS_LABELS, OURS]),
        ([entry("kubectl-edit", "Update", **LIST)], [OURS]),
        ([entry("kubectl", **LIST), entry("helm", **LIST)], [OURS]),
        ([TENANTS_LABELS], [TENANTS_LABELS, OURS]),
    ],
)
@pytest.mark.parametrize("need", [KEEP, GO])
def test_after_our_write_everything_is_owned_as_before(
    before: list[dict[str, Any]], after: list[dict[str, Any]], need: HandBackNeed
) -> None:
    result = handed_back(after, need, before)

    assert sorted(result, key=str) == sorted(before, key=str)


def test_an_object_that_nobody_is_known_to_have_written_gets_a_placeholder_while_a_reference_is_ours() -> None:
    assert handed_back([], KEEP) == [PLACEHOLDER]
    assert handed_back([OURS], KEEP) == [PLACEHOLDER]
    assert handed_back([PLACEHOLDER], KEEP) == [PLACEHOLDER]
    assert handed_back([PLACEHOLDER], GO) == []
    assert handed_back([OURS], GO) == []


def test_the_placeholder_goes_when_somebody_owns_the_list() -> None:
    assert handed_back([TENANT, PLACEHOLDER], KEEP) == [TENANT]
    assert handed_back([TENANTS_LABELS, PLACEHOLDER], KEEP) == [TENANTS_LABELS, PLACEHOLDER]


def test_the_stand_in_loses_only_the_list_and_only_where_all_of_it_is_ours() -> None:
    other = entry("before-first-apply", "Update", **LIST, **LABELS)
    for stand_in, rest in ((STAND_IN, [PLACEHOLDER]), (other, [entry("before-first-apply", "Update", **LABELS)])):
        ownership = list_ownership(read([stand_in]))
        assert hand_back_needed(ownership, ours=1, entries=2) is None
        need = hand_back_needed(ownership, ours=2, entries=2)
        assert need is not None
        after = handed_back([stand_in], need)
        assert [each for each in after if each["manager"] != "pull-secret-webhook"] == [
            each for each in rest if each["manager"] != "pull-secret-webhook"
        ]
        assert all("f:imagePullSecrets" not in each["fieldsV1"] for each in after)
        assert after


def test_a_placeholder_of_another_release_stays() -> None:
    assert hand_back_needed(list_ownership(read([PLACEHOLDER])), ours=0, entries=1) is None
    assert hand_back_needed(list_ownership(read([OURS])), ours=0, entries=1) == GO


def test_what_no_entry_of_ours_touches_needs_nothing() -> None:
    assert hand_back_needed(ListOwnership(), ours=1, entries=1) is None
    assert hand_back_needed(list_ownership(read([TENANT])), ours=1, entries=2) is None
    assert hand_back_needed(list_ownership(()), ours=0, entries=1) is None


def test_only_so_many_owners_are_remembered() -> None:
    crowd = [entry(f"manager-{number}", **LIST) for number in range(1_000)]

    assert len(list_ownership(read(crowd)).owners) == 8


entries = st.lists(
    st.sampled_from([TENANT, TENANTS_LABELS, OURS, PLACEHOLDER, STAND_IN, entry("kubectl-edit", "Update", **LABELS)]),
    max_size=4,
    unique_by=lambda each: (each["manager"], each["operation"]),
)


@given(entries, st.integers(0, 2), st.integers(0, 2))
def test_what_was_handed_back_needs_nothing_more_and_touches_no_other_entry(
    before: list[dict[str, Any]], ours: int, theirs: int
) -> None:
    need = hand_back_needed(list_ownership(read(before)), ours=ours, entries=ours + theirs)
    if need is None:
        return
    after = handed_back(before, need)

    assert hand_back_needed(list_ownership(read(after)), ours=ours, entries=ours + theirs) is None
    touched = ("pull-secret-webhook", "before-first-apply")
    assert [each for each in after if each["manager"] not in touched] == [
        each for each in before if each["manager"] not in touched
    ]
