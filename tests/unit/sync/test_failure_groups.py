from __future__ import annotations

from tests.unit.sync.clock import Clock
from webhook.errors import AdmissionFailed, Forbidden
from webhook.sync.failures import PROBE_SECONDS, FailureGroups

RIGHT = Forbidden("no", status=403, reason="Forbidden")
POLICY = AdmissionFailed("no", status=422, denied_by="ValidatingAdmissionPolicy 'one'")
OTHER_POLICY = AdmissionFailed("no", status=422, denied_by="ValidatingAdmissionPolicy 'two'")


def test_one_of_those_that_fail_in_the_same_way_is_tried_for_all() -> None:
    groups = FailureGroups()

    assert groups.failed("a", POLICY)
    assert not groups.failed("b", POLICY)
    assert groups.failed("a", POLICY)
    assert groups.failed("c", OTHER_POLICY)
    assert groups.failed("d", RIGHT)


def test_the_first_success_brings_forward_those_that_failed_in_the_same_way() -> None:
    groups = FailureGroups()
    for name in ("a", "b", "c"):
        groups.failed(name, POLICY)
    groups.failed("d", OTHER_POLICY)

    assert groups.succeeded("b") == ["a", "c"]
    assert groups.succeeded("a") == []
    assert groups.succeeded("d") == []


def test_a_name_is_in_the_group_of_its_last_failure() -> None:
    groups = FailureGroups()
    for name in ("a", "b"):
        groups.failed(name, POLICY)
    groups.failed("a", RIGHT)

    assert groups.succeeded("a") == []
    assert groups.failed("b", POLICY)


def test_when_the_one_that_is_tried_leaves_another_takes_its_place() -> None:
    groups = FailureGroups()
    for name in ("a", "b"):
        groups.failed(name, POLICY)

    assert groups.forget("a") == "b"
    assert groups.forget("b") is None
    assert groups.forget("never seen") is None


def test_one_that_fails_and_succeeds_in_turn_does_not_have_all_others_tried_each_time() -> None:
    clock = Clock()
    groups = FailureGroups(clock)
    for name in ("a", "b"):
        groups.failed(name, POLICY)
    assert groups.succeeded("a") == ["b"]
    for name in ("a", "b"):
        groups.failed(name, POLICY)

    assert groups.succeeded("a") == []

    groups.failed("a", POLICY)
    clock.now += PROBE_SECONDS
    assert groups.succeeded("a") == ["b"]
