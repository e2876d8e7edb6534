from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.unit.clock import Clock
from tests.unit.fake_apiserver.faults import Answer, Hang
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from webhook.errors import ApiError, ApiUnavailable, Conflict
from webhook.kube.client import Client
from webhook.kube.lease import (
    ATTEMPTS,
    Candidacy,
    LeaseElection,
    OwnerReference,
    Timing,
    boot_time,
    delete_lease,
    seize_lease,
)

LEASE = "/apis/coordination.k8s.io/v1/namespaces/system/leases/sync"
TIMING = Timing(duration=15.0, renew_deadline=10.0, retry_period=2.0)
QUICK = Timing(duration=1.0, renew_deadline=0.3, retry_period=0.02)
LASTING = Timing(duration=3600.0, renew_deadline=1800.0, retry_period=0.02)
"""No pause of a busy machine ends a term."""


class Candidate:
    """One competitor, whose attempts the test makes by hand, or a thread in earnest."""

    def __init__(
        self,
        client: Client,
        identity: str,
        clock: Callable[[], float],
        timing: Timing = TIMING,
        candidacy: Candidacy | None = None,
    ) -> None:
        self.changes: list[bool] = []
        self.election = LeaseElection(
            client, "system", "sync", identity, self.changes.append, timing=timing, clock=clock, candidacy=candidacy
        )

    def attempt(self) -> bool:
        self.election._try_once()
        return self.leads

    @property
    def leads(self) -> bool:
        return self.election.is_leading()


Candidates = Callable[..., Candidate]


@pytest.fixture
def leader(client: Client, clock: Clock) -> Candidate:
    """One that holds the lease."""
    leader = Candidate(client, "one", clock)
    assert leader.attempt()
    return leader


@pytest.fixture
def other(leader: Candidate, client: Client, clock: Clock) -> Candidate:  # noqa: ARG001 (it comes later)
    """Another, that has seen who holds the lease."""
    other = Candidate(client, "two", clock)
    assert not other.attempt()
    return other


@pytest.fixture
def candidates(client: Client) -> Iterator[Candidates]:
    """Candidates with threads of their own, stopped with the test."""
    started: list[Candidate] = []

    def start(identity: str, timing: Timing = QUICK) -> Candidate:
        started.append(Candidate(client, identity, boot_time, timing))
        started[-1].election.start()
        return started[-1]

    yield start
    for candidate in started:
        candidate.election.stop()


def spec(api: FakeApiServer) -> dict[str, Any]:
    found: dict[str, Any] = (api.read(LEASE) or {})["spec"]
    return found


def test_the_first_to_come_creates_the_lease_and_leads(api: FakeApiServer, client: Client, clock: Clock) -> None:
    first, second = Candidate(client, "one", clock), Candidate(client, "two", clock)

    assert first.attempt()
    assert not second.attempt()

    assert second.election.holder == "one"
    found = spec(api)
    assert (found["holderIdentity"], found["leaseDurationSeconds"], found["leaseTransitions"]) == ("one", 15, 0)


def test_a_holder_is_known_while_the_lease_can_be_read(api: FakeApiServer, client: Client, clock: Clock) -> None:
    candidate = Candidate(client, "one", clock)
    assert candidate.election.unread == "no answer of the API server yet"

    for answer in (Answer(403), Answer(500)):
        api.inject(answer, "get")
        with pytest.raises(ApiError):
            candidate.attempt()
        assert str(answer.status) in candidate.election.unread

    refused = api.inject(Answer(403), "apply", times=None)
    with pytest.raises(ApiError):
        candidate.attempt()
    assert candidate.election.unread == ""

    refused.lift()
    assert candidate.attempt()
    assert candidate.election.unread == ""


def test_a_leader_renews_without_a_transition(api: FakeApiServer, leader: Candidate, clock: Clock) -> None:
    before = spec(api)
    clock.now += 2.0

    assert leader.attempt()

    after = spec(api)
    assert after["renewTime"] > before["renewTime"]
    assert (after["acquireTime"], after["leaseTransitions"]) == (before["acquireTime"], 0)


def test_a_renewal_is_one_request(api: FakeApiServer, leader: Candidate, clock: Clock) -> None:
    before = len(api.requests)
    clock.now += 2.0
    assert leader.attempt()
    assert [request.verb for request in api.requests[before:]] == ["patch"]


def test_a_leader_whose_answers_take_long_goes_on_leading(
    api: FakeApiServer, client: Client, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The term counts from before each renewal: of answers that take 4 s, at least two come before it ends."""
    leader = Candidate(client, "one", clock)
    send = client.merge_patch

    def slow(*arguments: Any, **options: Any) -> bytes:  # noqa: ANN401 - merge_patch's own
        clock.now += 4.0
        return send(*arguments, **options)

    assert leader.attempt()
    monkeypatch.setattr(client, "merge_patch", slow)
    for _ in range(10):
        clock.now += 2.0
        assert leader.leads
        assert leader.attempt()
    assert spec(api)["leaseTransitions"] == 0


def test_a_lease_that_is_renewed_is_never_taken(client: Client, clock: Clock) -> None:
    leader, other = Candidate(client, "one", clock), Candidate(client, "two", clock)
    leader.attempt()

    for _ in range(20):
        clock.now += 2.0
        assert leader.attempt()
        assert not other.attempt()


def test_a_lease_is_taken_when_it_has_not_been_renewed_for_its_duration(
    api: FakeApiServer, leader: Candidate, other: Candidate, clock: Clock
) -> None:

    clock.now += 14.9
    assert not other.attempt()
    clock.now += 0.2
    assert other.attempt()

    assert not leader.leads
    found = spec(api)
    assert (found["holderIdentity"], found["leaseTransitions"]) == ("two", 1)


def test_expiry_is_counted_from_when_the_lease_was_first_seen(client: Client, clock: Clock) -> None:
    """The timestamps in it are another machine's, and may be of any year."""
    Candidate(client, "one", clock).attempt()
    clock.now += 3600.0
    late = Candidate(client, "two", clock)

    assert not late.attempt()
    clock.now += 14.9
    assert not late.attempt()
    clock.now += 0.2
    assert late.attempt()


def test_a_renewal_that_was_seen_late_counts_from_when_it_was_seen(
    api: FakeApiServer, client: Client, clock: Clock
) -> None:
    leader, other = Candidate(client, "one", clock), Candidate(client, "two", clock)
    leader.attempt()
    reading = other.election._read

    def slow_read() -> Any:  # noqa: ANN401
        # The request takes so long that the renewal it sees is younger than itself.
        clock.now += 6.0
        leader.attempt()
        return reading()

    other.election._read = slow_read  # type: ignore[method-assign]
    other.attempt()
    other.election._read = reading  # type: ignore[method-assign]

    clock.now += 9.9
    assert leader.election.is_leading()
    assert not other.attempt()
    clock.now += 5.0
    assert not leader.election.is_leading()
    assert not other.attempt()
    clock.now += 0.2
    assert other.attempt()
    assert spec(api)["holderIdentity"] == "two"


def test_a_leader_that_cannot_renew_stops_leading_before_another_may(
    api: FakeApiServer, leader: Candidate, other: Candidate, clock: Clock
) -> None:
    api.inject(Answer(500), "patch", times=5)

    for _ in range(5):
        clock.now += 2.1
        with pytest.raises(ApiUnavailable):
            leader.attempt()

    assert not leader.leads
    assert not other.attempt()


def test_a_process_that_was_suspended_past_its_lease_knows_it_at_once(leader: Candidate, clock: Clock) -> None:
    clock.now += 10.0

    assert not leader.leads


def test_a_leader_that_sees_another_in_the_lease_stops_at_once(
    api: FakeApiServer, leader: Candidate, clock: Clock
) -> None:
    api.storage.merge_patch(
        api.seen("apply")[0].target, {"spec": {"holderIdentity": "usurper", "leaseDurationSeconds": 60}}, "kubectl"
    )

    assert not leader.attempt()
    clock.now += 59.0
    assert not leader.attempt()
    clock.now += 1.1
    assert leader.attempt()


def test_of_two_who_take_an_expired_lease_at_once_one_meets_a_conflict(client: Client, clock: Clock) -> None:
    for identity in ("gone", "one", "two"):
        Candidate(client, identity, clock).attempt()
    one, two = Candidate(client, "one", clock), Candidate(client, "two", clock)
    one.attempt()
    two.attempt()
    clock.now += 15.1
    read = two.election._read()
    assert one.attempt()
    two.election._read = lambda: read  # type: ignore[method-assign]

    with pytest.raises(Conflict):
        two.attempt()

    assert (one.leads, two.leads) == (True, False)


def test_a_lease_that_was_deleted_is_created_again(api: FakeApiServer, leader: Candidate) -> None:
    api.remove(LEASE)

    assert leader.attempt()
    assert spec(api)["holderIdentity"] == "one"


def test_a_lease_that_is_missing_is_not_created_before_the_known_term_has_ended(
    api: FakeApiServer, leader: Candidate, other: Candidate, clock: Clock
) -> None:
    api.remove(LEASE)

    clock.now += 9.9
    assert leader.election.is_leading()
    assert not other.attempt()
    assert api.read(LEASE) is None
    clock.now += 5.0
    assert not leader.leads
    assert not other.attempt()
    clock.now += 0.2
    assert other.attempt()


def test_a_lease_that_was_released_and_deleted_is_created_at_once(
    api: FakeApiServer, client: Client, clock: Clock
) -> None:
    leader, other = Candidate(client, "one", clock), Candidate(client, "two", clock)
    leader.attempt()
    leader.election._release()
    other.election._observe(other.election._read())
    api.remove(LEASE)

    assert other.attempt()


def test_a_release_that_meets_a_conflict_is_tried_again_while_the_lease_is_ours(
    api: FakeApiServer, leader: Candidate
) -> None:
    api.storage.merge_patch(api.seen("apply")[0].target, {"metadata": {"annotations": {"a": "b"}}}, "kubectl")

    leader.election._release()

    assert spec(api)["holderIdentity"] == ""


def test_a_release_leaves_a_lease_alone_that_another_has_taken(api: FakeApiServer, leader: Candidate) -> None:
    api.storage.merge_patch(api.seen("apply")[0].target, {"spec": {"holderIdentity": "usurper"}}, "kubectl")

    leader.election._release()

    assert spec(api)["holderIdentity"] == "usurper"


def test_of_fifty_who_create_the_lease_at_once_one_leads(api: FakeApiServer, client: Client, clock: Clock) -> None:
    candidates = [Candidate(client, f"candidate-{number}", clock) for number in range(50)]
    conflicts: list[Conflict] = []
    start = threading.Barrier(len(candidates))

    def compete(candidate: Candidate) -> None:
        # All of them have read that there is no lease.
        assert candidate.election._read() is None
        candidate.election._read = lambda: None  # type: ignore[method-assign]
        start.wait(60.0)
        try:
            candidate.attempt()
        except Conflict as conflict:
            conflicts.append(conflict)

    threads = [threading.Thread(target=compete, args=(candidate,)) for candidate in candidates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    leaders = [candidate.election.identity for candidate in candidates if candidate.leads]
    assert leaders == [spec(api)["holderIdentity"]]
    assert len(conflicts) == 49


def test_a_leader_that_stops_gives_the_lease_away(api: FakeApiServer, candidates: Candidates) -> None:
    """The other one gets it although its term would last for an hour."""
    leader = candidates("one", LASTING)
    until(lambda: leader.changes == [True])
    other = candidates("two", LASTING)
    until(lambda: other.election.holder == "one")

    leader.election.stop()
    until(lambda: other.changes == [True])

    assert leader.changes == [True, False]
    assert not leader.leads
    assert spec(api)["holderIdentity"] == "two"


def test_one_who_only_stood_by_gives_nothing_away(api: FakeApiServer, candidates: Candidates) -> None:
    leader = candidates("one", LASTING)
    until(lambda: leader.leads)
    other = candidates("two", LASTING)
    until(lambda: other.election.holder == "one")

    other.election.stop()

    assert other.changes == []
    assert spec(api)["holderIdentity"] == "one"


def test_losing_the_api_server_is_announced_and_so_is_its_return(api: FakeApiServer, candidates: Candidates) -> None:
    leader = candidates("one")
    until(lambda: leader.changes[-1:] == [True])

    outage = api.inject(Answer(503), times=None)
    until(lambda: leader.changes[-1:] == [False])
    outage.lift()

    until(lambda: leader.changes[-1] and len(leader.changes) >= 3)
    # On a busy machine a term may also end by a renewal that is late; each change is announced once.
    assert leader.changes == [number % 2 == 0 for number in range(len(leader.changes))]


def test_a_renewal_that_hangs_ends_the_leadership_in_time(
    api: FakeApiServer, client: Client, candidates: Candidates
) -> None:
    client._request_timeout = 0.1
    leader = candidates("one")
    until(lambda: leader.leads)

    hanging = api.inject(Hang(), times=None)
    until(lambda: not leader.leads, timeout=2.0)
    hanging.lift()

    until(lambda: leader.leads)


def test_whatever_goes_wrong_the_election_goes_on(api: FakeApiServer, candidates: Candidates) -> None:
    for answer in (Answer(200, b"<html>"), Answer(200, b"null"), Answer(500), Answer(403), Answer(401), Answer(429)):
        api.inject(answer, "get")
    api.inject(Answer(409), "apply")

    leader = candidates("one")

    until(lambda: leader.leads)


def test_one_who_stands_by_looks_at_the_moment_of_expiry_and_no_later(other: Candidate, clock: Clock) -> None:
    """Takeover after 17 s at most: the lease's duration, and what the last renewal was noticed too late."""

    assert 0.8 <= other.election._pause() <= 1.0
    clock.now += 14.5
    assert other.election._pause() == pytest.approx(0.5)
    clock.now += 0.5
    assert other.attempt()


def test_an_expired_lease_that_cannot_be_had_is_not_asked_for_all_the_time(other: Candidate, clock: Clock) -> None:

    clock.now += 20.0

    assert other.election._pause() >= 0.8


def test_a_leader_renews_every_two_seconds_or_sooner(leader: Candidate) -> None:
    assert 1.6 <= leader.election._pause() <= 2.0


def test_during_an_outage_the_lease_is_not_asked_for_and_its_loss_is_announced_in_time(
    api: FakeApiServer, client: Client, candidates: Candidates
) -> None:
    asked: list[float] = []

    def ask() -> None:
        asked.append(time.monotonic())
        raise ApiUnavailable("no answer")

    client.connectivity.start(ask)
    leader = candidates("one")
    until(lambda: leader.leads)
    outage = api.inject(Answer(503), times=None)

    until(lambda: leader.changes[-1:] == [False])

    assert outage.met == 1
    assert asked
    outage.lift()
    client.connectivity.note(None, time.monotonic())
    until(lambda: leader.changes[-1] and len(leader.changes) >= 3)
    client.connectivity.stop()


def test_the_clock_of_an_election_never_goes_back() -> None:
    assert boot_time() <= boot_time()


class Hesitant:
    """A candidacy that refuses until it is told otherwise."""

    def __init__(self) -> None:
        self.willing = False
        self.noted: list[dict[str, str]] = []

    def may_lead(self, noted: Mapping[str, str]) -> bool:
        self.noted.append(dict(noted))
        return self.willing

    def annotations(self) -> Mapping[str, str]:
        return {"pullsecrets.webhook/configuration": "mine"}


def test_a_candidate_that_must_not_lead_leaves_the_lease_to_others(
    api: FakeApiServer, client: Client, clock: Clock
) -> None:
    candidacy = Hesitant()
    hesitant = Candidate(client, "one", clock, candidacy=candidacy)

    assert (hesitant.attempt(), hesitant.election.abstains) == (False, True)
    assert api.read(LEASE) is None

    other = Candidate(client, "two", clock)
    assert other.attempt()
    # Another replica leads: there is nothing to abstain from.
    assert (hesitant.attempt(), hesitant.election.abstains) == (False, False)

    clock.now += TIMING.duration
    assert (hesitant.attempt(), hesitant.election.abstains) == (False, True)
    candidacy.willing = True
    assert (hesitant.attempt(), hesitant.election.abstains) == (True, False)
    assert (api.read(LEASE) or {})["metadata"]["annotations"] == candidacy.annotations()


def test_a_renewal_does_not_ask_again_whether_to_lead(client: Client, clock: Clock) -> None:
    candidacy = Hesitant()
    candidacy.willing = True
    leader = Candidate(client, "one", clock, candidacy=candidacy)
    assert leader.attempt()
    candidacy.willing = False
    clock.now += 2.0
    assert leader.attempt()
    assert len(candidacy.noted) == 1
    # Its own term has ended, so another replica may have led since.
    clock.now += TIMING.duration
    assert not leader.attempt()
    assert candidacy.noted[-1] == candidacy.annotations()


OWNER = OwnerReference("v1", "ServiceAccount", "sync", "uid-of-the-account")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook.kube.lease.PAUSE_SECONDS", 0.001)


def candidate(client: Client, identity: str, clock: Clock) -> LeaseElection:
    return LeaseElection(client, "system", "sync", identity, lambda _: None, clock=clock)


def test_a_lease_that_nobody_has_is_made_and_nobody_is_waited_for(api: FakeApiServer, client: Client) -> None:
    _, term = seize_lease(client, "system", "sync", "uninstalling", 540, OWNER)

    made = api.read(LEASE) or {}
    assert term == 0
    assert (made["spec"]["holderIdentity"], made["spec"]["leaseDurationSeconds"]) == ("uninstalling", 540)
    assert made["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "ServiceAccount", "name": "sync", "uid": "uid-of-the-account"}
    ]


def test_the_leader_is_waited_for_and_leads_no_more_when_it_looks(client: Client) -> None:
    clock = Clock()
    leader = candidate(client, "leader", clock)
    leader._try_once()
    assert leader.is_leading()

    _, term = seize_lease(client, "system", "sync", "uninstalling", 540, OWNER)

    assert term == Timing().duration > Timing().renew_deadline
    clock.now += 2
    leader._try_once()
    assert not leader.is_leading()


def test_nobody_takes_it_while_it_is_held(client: Client) -> None:
    seize_lease(client, "system", "sync", "uninstalling", 540, None)
    clock = Clock()
    standby = candidate(client, "standby", clock)
    for _ in range(539):
        standby._try_once()
        assert not standby.is_leading()
        clock.now += 1
    clock.now += 1
    standby._try_once()
    assert standby.is_leading()


def test_it_is_taken_again_by_who_repeats(client: Client) -> None:
    seize_lease(client, "system", "sync", "uninstalling_1", 540, OWNER)
    _, term = seize_lease(client, "system", "sync", "uninstalling_2", 540, OWNER)
    assert term == Timing().duration  # the first may have ended before the leader's term did


def test_a_released_lease_has_no_leader_to_wait_for(client: Client) -> None:
    leader = candidate(client, "leader", Clock())
    leader._try_once()
    leader._release()
    assert seize_lease(client, "system", "sync", "uninstalling", 540, OWNER)[1] == 0


def test_losing_against_a_renewal_is_tried_again(api: FakeApiServer, client: Client) -> None:
    seize_lease(client, "system", "sync", "leader", 15, None)
    api.inject(Answer(409), "patch")
    assert seize_lease(client, "system", "sync", "uninstalling", 540, OWNER)[1] > 0


def test_losing_again_and_again_is_told(api: FakeApiServer, client: Client) -> None:
    seize_lease(client, "system", "sync", "leader", 15, None)
    api.inject(Answer(409), "patch", times=ATTEMPTS)
    with pytest.raises(Conflict):
        seize_lease(client, "system", "sync", "uninstalling", 540, OWNER)


def test_it_is_deleted_once_nobody_competes(api: FakeApiServer, client: Client) -> None:
    lease, _ = seize_lease(client, "system", "sync", "uninstalling", 540, None)
    delete_lease(client, lease)
    delete_lease(client, lease)
    assert api.read(LEASE) is None


def test_a_takeover_that_cannot_begin_is_tried_again(client: Client) -> None:
    changes: list[bool] = []

    def on_change(leading: bool) -> None:
        changes.append(leading)
        if len(changes) == 1:
            raise RuntimeError("can't start new thread")

    election = LeaseElection(client, "system", "sync", "one", on_change, timing=QUICK)
    election.start()
    until(lambda: changes[:2] == [True, True])
    election.stop()
    assert changes[2:] == [False]
