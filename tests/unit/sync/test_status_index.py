from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.clock import Clock
from webhook.rules.copy_status import CopyState, CopyStatus
from webhook.sync import status_index as module
from webhook.sync.status_index import Result, Resync, StatusIndex

HASHES = {"pull": "sha256:1"}
CURRENT = CopyStatus("pull", CopyState.STALE, "sha256:1")
OLD = CopyStatus("pull", CopyState.STALE, "sha256:0")
MISSING = CopyStatus("pull", CopyState.MISSING)
FOREIGN = CopyStatus("pull", CopyState.CONFLICTING)
LEAVING = CopyStatus("pull", CopyState.LEAVING)


@pytest.fixture
def status_index() -> StatusIndex:
    return StatusIndex()


def counts(status_index: StatusIndex, content: str | None = "sha256:1") -> dict[str, int]:
    hashes = {"pull": content} if content else {}
    return {str(state): number for (_, state), number in status_index.counts(hashes).items()}


def test_copies_are_counted_by_state(status_index: StatusIndex) -> None:
    for number, standing in enumerate([CURRENT, CURRENT, OLD, MISSING, FOREIGN, LEAVING]):
        status_index.record(f"a-{number}", [standing])

    assert counts(status_index) == {"current": 2, "stale": 1, "missing": 1, "conflicting": 1, "leaving": 1}


def test_a_rotation_makes_every_copy_stale_without_one_being_looked_at(status_index: StatusIndex) -> None:
    for number in range(3):
        status_index.record(f"a-{number}", [CURRENT])

    assert counts(status_index, "sha256:2") == {"stale": 3}
    assert counts(status_index, None) == {"kept": 3}
    assert counts(status_index) == {"current": 3}


def test_the_last_look_counts(status_index: StatusIndex) -> None:
    status_index.record("a", [MISSING])
    status_index.record("a", [CURRENT])
    assert counts(status_index) == {"current": 1}

    status_index.record("a", [])
    assert counts(status_index) == {}
    assert (status_index._records, dict(status_index._counts)) == ({}, {})


def test_pull_secrets_are_counted_by_themselves(status_index: StatusIndex) -> None:
    status_index.record("a", [CURRENT, CopyStatus("other", CopyState.MISSING)])

    assert status_index.counts(HASHES) == {("pull", CopyState.CURRENT): 1, ("other", CopyState.MISSING): 1}


def test_a_copy_that_could_not_be_written_fails_until_it_is_no_longer_due(status_index: StatusIndex) -> None:
    status_index.record("a", [MISSING], {"pull"})
    status_index.copy_failed("a", "pull", Result.DENIED)
    assert counts(status_index) == {"failing": 1}
    assert [(name, each.reason) for name, each in status_index.not_current(HASHES)] == [("a", "denied")]

    status_index.record("a", [OLD], {"pull"})
    assert counts(status_index) == {"failing": 1}

    status_index.record("a", [CURRENT], ())
    assert counts(status_index) == {"current": 1}
    status_index.record("a", [MISSING], {"pull"})
    assert counts(status_index) == {"missing": 1}


def test_a_copy_is_kept_while_a_source_cannot_be_used_and_one_that_is_not_there_is_missing(
    status_index: StatusIndex,
) -> None:
    status_index.record("a", [CURRENT])
    status_index.record("b", [MISSING])

    assert counts(status_index, None) == {"kept": 1, "missing": 1}
    named = {name: str(each.state) for name, each in status_index.not_current({})}
    assert named == {"a": "kept", "b": "missing"}


def test_a_copy_that_could_not_be_written_is_not_kept_when_its_source_goes_missing(status_index: StatusIndex) -> None:
    last_good = {"pull": "sha256:1"}
    status_index.record("a", [OLD])
    status_index.copy_failed("a", "pull", Result.DENIED)
    assert counts(status_index) == {"failing": 1}

    status_index.record("a", [OLD])
    status_index.record("b", [CURRENT])

    assert status_index.counts({}, last_good) == {("pull", CopyState.STALE): 1, ("pull", CopyState.KEPT): 1}
    assert {name: each.state for name, each in status_index.not_current({}, last_good)} == {
        "a": CopyState.STALE,
        "b": CopyState.KEPT,
    }
    assert [state for ((_, state, _),) in status_index.by_namespace({}, last_good).values()] == ["stale", "kept"]


def test_what_should_go_does_not_fail_to_be_written(status_index: StatusIndex) -> None:
    status_index.record("a", [LEAVING])
    status_index.copy_failed("a", "pull", Result.DENIED)

    assert counts(status_index) == {"leaving": 1}


def test_namespaces_fail_until_they_are_done(status_index: StatusIndex) -> None:
    status_index.namespace_failed("a", Result.DENIED)
    status_index.namespace_failed("a", Result.UNAVAILABLE)
    assert status_index.failing() == {"a": Result.UNAVAILABLE}

    status_index.namespace_done("a")
    status_index.namespace_done("b")
    assert status_index.failing() == {}


def test_who_does_not_lead_knows_nothing(status_index: StatusIndex) -> None:
    status_index.record("a", [MISSING], {"pull"})
    status_index.copy_failed("a", "pull", Result.DENIED)
    status_index.namespace_failed("a", Result.DENIED)
    status_index.clear()

    assert (counts(status_index), status_index.failing(), list(status_index.not_current(HASHES))) == ({}, {}, [])
    status_index.record("a", [MISSING], {"pull"})
    assert counts(status_index) == {"missing": 1}


def test_namespaces_that_stand_alike_share_one_record(
    status_index: StatusIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARED_LIMIT", 10)
    for number in range(100):
        status_index.record(f"a-{number}", [CopyStatus("pull", CopyState.STALE, "sha256:1")])
    assert len({id(record) for record in status_index._records.values()}) == 1

    for number in range(100):
        status_index.record(f"b-{number}", [CopyStatus("pull", CopyState.STALE, f"sha256:{number}")])
    assert len(status_index._shared) <= 10
    assert counts(status_index) == {"current": 101, "stale": 99}


copy_statuses = st.sampled_from([CURRENT, OLD, MISSING, FOREIGN, LEAVING])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.lists(copy_statuses, max_size=2), st.booleans())))
def test_the_numbers_are_those_of_the_names(looks: list[tuple[str, list[CopyStatus], bool]]) -> None:
    status_index = StatusIndex()
    for namespace, found, fails in looks:
        status_index.record(namespace, found, {"pull"})
        if fails:
            status_index.copy_failed(namespace, "pull", Result.DENIED)

    numbers = counts(status_index)
    named = [str(each.current_state(HASHES["pull"])) for _, each in status_index.not_current(HASHES)]
    assert {state: named.count(state) for state in named} == {k: n for k, n in numbers.items() if k != "current"}
    assert sum(numbers.values()) == sum(len(record) for record in status_index._records.values())


@pytest.fixture
def resync(clock: Clock) -> Resync:
    return Resync(clock)


def test_a_pass_ends_when_every_name_has_been_looked_at(resync: Resync, clock: Clock) -> None:
    resync.begin(["a", "b"])
    clock.now += 3.0
    resync.checked("b")
    resync.checked("x")
    resync.checked("b")
    assert resync.seconds_since == 3.0

    resync.checked("a")
    assert resync.seconds_since == 0.0
    clock.now += 7.0
    resync.checked("a")
    assert resync.seconds_since == 7.0


def test_a_pass_over_nothing_has_ended(resync: Resync, clock: Clock) -> None:
    clock.now += 5.0
    resync.begin([])

    assert resync.seconds_since == 0.0


def test_a_pass_that_begins_takes_the_place_of_one_that_has_not_ended(resync: Resync, clock: Clock) -> None:
    resync.begin(["a", "b"])
    resync.checked("a")
    resync.begin(["a", "b"])
    clock.now += 1.0
    resync.checked("b")
    assert resync.seconds_since == 1.0

    resync.checked("a")
    assert resync.seconds_since == 0.0


def test_who_has_only_now_begun_to_lead_counts_from_now(resync: Resync, clock: Clock) -> None:
    resync.begin(["a"])
    clock.now += 9000.0
    resync.restart()

    assert resync.seconds_since == 0.0
    resync.checked("a")
    clock.now += 1.0
    assert resync.seconds_since == 1.0
