from __future__ import annotations

from typing import Any

import pytest

from tests.unit.fake_apiserver.faults import Answer, Cut, Lines
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from tests.unit.sync.hands import Hands, opt_out, put_copy
from tests.unit.sync.world import (
    OURS,
    RELEASE,
    copy_in,
    docker_config,
    edit_copy,
    password_in,
    put_account,
    put_source,
    references_in,
    secret_path,
)
from webhook.errors import ApiError, ApiUnavailable, Conflict, Forbidden, Invalid
from webhook.kube.client import Client
from webhook.kube.resources import SECRETS, Collection
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE
from webhook.sync.executor import WRITES, Budget
from webhook.sync.writes import LeadershipLost, Unfinished


def writes(api: FakeApiServer) -> list[tuple[str, str]]:
    return [(request.verb, request.target.plural) for request in api.seen("apply", "patch", "delete", "create")]


def test_the_copy_is_written_before_the_reference_to_it(api: FakeApiServer, hands: Hands) -> None:
    hands.act()

    assert writes(api) == [("apply", "secrets"), ("patch", "serviceaccounts")]
    assert references_in(api, "a") == ["mine", "pull"]
    copy = copy_in(api, "a") or {}
    namespace = api.read("/api/v1/namespaces/a") or {}
    labels = OURS | {"pullsecrets.webhook/namespace-uid": namespace["metadata"]["uid"]}
    assert (copy["type"], copy["metadata"]["labels"], password_in(copy)) == (COPY_TYPE, labels, "first")
    assert hands.wrote == ["copy created", "references added"]


def test_what_was_written_is_known_before_the_watch_tells_of_it(hands: Hands) -> None:
    hands.act()

    assert hands.plan().is_empty


def test_a_reference_is_withheld_while_its_copy_cannot_be_written(api: FakeApiServer, hands: Hands) -> None:
    api.inject(Answer(403), "apply")

    with pytest.raises(Forbidden):
        hands.act()

    assert writes(api) == [("apply", "secrets")]
    assert references_in(api, "a") == ["mine"]


def test_references_go_before_the_copy_they_name(api: FakeApiServer, settled: Hands) -> None:
    settled.act(opt_out(api, settled))

    assert writes(api) == [("patch", "serviceaccounts"), ("delete", "secrets")]
    assert references_in(api, "a") == ["mine"]
    assert copy_in(api, "a") is None
    assert settled.wrote == ["references removed", "copy deleted"]


def test_a_copy_stays_while_a_reference_to_it_cannot_be_removed(api: FakeApiServer, settled: Hands) -> None:
    plan = opt_out(api, settled)
    api.inject(Answer(500), "patch")

    with pytest.raises(ApiUnavailable):
        settled.act(plan)

    assert writes(api) == [("patch", "serviceaccounts")]
    assert copy_in(api, "a") is not None
    settled.act()
    assert copy_in(api, "a") is None


def test_the_failure_of_one_service_account_does_not_delay_another(api: FakeApiServer, hands: Hands) -> None:
    put_account(api, "a", account="other")
    until(lambda: len(hands.plan().additions) == 2)
    api.inject(Answer(500), "patch")

    with pytest.raises(ApiUnavailable):
        hands.act()

    assert [references_in(api, "a"), references_in(api, "a", "other")].count(["mine"]) <= 1
    assert [request.verb for request in api.seen("patch")] == ["patch", "patch"]
    hands.act()
    assert hands.plan().is_empty


def test_a_conflict_is_what_is_raised_because_it_is_worth_another_look(api: FakeApiServer, hands: Hands) -> None:
    put_account(api, "a", account="other")
    until(lambda: len(hands.plan().additions) == 2)
    api.inject(Answer(500), "patch")
    api.inject(Answer(409), "patch")

    with pytest.raises(Conflict):
        hands.act()


def test_a_foreign_secret_that_the_caches_do_not_know_yet_wins(api: FakeApiServer, hands: Hands) -> None:
    plan = hands.plan()
    api.put(secret_path("a"), {"type": COPY_TYPE, "data": {COPY_KEY: docker_config("theirs")}})

    with pytest.raises(Conflict):
        hands.act(plan)

    assert password_in(copy_in(api, "a")) == "theirs"
    assert references_in(api, "a") == ["mine"]


def test_a_creation_that_comes_late_does_not_undo_what_the_next_leader_wrote(
    api: FakeApiServer, client: Client, hands: Hands
) -> None:
    """It may have been on its way for as long as a suspended process, or a network, takes."""
    late, contents = hands.plan(), hands.contents()
    put_source(api, "second")
    successor = Hands(client)
    successor.act()
    assert password_in(copy_in(api, "a")) == "second"

    with pytest.raises(Conflict):
        hands.executor.carry_out("a", late, contents)

    assert password_in(copy_in(api, "a")) == "second"
    successor.stop()


def test_a_copy_that_was_replaced_since_it_was_seen_is_not_written_over(api: FakeApiServer, settled: Hands) -> None:
    put_source(api, "second")
    until(lambda: settled.plan().copies)
    plan = settled.plan()
    api.remove(secret_path("a"))
    api.put(secret_path("a"), {"type": COPY_TYPE, "data": {COPY_KEY: docker_config("theirs")}})

    with pytest.raises(Conflict):
        settled.act(plan)

    assert password_in(copy_in(api, "a")) == "theirs"


def test_a_copy_that_met_a_conflict_is_read_again_while_its_watch_is_behind(api: FakeApiServer, settled: Hands) -> None:
    """Else the next plan would be the same one, and meet the same conflict."""
    blind = api.inject(Lines((), silent=True), "watch", plural="secrets", name="pull", times=None)
    reflector = settled.caches._reflectors[Collection(SECRETS, name="pull")]
    until(lambda: reflector._stream)
    assert reflector._stream is not None
    reflector._stream.shutdown()
    until(lambda: blind.met)
    put_source(api, "second")
    until(lambda: settled.plan().copies)
    edit_copy(api, "a")

    with pytest.raises(Conflict):
        settled.act()
    settled.act()

    assert password_in(copy_in(api, "a")) == "second"
    blind.lift()


@pytest.mark.parametrize("by", ["another", "nobody"])
def test_a_copy_that_changed_before_it_could_be_deleted_is_read_again(
    api: FakeApiServer, settled: Hands, by: str
) -> None:
    plan = opt_out(api, settled)
    edit_copy(api, "a")
    if by == "nobody":
        api.inject(Answer(409), "delete")
        api.inject(Answer(404), "get", plural="secrets")

    with pytest.raises(Conflict):
        settled.act(plan)

    settled.act()
    until(lambda: settled.plan().is_empty)


def test_what_others_edited_in_a_copy_is_taken_back(api: FakeApiServer, settled: Hands) -> None:
    before = (copy_in(api, "a") or {})["metadata"]["uid"]
    edit_copy(api, "a")
    until(lambda: settled.plan().copies)

    settled.act()

    after = copy_in(api, "a") or {}
    assert (password_in(after), after["metadata"]["uid"]) == ("first", before)


@pytest.mark.parametrize("wrong", [{"type": "Opaque"}, {"immutable": True}])
def test_a_copy_that_no_update_can_make_right_is_deleted_and_written_anew(
    api: FakeApiServer, hands: Hands, wrong: dict[str, object]
) -> None:
    put_copy(api, **wrong)
    until(lambda: hands.plan().copies[0].replaces)

    hands.act()

    assert writes(api) == [("delete", "secrets"), ("apply", "secrets"), ("patch", "serviceaccounts")]
    assert password_in(copy_in(api, "a")) == "first"


def test_a_copy_that_is_gone_already_needs_no_deletion(api: FakeApiServer, settled: Hands) -> None:
    plan = opt_out(api, settled)
    api.remove(secret_path("a"))

    settled.act(plan)

    until(lambda: settled.plan().is_empty)


def test_a_service_account_that_is_gone_is_forgotten(api: FakeApiServer, hands: Hands) -> None:
    plan = hands.plan()
    api.remove("/api/v1/namespaces/a/serviceaccounts/default")

    hands.act(plan)

    until(lambda: hands.plan().is_empty)


def test_a_service_account_that_changed_is_read_again_and_nothing_of_it_is_lost(
    api: FakeApiServer, hands: Hands
) -> None:
    plan = hands.plan()
    put_account(api, "a", "mine", "another")

    with pytest.raises(Conflict):
        hands.act(plan)
    assert references_in(api, "a") == ["mine", "another"]

    hands.act()
    assert references_in(api, "a") == ["mine", "another", "pull"]


def test_a_deposed_leader_writes_nothing(api: FakeApiServer, hands: Hands) -> None:
    hands.leads = lambda: False

    with pytest.raises(LeadershipLost):
        hands.act()

    assert writes(api) == []


@pytest.mark.parametrize("after", [1, 2])
def test_the_lease_is_asked_about_before_each_write(api: FakeApiServer, hands: Hands, after: int) -> None:
    put_copy(api, type="Opaque")
    until(lambda: hands.plan().copies[0].replaces)
    hands.leads = lambda: len(writes(api)) < after

    with pytest.raises(LeadershipLost):
        hands.act()

    assert len(writes(api)) == after


def test_the_lease_is_asked_about_between_a_try_and_the_addition_that_follows(api: FakeApiServer, hands: Hands) -> None:
    hands.reach._not_before = 0.0  # as if the webhook might answer: a patch that adds nothing comes first
    hands.leads = lambda: not api.seen("patch", plural="serviceaccounts")

    with pytest.raises(LeadershipLost):
        hands.act()

    assert len(api.seen("patch", plural="serviceaccounts")) == 1
    assert "pull" not in references_in(api, "a")


def test_a_write_that_the_fence_stops_ends_the_plan_and_has_no_result(opted_in: FakeApiServer, client: Client) -> None:
    """The Lease is lost between the check and the write."""
    hands = Hands(client.fenced(lambda: False))

    with pytest.raises(LeadershipLost):
        hands.act()

    assert writes(opted_in) == []
    assert (hands.wrote, hands.failed) == ([], [])
    hands.stop()


@pytest.mark.parametrize("fault", [Answer(422), Answer(400), Answer(429), Answer(200, b"<html>"), Cut(0)], ids=str)
def test_whatever_answers_a_write_is_an_error_of_the_api(
    api: FakeApiServer,
    hands: Hands,
    fault: Any,  # noqa: ANN401
) -> None:
    api.inject(fault, "apply")

    with pytest.raises(ApiError) as caught:
        hands.act()

    assert not isinstance(caught.value, Conflict)
    assert isinstance(caught.value, Invalid) == (getattr(fault, "status", 0) in (400, 422))
    hands.act()
    assert hands.plan().is_empty


def test_secrets_are_asked_for_by_their_configured_names_only(api: FakeApiServer, hands: Hands) -> None:
    hands.act()

    asked = [(one.target.namespace, one.query["fieldSelector"]) for one in api.seen("list", "watch", plural="secrets")]
    assert sorted(asked) == [("", "metadata.name=pull"), (RELEASE.namespace, "metadata.name=harbor")]
    assert api.seen("get") == []


def test_a_plan_ends_at_the_second_failure_of_the_same_kind_in_a_row(api: FakeApiServer, hands: Hands) -> None:
    for number in range(8):
        put_account(api, "a", account=f"other-{number}")
    until(lambda: len(hands.plan().additions) == 9)
    api.inject(Answer(403), "patch", times=None)

    with pytest.raises(Forbidden):
        hands.act()

    assert len(api.seen("patch")) == 2


def test_a_plan_goes_on_after_failures_of_different_kinds(api: FakeApiServer, hands: Hands) -> None:
    for number in range(2):
        put_account(api, "a", account=f"other-{number}")
    until(lambda: len(hands.plan().additions) == 3)
    api.inject(Answer(403), "patch")
    api.inject(Answer(422), "patch")

    with pytest.raises(ApiError):
        hands.act()

    assert len(api.seen("patch")) == 3


def test_what_the_budget_does_not_allow_waits_and_the_copy_is_among_the_first(api: FakeApiServer, hands: Hands) -> None:
    for number in range(30):
        put_account(api, "a", account=f"strict-{number}", enforces=True)
    until(lambda: len(hands.plan().required) == 30)
    progress: list[None] = []

    with pytest.raises(Unfinished):
        hands.executor.carry_out(
            "a", hands.plan(), hands.contents(), Budget(lambda: progress.append(None), lambda: False)
        )

    assert (len(progress), len(writes(api))) == (WRITES, WRITES)
    assert copy_in(api, "a") is not None
    assert len(hands.plan().required) == 31 - WRITES
