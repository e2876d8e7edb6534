from __future__ import annotations

from typing import Any

import pytest

from tests.unit.fake_apiserver.faults import Answer, Cut
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from tests.unit.sync.hands import Hands, opt_out, put_copy
from tests.unit.sync.world import put_account, put_namespace, references_in, secret_path
from webhook.errors import ApiError, ApiUnavailable, Conflict, Forbidden, Invalid, NotFound, Throttled
from webhook.sync.status_index import Result, WriteReverted, result_of
from webhook.sync.writes import RETRY_SECONDS, WebhookReach


@pytest.mark.parametrize(
    ("kind", "result"),
    [
        (WriteReverted, "undone"),
        (Conflict, "conflict"),
        (Forbidden, "denied"),
        (Invalid, "invalid"),
        (NotFound, "not-found"),
        (Throttled, "throttled"),
        (ApiUnavailable, "unavailable"),
        (ApiError, "error"),
    ],
)
def test_every_error_has_a_word(kind: type[ApiError], result: str) -> None:
    assert result_of(kind("x")) == result


def test_every_word_is_that_of_some_error_or_of_none() -> None:
    kinds = (WriteReverted, Conflict, Forbidden, Invalid, NotFound, Throttled, ApiUnavailable, ApiError)
    assert {result_of(kind("x")) for kind in kinds} | {Result.OK} == set(Result)


@pytest.mark.parametrize(
    ("fault", "result"),
    [
        (Answer(403), "denied"),
        (Answer(409), "conflict"),
        (Answer(422), "invalid"),
        (Answer(404), "not-found"),
        (Answer(429), "throttled"),
        (Answer(500), "unavailable"),
        (Cut(0), "unavailable"),
        (Answer(418), "error"),
    ],
    ids=str,
)
def test_a_write_is_counted_by_how_it_went(
    api: FakeApiServer,
    hands: Hands,
    fault: Any,  # noqa: ANN401
    result: str,
) -> None:
    api.inject(fault, "apply")

    with pytest.raises(ApiError):
        hands.act()

    assert hands.wrote == [f"copy created: {result}"]
    assert hands.failed == ["pull"]


def test_of_a_replacement_both_writes_are_counted(api: FakeApiServer, hands: Hands) -> None:
    put_copy(api, type="Opaque")
    until(lambda: hands.plan().copies[0].replaces)
    api.inject(Answer(403), "apply")

    with pytest.raises(Forbidden):
        hands.act()

    assert hands.wrote == ["copy replaced", "copy created: denied"]


def test_what_is_gone_already_is_counted_and_no_failure(api: FakeApiServer, settled: Hands) -> None:
    plan = opt_out(api, settled)
    api.remove("/api/v1/namespaces/a/serviceaccounts/default")
    api.remove(secret_path("a"))

    settled.act(plan)

    assert settled.wrote == ["references removed: not-found", "copy deleted: not-found"]
    assert settled.failed == []


def test_a_required_reference_is_added_though_the_copy_cannot_be_written(api: FakeApiServer, hands: Hands) -> None:
    put_account(api, "a", account="strict", enforces=True)
    until(lambda: hands.plan().required)
    api.inject(Answer(403), "apply")

    with pytest.raises(Forbidden):
        hands.act()

    assert hands.wrote == ["references added", "copy created: denied"]
    assert references_in(api, "a", "strict") == ["pull"]
    assert references_in(api, "a") == ["mine"]


def test_what_we_take_away_ourselves_is_no_undoing(api: FakeApiServer, settled: Hands) -> None:
    for _ in range(8):
        settled.act(opt_out(api, settled))
        put_namespace(api, "a")
        until(lambda: settled.plan().copies)
        settled.act()

    assert settled.contention.reverts == 0


def test_what_others_take_away_is(api: FakeApiServer, settled: Hands) -> None:
    put_account(api, "a", "mine")
    until(lambda: settled.plan().additions)
    settled.act()
    api.remove(secret_path("a"))
    until(lambda: settled.plan().copies)
    settled.act()

    assert settled.contention.reverts == 2


def test_a_conflict_is_no_undoing(api: FakeApiServer, hands: Hands) -> None:
    for number in range(8):
        plan = hands.plan()
        put_account(api, "a", f"theirs-{number}")
        with pytest.raises(Conflict):
            hands.act(plan)
    hands.act()

    assert references_in(api, "a") == ["theirs-7", "pull"]
    assert hands.contention.reverts == 0
    assert hands.contention.contended() == []


def test_a_webhook_that_does_not_answer_is_tried_again_after_a_while() -> None:
    now = [1000.0]
    reach = WebhookReach(lambda: now[0])
    expected = [reach.is_expected]
    reach.observe(added=False)
    expected.append(reach.is_expected)
    now[0] += RETRY_SECONDS
    expected.append(reach.is_expected)
    reach.observe(added=True)
    expected.append(reach.is_expected)

    assert expected == [True, False, True, True]
