from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.rules.copy_status import CopyState, CopyStatus
from webhook.sync import status_index as module
from webhook.sync.status_index import Result, StatusIndex

HASHES = {"pull": "sha256:1"}
CURRENT = CopyStatus("pull", CopyState.STALE, "sha256:1")
OLD = CopyStatus("pull", CopyState.STALE, "sha256:0")
MISSING = CopyStatus("pull", CopyState.MISSING)
FOREIGN = CopyStatus("pull", CopyState.CONFLICTING)
LEAVING = CopyStatus("pull", CopyState.LEAVING)


@pytest.fixture
def ledger() -> StatusIndex:
    return StatusIndex()


def counts(ledger: StatusIndex, content: str | None = "sha256:1") -> dict[str, int]:
    hashes = {"pull": content} if content else {}
    return {str(state): number for (_, state), number in ledger.counts(hashes).items()}


def test_copies_are_counted_by_state(ledger: StatusIndex) -> None:
    for number, standing in enumerate([CURRENT, CURRENT, OLD, MISSING, FOREIGN, LEAVING]):
        ledger.record(f"a-{number}", [standing])

    assert counts(ledger) == {"current": 2, "stale": 1, "missing": 1, "conflicting": 1, "leaving": 1}


def test_a_rotation_makes_every_copy_stale_without_one_being_looked_at(ledger: StatusIndex) -> None:
    for number in range(3):
        ledger.record(f"a-{number}", [CURRENT])

    assert counts(ledger, "sha256:2") == {"stale": 3}
    assert counts(ledger, None) == {"kept": 3}
    assert counts(ledger) == {"current": 3}


def test_the_last_look_counts(ledger: StatusIndex) -> None:
    ledger.record("a", [MISSING])
    ledger.record("a", [CURRENT])
    assert counts(ledger) == {"current": 1}

    ledger.record("a", [])
    assert counts(ledger) == {}
    assert (ledger._records, dict(ledger._counts)) == ({}, {})


def test_pull_secrets_are_counted_by_themselves(ledger: StatusIndex) -> None:
    ledger.record("a", [CURRENT, CopyStatus("other", CopyState.MISSING)])

    assert ledger.counts(HASHES) == {("pull", CopyState.CURRENT): 1, ("other", CopyState.MISSING): 1}


def test_a_copy_that_could_not_be_written_fails_until_it_is_no_longer_due(ledger: StatusIndex) -> None:
    ledger.record("a", [MISSING], {"pull"})
    ledger.copy_failed("a", "pull", Result.DENIED)
    assert counts(ledger) == {"failing": 1}
    assert [(name, each.reason) for name, each in ledger.not_current(HASHES)] == [("a", "denied")]

    ledger.record("a", [OLD], {"pull"})
    assert counts(ledger) == {"failing": 1}

    ledger.record("a", [CURRENT], ())
    assert counts(ledger) == {"current": 1}
    ledger.record("a", [MISSING], {"pull"})
    assert counts(ledger) == {"missing": 1}


def test_a_copy_is_kept_while_a_source_cannot_be_used_and_one_that_is_not_there_is_missing(ledger: StatusIndex) -> None:
    ledger.record("a", [CURRENT])
    ledger.record("b", [MISSING])

    assert counts(ledger, None) == {"kept": 1, "missing": 1}
    named = {name: str(each.state) for name, each in ledger.not_current({})}
    assert named == {"a": "kept", "b": "missing"}


def test_a_copy_that_could_not_be_written_is_not_kept_when_its_source_goes_missing(ledger: StatusIndex) -> None:
    last_good = {"pull": "sha256:1"}
    ledger.record("a", [OLD])
    ledger.copy_failed("a", "pull", Result.DENIED)
    assert counts(ledger) == {"failing": 1}

    ledger.record("a", [OLD])
    ledger.record("b", [CURRENT])

    assert ledger.counts({}, last_good) == {("pull", CopyState.STALE): 1, ("pull", CopyState.KEPT): 1}
    assert {name: each.state for name, each in ledger.not_current({}, last_good)} == {
        "a": CopyState.STALE,
        "b": CopyState.KEPT,
    }
    assert [state for ((_, state, _),) in ledger.standings({}, last_good).values()] == ["stale", "kept"]


def test_what_should_go_does_not_fail_to_be_written(ledger: StatusIndex) -> None:
    ledger.record("a", [LEAVING])
    ledger.copy_failed("a", "pull", Result.DENIED)

    assert counts(ledger) == {"leaving": 1}


def test_namespaces_fail_until_they_are_done(ledger: StatusIndex) -> None:
    ledger.namespace_failed("a", Result.DENIED)
    ledger.namespace_failed("a", Result.UNAVAILABLE)
    assert ledger.failing() == {"a": Result.UNAVAILABLE}

    ledger.namespace_done("a")
    ledger.namespace_done("b")
    assert ledger.failing() == {}


def test_who_does_not_lead_knows_nothing(ledger: StatusIndex) -> None:
    ledger.record("a", [MISSING], {"pull"})
    ledger.copy_failed("a", "pull", Result.DENIED)
    ledger.namespace_failed("a", Result.DENIED)
    ledger.clear()

    assert (counts(ledger), ledger.failing(), list(ledger.not_current(HASHES))) == ({}, {}, [])
    ledger.record("a", [MISSING], {"pull"})
    assert counts(ledger) == {"missing": 1}


def test_namespaces_that_stand_alike_share_one_record(ledger: StatusIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARED_LIMIT", 10)
    for number in range(100):
        ledger.record(f"a-{number}", [CopyStatus("pull", CopyState.STALE, "sha256:1")])
    assert len({id(record) for record in ledger._records.values()}) == 1

    for number in range(100):
        ledger.record(f"b-{number}", [CopyStatus("pull", CopyState.STALE, f"sha256:{number}")])
    assert len(ledger._shared) <= 10
    assert counts(ledger) == {"current": 101, "stale": 99}


standings = st.sampled_from([CURRENT, OLD, MISSING, FOREIGN, LEAVING])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.lists(standings, max_size=2), st.booleans())))
def test_the_numbers_are_those_of_the_names(looks: list[tuple[str, list[CopyStatus], bool]]) -> None:
    ledger = StatusIndex()
    for namespace, found, fails in looks:
        ledger.record(namespace, found, {"pull"})
        if fails:
            ledger.copy_failed(namespace, "pull", Result.DENIED)

    numbers = counts(ledger)
    named = [str(each.now(HASHES["pull"])) for _, each in ledger.not_current(HASHES)]
    assert {state: named.count(state) for state in named} == {k: n for k, n in numbers.items() if k != "current"}
    assert sum(numbers.values()) == sum(len(record) for record in ledger._records.values())
