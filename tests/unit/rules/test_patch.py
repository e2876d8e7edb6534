from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.rules.patch import (
    POD_PATH,
    SERVICE_ACCOUNT_PATH,
    PatchOperation,
    additions,
    apply,
    expect_resource_version,
    removals,
)
from webhook.rules.references import References
from webhook.rules.subject import service_account_subject


def test_an_absent_list_is_added_as_a_whole() -> None:
    assert additions(POD_PATH, References(), ["a", "b"]) == [
        {"op": "add", "path": "/spec/imagePullSecrets", "value": [{"name": "a"}, {"name": "b"}]}
    ]


def test_a_present_list_gets_one_add_for_each_missing_name() -> None:
    assert additions(SERVICE_ACCOUNT_PATH, References(present=True, names=("b",)), ["a", "b", "c"]) == [
        {"op": "add", "path": "/imagePullSecrets/-", "value": {"name": "a"}},
        {"op": "add", "path": "/imagePullSecrets/-", "value": {"name": "c"}},
    ]


def test_an_empty_list_is_a_present_one() -> None:
    assert additions(POD_PATH, References(present=True), ["a"]) == [
        {"op": "add", "path": "/spec/imagePullSecrets/-", "value": {"name": "a"}}
    ]


def test_a_name_given_twice_is_added_once() -> None:
    assert len(additions(POD_PATH, References(present=True), ["a", "a"])) == 1


def test_nothing_missing_is_no_patch() -> None:
    assert additions(POD_PATH, References(present=True, names=("a", "a")), ["a"]) == []
    assert additions(POD_PATH, References(), []) == []


def test_a_patch_can_be_bound_to_the_version_that_was_read() -> None:
    assert expect_resource_version("42") == {"op": "test", "path": "/metadata/resourceVersion", "value": "42"}


def test_every_entry_of_a_removed_name_goes_the_last_one_first() -> None:
    references = References(present=True, names=("a", "b", "a"))
    assert removals(SERVICE_ACCOUNT_PATH, references, ["a"]) == [
        {"op": "remove", "path": "/imagePullSecrets/2"},
        {"op": "remove", "path": "/imagePullSecrets/0"},
    ]
    assert removals(SERVICE_ACCOUNT_PATH, references, ["c"]) == []


NAMES = st.sampled_from(["a", "b", "c", "registry-credentials", ""])
ENTRIES: st.SearchStrategy[Any] = st.one_of(
    NAMES.map(lambda name: {"name": name}), st.just({}), st.just({"name": None}), st.none()
)
LISTS = st.one_of(st.none(), st.lists(ENTRIES, max_size=6))


@given(LISTS, st.booleans(), st.lists(NAMES, max_size=4), st.lists(NAMES, max_size=3), st.booleans())
def test_a_patch_of_ours_does_what_rfc_6902_says(
    entries: list[Any] | None,
    there: bool,
    added: list[str],
    removed: list[str],
    is_pod: bool,
) -> None:
    holder: dict[str, Any] = (
        {"imagePullSecrets": entries, "other": [1]} if there or entries is not None else {"other": [1]}
    )
    document = {"kind": "Pod", "spec": holder} if is_pod else holder
    path = POD_PATH if is_pod else SERVICE_ACCOUNT_PATH
    references = _references({"imagePullSecrets": entries})
    patch = [*additions(path, references, added), *removals(path, references, removed)]
    before = copy.deepcopy(document)

    result = apply(document, patch)

    assert result == jsonpatch.apply_patch(document, patch)
    assert document == before


def test_a_value_that_an_alias_shares_is_not_changed_in_its_other_place() -> None:
    shared: dict[str, object] = {"imagePullSecrets": [{"name": "own"}]}
    document = {"spec": shared, "other": shared}

    result = apply(document, additions(POD_PATH, _references(shared), ["new"]))

    assert result == {
        "spec": {"imagePullSecrets": [{"name": "own"}, {"name": "new"}]},
        "other": {"imagePullSecrets": [{"name": "own"}]},
    }


def test_what_changes_nothing_is_no_patch_to_apply() -> None:
    with pytest.raises(ValueError, match="test is not an operation that changes a document"):
        apply({"metadata": {}}, [expect_resource_version("1")])


def test_a_path_that_is_not_there_is_an_error() -> None:
    operation: PatchOperation = {"op": "add", "path": "/spec/imagePullSecrets/-", "value": {"name": "a"}}

    with pytest.raises(KeyError):
        apply({"spec": {}}, [operation])


def _references(holder: dict[str, object]) -> References:
    subject = service_account_subject(holder, "ns")
    assert subject is not None
    return subject.references
