from __future__ import annotations

import pytest

from tests.unit.fake_apiserver.faults import Answer
from tests.unit.fake_apiserver.server import FakeApiServer
from webhook.errors import Conflict
from webhook.kube.client import Client
from webhook.kube.lease import ATTEMPTS, LeaseElection, OwnerReference, Timing, delete_lease, seize_lease

LEASE = "/apis/coordination.k8s.io/v1/namespaces/system/leases/sync"
OWNER = OwnerReference("v1", "ServiceAccount", "sync", "uid-of-the-account")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook.kube.lease.PAUSE_SECONDS", 0.001)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


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
