from __future__ import annotations

import pytest
from msgspec.structs import replace

from webhook.rules.objects import Copy, Namespace
from webhook.rules.ownership import Mark
from webhook.sync.caches import _same_copy
from webhook.sync.table import NamespaceTable, Table


@pytest.fixture
def changed() -> list[str]:
    return []


@pytest.fixture
def table(changed: list[str]) -> Table[Copy]:
    return Table(_same_copy, changed.append)


def row(version: int = 1, content: str = "x", namespace: str = "a", name: str = "pull") -> Copy:
    return Copy(namespace, name, "uid", str(version), Mark(), content_hash=content)


def test_what_is_new_matters(table: Table[Copy], changed: list[str]) -> None:
    table.upsert(row())

    assert changed == ["a"]
    assert dict(table.of_namespace("a")) == {"pull": row()}
    assert (table.namespaces(), table.count_in("a")) == (["a"], 1)


def test_our_own_write_coming_back_does_not_matter(table: Table[Copy], changed: list[str]) -> None:
    table.upsert(row(2))
    table.upsert(row(2))
    table.upsert(row(3))

    assert changed == ["a"]
    assert table.of_namespace("a")["pull"].resource_version == "3"


def test_a_change_of_content_matters(table: Table[Copy], changed: list[str]) -> None:
    table.upsert(row(1))
    table.upsert(row(2, "y"))

    assert changed == ["a", "a"]


def test_an_event_older_than_our_own_write_is_passed_over(table: Table[Copy], changed: list[str]) -> None:
    table.upsert(row(9, "ours"))
    table.upsert(row(8, "older"))

    assert table.of_namespace("a")["pull"].content_hash == "ours"
    assert changed == ["a"]


def test_versions_are_compared_as_numbers(table: Table[Copy]) -> None:
    table.upsert(row(9))
    table.upsert(row(10, "newer"))

    assert table.of_namespace("a")["pull"].content_hash == "newer"


def test_what_is_gone_matters_once(table: Table[Copy], changed: list[str]) -> None:
    table.upsert(row(1))
    table.remove(row(2))
    table.remove(row(2))

    assert changed == ["a", "a"]
    assert (dict(table.of_namespace("a")), table.namespaces()) == ({}, [])


def test_the_deletion_of_what_we_have_replaced_since_is_passed_over(table: Table[Copy], changed: list[str]) -> None:
    table.upsert(row(5, "new"))
    table.remove(row(4, "old"))

    assert table.of_namespace("a")["pull"].content_hash == "new"
    assert changed == ["a"]


def test_what_we_have_deleted_ourselves_is_forgotten_in_silence(table: Table[Copy], changed: list[str]) -> None:
    table.upsert(row())

    table.discard(row())
    table.discard(row())
    table.discard(None)

    assert table.namespaces() == []
    assert changed == ["a"]


def test_a_not_found_does_not_remove_what_the_watch_has_reported_since(table: Table[Copy]) -> None:
    seen = row(1)
    table.upsert(seen)
    table.remove(row(2))
    table.upsert(row(3, "created again"))

    table.discard(seen)

    assert table.of_namespace("a")["pull"].content_hash == "created again"


def test_a_late_response_does_not_bring_back_what_was_deleted_since(table: Table[Copy], changed: list[str]) -> None:
    """A process that is suspended, or busy, reads the response to its write after the watch has reported the end."""
    table.upsert(row(5))
    table.remove(row(6))
    changed.clear()

    table.upsert_response(row(5))

    assert table.namespaces() == []
    assert changed == []


def test_a_late_response_does_not_bring_back_what_a_list_did_not_have(table: Table[Copy]) -> None:
    table.replace([row(3, name="another")], "9")

    table.upsert_response(row(8))
    assert list(table.of_namespace("a")) == ["another"]

    table.upsert_response(row(10))
    assert sorted(table.of_namespace("a")) == ["another", "pull"]


def test_a_list_of_an_older_etcd_counts_from_there(table: Table[Copy]) -> None:
    table.replace([], "9")
    table.replace([], "3")

    table.upsert_response(row(4))

    assert list(table.of_namespace("a")) == ["pull"]


def test_a_response_is_known_before_the_watch_reports_it(table: Table[Copy], changed: list[str]) -> None:
    table.replace([], "3")

    table.upsert_response(row(4))
    table.upsert(row(4))
    table.upsert_response(row(4))

    assert changed == ["a"]
    assert table.of_namespace("a")["pull"].resource_version == "4"


def test_a_new_list_tells_only_of_what_differs(table: Table[Copy], changed: list[str]) -> None:
    for namespace in ("same", "gone", "other"):
        table.upsert(row(namespace=namespace))
    changed.clear()

    table.replace([row(7, namespace="same"), row(namespace="new"), row(2, "y", namespace="other")])

    assert sorted(changed) == ["gone", "new", "other"]
    assert sorted(table.namespaces()) == ["new", "other", "same"]


def test_a_decision_reads_one_state(table: Table[Copy]) -> None:
    table.upsert(row())
    before = table.of_namespace("a")

    table.upsert(replace(row(2), name="another"))

    assert list(before) == ["pull"]


def test_namespaces_tell_of_new_changed_and_listed_ones(changed: list[str]) -> None:
    table = NamespaceTable(changed.append)
    table.upsert(Namespace("a", {"x": "1"}))
    table.upsert(Namespace("a", {"x": "1"}))
    table.upsert(Namespace("a", {"x": "2"}))
    table.replace([Namespace("a", {"x": "2"}), Namespace("b")])
    table.remove(Namespace("a"))

    assert changed == ["a", "a", "b"]
    assert (table.names(), table.get("a"), table.get("b")) == (["b"], None, Namespace("b"))
