from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.sync.clock import Clock
from webhook.rules.actions import AddReferences, ApplyCopy, NamespacePlan
from webhook.rules.objects import Copy, Namespace, NamespaceState, References, ServiceAccount
from webhook.rules.ownership import Mark
from webhook.sync import contention as module
from webhook.sync.contention import CALM_SECONDS, COPIES, REFERENCES, ContendedObject, Contention

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
            self.contention.wrote_references(namespace, account, NAMES)

    def undo_copy(self, times: int) -> None:
        for number in range(times + 1):
            self.clock.now += 1.0 if number else 0.0
            self.contention.wrote_copy("a", "pull", "sha256:1")

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
            fight.contention.wrote_references("a", "default", NAMES)
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
        fight.contention.wrote_copy("a", "pull", "sha256:1")
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
        fight.contention.wrote_copy("a", "pull", f"sha256:{number % 2}")

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


def test_of_what_is_fought_over_everything_is_remembered(fight: Fight, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRESH_LIMIT", 100)
    names = [f"a-{number}" for number in range(1000)]
    for _ in range(20):
        fight.clock.now += 1.0
        for name in names:
            fight.undo_references(0, namespace=name)

    assert len(fight.contention.contended()) == 1000
