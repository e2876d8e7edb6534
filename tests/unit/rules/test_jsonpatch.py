from __future__ import annotations

from webhook.rules.objects import References
from webhook.rules.patch import POD_PATH, SERVICE_ACCOUNT_PATH, additions, expect_resource_version, removals


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
