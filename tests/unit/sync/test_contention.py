from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.clock import Clock
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.fake_apiserver.storage import Object, Target
from tests.unit.polling import until
from tests.unit.sync.running import Running, is_right, opt_in, reasons
from tests.unit.sync.world import (
    copy_in,
    edit_copy,
    password_in,
    put_account,
    references_in,
)
from webhook.rules.actions import AddReferences, ApplyCopy, NamespacePlan
from webhook.rules.objects import Copy, Namespace, NamespaceState, ServiceAccount
from webhook.rules.ownership import Mark
from webhook.rules.references import References
from webhook.sync import contention
from webhook.sync import contention as module
from webhook.sync.contention import (
    CALM_SECONDS,
    COPIES,
    REFERENCES,
    BackoffPolicy,
    ContendedObject,
    Contention,
    WriteRecord,
    backoff,
    is_contended,
    record_write,
)

DEFAULT = ServiceAccount("a", "default", "9", {}, References())
OTHER = replace(DEFAULT, name="other")
STATE = NamespaceState(Namespace("a"), {}, (DEFAULT, OTHER))
COPY = Copy("a", "pull", "uid", "7", Mark(), content_hash="sha256:0")
NAMES = ("pull",)


class Fight:
    """A contention, the clock it goes by, and what it told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.told: list[ContendedObject] = []
        self.contention = Contention(self.told.append, self.clock)

    def undo_references(self, times: int, every: float = 1.0, account: str = "default", namespace: str = "a") -> None:
        """Write the reference, and have it undone and written again so many times."""
        for number in range(times + 1):
            self.clock.now += every if number else 0.0
            self.contention.record_references(namespace, account, NAMES)

    def undo_copy(self, times: int) -> None:
        for number in range(times + 1):
            self.clock.now += 1.0 if number else 0.0
            self.contention.record_copy("a", "pull", "sha256:1")

    def additions(self, *accounts: ServiceAccount) -> tuple[list[str], float]:
        """To which of these ServiceAccounts the reference may be added now, and when to look again."""
        plan = NamespacePlan(additions=tuple(AddReferences(account, NAMES) for account in accounts))
        held, again = self.contention.filter(STATE, plan)
        return [action.service_account.name for action in held.additions], again


@pytest.fixture
def fight() -> Fight:
    return Fight()


def test_what_is_undone_a_few_times_is_done_again_at_once(fight: Fight) -> None:
    fight.undo_references(REFERENCES.reverts - 1)

    assert fight.additions(DEFAULT) == (["default"], 0.0)
    assert fight.told == []
    assert fight.contention.contended() == []


def test_what_is_undone_again_and_again_waits_for_the_rest_of_a_minute(fight: Fight) -> None:
    fight.undo_references(REFERENCES.reverts)
    fight.clock.now += 10.0

    assert fight.additions(DEFAULT) == ([], 50.0)

    fight.clock.now += 50.0
    assert fight.additions(DEFAULT) == (["default"], 0.0)


def test_in_ten_minutes_it_is_written_ten_times(fight: Fight) -> None:
    """Somebody undoes each write within a second."""
    fight.undo_references(REFERENCES.reverts)
    began, writes = fight.clock.now, 0
    while fight.clock.now < began + 600.0:
        fight.clock.now += 1.0
        if fight.additions(DEFAULT)[0]:
            fight.contention.record_references("a", "default", NAMES)
            writes += 1
    assert writes == 10


def test_other_service_accounts_of_the_namespace_are_not_held_up(fight: Fight) -> None:
    fight.undo_references(REFERENCES.reverts)

    assert fight.additions(DEFAULT, OTHER) == (["other"], 60.0)


def test_of_several_that_wait_the_next_one_is_looked_at_first(fight: Fight) -> None:
    fight.undo_references(REFERENCES.reverts)
    fight.clock.now += 20.0
    fight.undo_references(REFERENCES.reverts, account="other")

    assert fight.additions(DEFAULT, OTHER) == ([], 35.0)


def test_the_same_name_in_another_namespace_is_somebody_else(fight: Fight) -> None:
    fight.undo_references(REFERENCES.reverts, namespace="b")

    assert fight.additions(DEFAULT) == (["default"], 0.0)


def test_what_must_come_first_waits_all_the_same(fight: Fight) -> None:
    fight.undo_references(REFERENCES.reverts)
    strict = replace(DEFAULT, enforces=True)

    held, again = fight.contention.filter(STATE, NamespacePlan(required=(AddReferences(strict, NAMES),)))

    assert (held.is_empty, again) == (True, 60.0)


def test_what_we_have_removed_ourselves_nobody_has_undone(fight: Fight) -> None:
    for _ in range(20):
        fight.undo_references(0)
        fight.contention.removed_references("a", "default")
        fight.contention.record_copy("a", "pull", "sha256:1")
        fight.contention.deleted_copy("a", "pull")

    assert fight.additions(DEFAULT) == (["default"], 0.0)
    assert fight.contention.reverts == 0


def test_a_service_account_that_was_gone_meanwhile_nobody_has_undone(fight: Fight) -> None:
    for _ in range(20):
        fight.undo_references(0)
        fight.contention.filter(replace(STATE, service_accounts=(OTHER,)), NamespacePlan())

    assert fight.additions(DEFAULT) == (["default"], 0.0)
    assert fight.contention.reverts == 0


def test_a_namespace_that_ends_is_forgotten(fight: Fight) -> None:
    fight.undo_references(REFERENCES.reverts)
    fight.contention.forget("a")

    assert fight.additions(DEFAULT) == (["default"], 0.0)
    assert fight.contention._written == {}


def test_a_copy_that_is_changed_again_and_again_waits_less_long(fight: Fight) -> None:
    fight.undo_copy(COPIES.reverts)
    plan = NamespacePlan(
        copies=(ApplyCopy("pull", updates=COPY), ApplyCopy("other")), additions=(AddReferences(DEFAULT, NAMES),)
    )

    held, again = fight.contention.filter(STATE, plan)

    assert ([action.name for action in held.copies], again) == (["other"], COPIES.interval)
    assert held.additions == plan.additions


def test_a_rotation_is_no_undoing(fight: Fight) -> None:
    for number in range(20):
        fight.contention.record_copy("a", "pull", f"sha256:{number % 2}")

    assert fight.contention.reverts == 0


def test_who_undoes_is_told_of_at_each_write_that_gives_way(fight: Fight) -> None:
    fight.undo_references(REFERENCES.reverts + 2)

    expected = ContendedObject("ServiceAccount", "a", "default", frozenset(NAMES))
    assert fight.told == [expected] * 3
    assert fight.contention.contended() == [expected]
    assert expected.pause == 60.0
    assert fight.contention.reverts == REFERENCES.reverts + 2


def test_what_has_been_left_in_peace_is_forgotten(fight: Fight) -> None:
    fight.undo_references(REFERENCES.reverts)
    fight.undo_copy(0)
    fight.clock.now += CALM_SECONDS

    assert fight.contention.contended() == []
    assert fight.additions(DEFAULT) == (["default"], 0.0)
    assert fight.contention._written == {}


def test_a_cold_start_does_not_fill_the_memory(fight: Fight, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRESH_LIMIT", 100)
    for number in range(1000):
        fight.undo_references(0, namespace=f"a-{number}")
    assert len(fight.contention._written) == 100

    fight.clock.now += CALM_SECONDS
    fight.undo_references(0, namespace="b")
    assert list(fight.contention._written) == ["b"]


def test_contents_of_which_no_two_are_equal_do_not_fill_the_memory(
    fight: Fight, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FRESH_LIMIT", 100)
    for number in range(1000):
        fight.contention.record_copy("a", "pull", f"sha256:{number}")

    assert len(fight.contention._shared) <= 100


def test_of_what_is_fought_over_everything_is_remembered(fight: Fight, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRESH_LIMIT", 100)
    names = [f"a-{number}" for number in range(1000)]
    for _ in range(20):
        fight.clock.now += 1.0
        for name in names:
            fight.undo_references(0, namespace=name)

    assert len(fight.contention.contended()) == 1000


OURS = frozenset({"pull"})
ROUNDING = 1e-6
"""Seconds that sums of floats may be off."""

POLICIES = pytest.mark.parametrize("policy", [REFERENCES, COPIES])


def reverted(times: int, every: float = 1.0, accumulates: bool = True) -> WriteRecord:  # noqa: FBT002
    """The record of an object that is written at 0, and again each time that it has been undone."""
    record = record_write(None, OURS, 0.0, accumulates=accumulates)
    for number in range(1, times + 1):
        record = record_write(record, OURS, number * every, accumulates=accumulates)
    return record


def test_what_is_written_for_the_first_time_waits_for_nothing() -> None:
    assert backoff(None, 0.0, REFERENCES) == 0.0
    assert backoff(reverted(0), 0.0, REFERENCES) == 0.0


@POLICIES
def test_what_is_undone_a_few_times_is_put_right_at_once(policy: BackoffPolicy) -> None:
    for times in range(policy.reverts):
        assert backoff(reverted(times), times + 0.1, policy) == 0.0


@POLICIES
def test_what_is_undone_again_and_again_is_put_right_once_in_a_while(policy: BackoffPolicy) -> None:
    for times in range(policy.reverts, policy.reverts + 20):
        record = reverted(times, policy.interval)
        assert backoff(record, record.written_at, policy) == policy.interval
        assert backoff(record, record.written_at + 1.0, policy) == policy.interval - 1.0
        assert backoff(record, record.written_at + policy.interval, policy) == 0.0


def test_a_reference_is_put_back_once_a_minute_and_a_copy_within_what_drift_may_take() -> None:
    assert REFERENCES.interval == 60.0
    assert COPIES.interval < 5.0


@POLICIES
def test_a_pause_alone_is_no_peace(policy: BackoffPolicy) -> None:
    record = reverted(policy.reverts, policy.interval)
    assert policy.interval < CALM_SECONDS
    assert is_contended(
        record_write(record, OURS, record.written_at + policy.interval, accumulates=True),
        record.written_at + 60,
        policy,
    )


@POLICIES
def test_what_has_stayed_for_long_enough_begins_anew(policy: BackoffPolicy) -> None:
    record = reverted(100)
    calm = record.written_at + CALM_SECONDS
    assert is_contended(record, calm - 0.1, policy)
    assert not is_contended(record, calm, policy)
    assert backoff(record, calm, policy) == 0.0
    assert record_write(record, OURS, calm, accumulates=True) == WriteRecord(OURS, calm)


def test_another_reference_is_no_undoing_of_the_first() -> None:
    record = record_write(reverted(0), frozenset({"other"}), 1.0, accumulates=True)
    assert record == WriteRecord(frozenset({"pull", "other"}), 1.0, reverts=0)
    assert record_write(record, frozenset({"pull", "new"}), 2.0, accumulates=True).reverts == 1


def test_a_credential_that_changes_to_and_fro_is_no_undoing() -> None:
    record = None
    for number, content in enumerate(["a", "b"] * 10):
        record = record_write(record, frozenset({content}), float(number), accumulates=False)
    assert record is not None
    assert record.reverts == 0


@example([120.0, 0.0, 0.0, 0.0, 0.0, 0.0], REFERENCES)
@given(st.lists(st.floats(0.0, 300.0), min_size=1, max_size=60), st.sampled_from([REFERENCES, COPIES]))
def test_however_often_it_is_undone_no_more_is_written_than_that(gaps: list[float], policy: BackoffPolicy) -> None:
    """Another writer reverts at any time after each write, and the loop answers as soon as it may."""
    record = record_write(None, OURS, 0.0, accumulates=True)
    at = [0.0]
    for gap in gaps:
        now = at[-1] + gap
        now += backoff(record, now, policy)
        record = record_write(record, OURS, now, accumulates=True)
        at.append(now)

    for before, first, last in zip(at, at[1:], at[1 + policy.reverts :], strict=False):
        # Six writes that each undo an undoing: either there was peace before one of them, or the last one had to wait.
        assert last - first >= policy.interval - ROUNDING or max_gap(at, before, last) >= CALM_SECONDS - ROUNDING


def max_gap(at: list[float], first: float, last: float) -> float:
    inside = [moment for moment in at if first <= moment <= last]
    return max((later - earlier for earlier, later in pairwise(inside)), default=0.0)


def take_away(api: FakeApiServer, stop: threading.Event) -> None:
    """Be the other controller: take our reference out as soon as it is there."""
    while not stop.is_set():
        if "pull" in references_in(api, "a"):
            put_account(api, "a", "mine")
        time.sleep(0.001)


@pytest.fixture
def hostile(api: FakeApiServer) -> Iterator[None]:
    """Another controller, for as long as the test lasts."""
    stop = threading.Event()
    thread = threading.Thread(target=take_away, args=(api, stop))
    thread.start()
    yield
    stop.set()
    thread.join(5.0)


def additions(api: FakeApiServer, account: str = "default") -> list[float]:
    """Return when a reference was added directly. The tries that leave it to our webhook do not count."""
    seen = [one for one in api.seen("patch", plural="serviceaccounts") if one.target.name == account]
    return [one.at for one in seen if any("imagePullSecrets" in each["path"] for each in json.loads(one.body))]


@pytest.mark.usefixtures("hostile")
def test_who_keeps_taking_a_reference_away_is_given_way_to(api: FakeApiServer, running: Running) -> None:
    opt_in(api)
    until(lambda: "ReferenceRemovedRepeatedly" in reasons(api))

    assert len(additions(api)) == 1 + REFERENCES.reverts
    assert running.loop.contention.reverts == REFERENCES.reverts
    assert [(each.namespace, each.name) for each in running.loop.contention.contended()] == [("a", "default")]

    # Other changes in the namespace are made immediately, and do not make the loop try again.
    put_account(api, "a", account="other")
    until(lambda: references_in(api, "a", "other") == ["pull"])
    edit_copy(api, "a")
    until(lambda: password_in(copy_in(api, "a")) == "first")
    assert len(additions(api)) == 1 + REFERENCES.reverts
    assert running.loop.queue.state().failing == 0


@pytest.mark.usefixtures("hostile", "running")
def test_it_is_put_back_once_in_a_while_all_the_same(api: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(contention._POLICIES, "ServiceAccount", BackoffPolicy(3, 0.4))
    opt_in(api)
    until(lambda: len(additions(api)) >= 7)

    at = additions(api)
    assert all(later - earlier >= 0.4 for earlier, later in pairwise(at[3:]))


@pytest.mark.usefixtures("running")
def test_what_a_webhook_takes_away_in_the_same_request_is_undone_too(
    api: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_ours(target: Target, operations: list[dict[str, Any]], *more: Any) -> Object:  # noqa: ANN401
        kept = [each for each in operations if not each["path"].startswith("/imagePullSecrets")]
        stored: Object = store(target, kept, *more)
        return stored

    store = api.storage.json_patch
    monkeypatch.setattr(api.storage, "json_patch", without_ours)
    opt_in(api)
    until(lambda: "ReferenceRemovedRepeatedly" in reasons(api))

    assert len(additions(api)) == 1 + REFERENCES.reverts


@pytest.mark.usefixtures("running")
def test_a_copy_that_is_edited_again_and_again_is_put_right_a_moment_later(
    api: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(contention._POLICIES, "Secret", BackoffPolicy(COPIES.reverts, 1.0))
    opt_in(api)
    until(lambda: is_right(api))
    for _ in range(COPIES.reverts + 3):
        edit_copy(api, "a")
        until(lambda: is_right(api))

    at = [one.at for one in api.seen("apply", plural="secrets")]
    assert at[COPIES.reverts] - at[0] < 1.0 * COPIES.reverts
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(at[COPIES.reverts :]))
    until(lambda: "CopyChangedRepeatedly" in reasons(api))
