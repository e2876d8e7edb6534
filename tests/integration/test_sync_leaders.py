"""Two processes of sync and one Lease: one writes at a time, whatever becomes of the other."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.install import CONFIGURATION_KEY
from tests.cluster.mounted import MountedConfigMap
from tests.integration.faults.faultlink import Request
from tests.integration.faults.remote import Remote, remote_sync
from tests.integration.site.estate import Estate, new_password
from tests.integration.site.playground import COPY, SOURCE, Playground, detail, eventually

LEASE_SECONDS = 15.0
LOOK_SECONDS = 1.0
"""How long a Lease is respected that is not renewed, and how often at least a standby looks at it meanwhile."""

WORKERS = 4

NAMESPACES, ACCOUNTS, SECRETS = ("/api/v1/namespaces",), ("/api/v1/serviceaccounts",), ("/api/v1/secrets",)
ALL = (*NAMESPACES, *ACCOUNTS, *SECRETS)
"""The paths of the watches that a standby has."""

LOOKS = 3
"""At the Lease, before a standby counts as one that does not take it."""

REFUSED = (404, 409, 422)
"""The answers to a write whose precondition does not hold any more."""


@pytest.fixture
def site(playground: Callable[..., Playground]) -> Playground:
    site = playground()
    site.set_source(new_password())
    return site


@contextmanager
def leader_and_standby(site: Playground, *flags_of_standby: str) -> Iterator[tuple[Remote, Remote]]:
    workers = f"--workers={WORKERS}"
    with remote_sync(site, "sync-1", workers) as leader:
        eventually(lambda: leader.leads)
        with remote_sync(site, "sync-2", workers, *flags_of_standby) as standby:
            yield leader, standby


def first_write(remote: Remote, since: float) -> float:
    """Return when a process has begun to write since a moment."""
    return eventually(lambda: remote.writes(since))[0].at


def looks(remote: Remote) -> list[float]:
    """Return when a process has looked at the Lease."""
    return [request.at for request in remote.proxy.since(0) if of_the_lease(request) and not request.writes]


def looks_until_taken(remote: Remote, since: float) -> list[float]:
    """Return when a standby has looked at the Lease, from a moment until it took it; it began to write soon then.

    On an idle machine it looks once a second. How many looks it needs is the same on a busy one.
    """
    begun = first_write(remote, since)
    taken, *renewed = [request.at for request in remote.renewals(since) if request.at <= begun]
    assert len(renewed) <= 1, "it has renewed the Lease again and again before its first write"
    *before, last = [look for look in looks(remote) if look <= taken]
    assert min(later - look for look, later in itertools.pairwise(before)) <= LOOK_SECONDS
    return [look for look in (*before, last) if look >= since]


def assert_taken_when_expired(old: Remote, new: Remote) -> None:
    """See that a standby has taken the Lease at the first look at which it had expired."""
    made = looks_until_taken(new, old.renewals(0)[-1].at)
    # The second look after the last renewal shows it at the latest, and the Lease counts from when that is answered.
    answered = made[:3][-1]
    assert [look - answered for look in made[:-1] if look > answered + LEASE_SECONDS] == []


def of_copies(request: Request) -> bool:
    return request.writes and f"/secrets/{COPY}" in request.target


def of_the_lease(request: Request) -> bool:
    return "/leases/" in request.target


def config_map(site: Playground) -> dict[str, Any]:
    return site.get(site.installation.namespace, "configmaps", site.installation.fullname) or {}


def revision_of(found: dict[str, Any]) -> tuple[str, str]:
    return found["metadata"]["uid"], found["metadata"]["resourceVersion"]


def configuration_on_the_lease(site: Playground) -> tuple[str, str]:
    """Return UID and resourceVersion of the ConfigMap that the leader has noted."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{site.installation.namespace}/leases/{site.installation.lease}"
    annotations = site.cluster.api.call("GET", path)["metadata"]["annotations"]
    uid, version, _ = annotations["pullsecrets.webhook/configuration"].split("/")
    return uid, version


def audited(site: Playground, since: datetime) -> list[int]:
    """Return the status of each write of copies and ServiceAccounts that has reached the API server since then."""
    installation = site.installation
    user = f"system:serviceaccount:{installation.namespace}:{installation.fullname}-sync"
    return [
        event["responseStatus"]["code"]
        for event in site.cluster.audit_events()
        if event["user"].get("username") == user  # a request without a name that was proved has none
        and event["verb"] in ("create", "patch", "delete")
        and event["objectRef"]["resource"] in ("secrets", "serviceaccounts")
        and event["objectRef"].get("name") != installation.state_secret
        and datetime.fromisoformat(event["requestReceivedTimestamp"]) >= since
    ]


def await_standing_by(remote: Remote, since: float) -> None:
    """Wait until a process has asked for the Lease, stands by, and watches everything."""
    eventually(lambda: remote.asks_for_the_lease(since))
    eventually(lambda: not remote.leads)
    eventually(remote.process.metrics, lambda text: "pullsecrets_sync_watches_down 0.0" in text)


def test_when_the_leader_is_killed_the_other_takes_over_as_soon_as_the_lease_has_expired(site: Playground) -> None:
    with leader_and_standby(site) as (leader, standby), Estate(site) as estate:
        assert standby.writes() == []
        killed = time.monotonic()
        leader.process.kill()
        estate.disturb(new_password())
        print(f"first write {first_write(standby, killed) - killed:.1f} s after SIGKILL")
        assert_taken_when_expired(leader, standby)
        estate.await_right()


def test_when_the_leader_is_ended_the_other_takes_over_at_its_next_look(site: Playground) -> None:
    with leader_and_standby(site) as (leader, standby), Estate(site) as estate:
        eventually(lambda: len(looks(standby)) >= LOOKS)
        estate.disturb(new_password())
        ended = time.monotonic()
        leader.process.program.signal(signal.SIGTERM)
        estate.disturb(new_password())
        print(f"first write {first_write(standby, ended) - ended:.1f} s after SIGTERM")
        *renewed, given_away = leader.renewals(ended)
        assert len(renewed) <= 1, "it has renewed the Lease again and again before it gave it away"
        # One look may be on its way while the Lease is given away.
        assert len(looks_until_taken(standby, given_away.at)) <= 2
        estate.await_right()
        assert leader.process.program.wait() == 0
        assert leader.writes()[-1].at < standby.writes()[0].at


def test_a_standby_whose_source_watch_was_silent_never_writes_the_old_credential(site: Playground) -> None:
    def watches_the_source(request: Request) -> bool:
        return "watch=true" in request.target and f"metadata.name%3D{SOURCE}&" in f"{request.target}&"

    with leader_and_standby(site) as (leader, standby), Estate(site) as estate:
        with standby.proxy.withholding(watches_the_source) as withheld:
            eventually(lambda: withheld.requests)
            estate.rotate(new_password())
            estate.await_right()
            before, ended = estate.versions(), time.monotonic()
            leader.process.program.signal(signal.SIGTERM)
            eventually(lambda: standby.leads)
            estate.lose_a_copy()
            estate.await_right()
            changed = {name for name, version in estate.versions().items() if before.get(name) != version}
        # A write that gets no answer in time is made again.
        assert len({request.target.partition("?")[0] for request in standby.writes(ended) if of_copies(request)}) == 1
        assert len(changed) == 1


def test_a_new_leader_that_gets_no_list_of_namespaces_writes_nothing_until_it_does(site: Playground) -> None:
    def of_namespaces(request: Request) -> bool:
        return request.target.partition("?")[0] in NAMESPACES

    with leader_and_standby(site) as (leader, standby), Estate(site) as estate:
        with standby.proxy.withholding(of_namespaces) as withheld:
            ended = time.monotonic()
            leader.process.program.signal(signal.SIGTERM)
            estate.lose_a_copy()
            eventually(lambda: withheld.requests)
            eventually(lambda: len(standby.renewals(ended)) >= LOOKS)
            assert [request for request in standby.writes(ended) if of_copies(request)] == []
        estate.await_right()


@pytest.mark.parametrize(
    "silent", [NAMESPACES, ACCOUNTS, SECRETS, ALL], ids=["namespaces", "accounts", "copies", "all"]
)
def test_a_standby_whose_watches_are_silent_does_no_wrong_write(site: Playground, silent: tuple[str, ...]) -> None:
    """It does not know that a namespace has opted out, nor what has become of the copy and the reference there."""

    def watches_it(request: Request) -> bool:
        return "watch=true" in request.target and request.target.partition("?")[0] in silent

    with leader_and_standby(site) as (leader, standby), Estate(site) as estate:
        with standby.proxy.withholding(watches_it):
            standby.proxy.mute(watches_it)  # in the block, so that no watch begins in between
            estate.leave()
            estate.await_right()
            before, ended = estate.versions(), time.monotonic()
            leader.process.program.signal(signal.SIGTERM)
            eventually(lambda: standby.leads)
        # Its work for this shows that it writes.
        estate.lose_a_copy()
        estate.await_right()
        changed = {name for name, version in estate.versions().items() if before.get(name) != version}
        assert len(changed) == 1
        if silent == NAMESPACES:
            assert [request for request in standby.writes(ended) if estate.is_in_a_left_namespace(request.target)] == []


def test_a_standby_whose_configuration_file_is_older_does_not_lead_until_the_file_arrives(
    site: Playground, tmp_path: Path
) -> None:
    """By its file, the namespace that the new configuration excludes would get copy and reference again."""
    mounted = MountedConfigMap(tmp_path / "mounted", config_map(site)["data"])
    with leader_and_standby(site, f"--config={mounted.directory / CONFIGURATION_KEY}") as (leader, standby):
        password = new_password()
        site.set_source(password)
        excluded, other = site.namespace(selected=True), site.namespace(selected=True)
        for namespace in (excluded, other):
            site.await_selected(namespace, password)
        site.installation.set_configuration(excludedNamespaces=[excluded])
        site.await_left(excluded)
        newer = config_map(site)
        eventually(lambda: configuration_on_the_lease(site), lambda noted: noted == revision_of(newer))
        leader.process.kill()
        killed = time.monotonic()
        site.delete(other, "secrets", COPY)

        line = eventually(lambda: detail(standby.process, "configuration"), lambda line: "agrees with" in line)
        assert f"ConfigMap {site.installation.namespace}/{site.installation.fullname}" in line
        since = time.monotonic()
        eventually(lambda: len([each for each in standby.proxy.since(since) if of_the_lease(each)]) >= LOOKS)
        assert not standby.leads
        assert standby.writes(killed) == []
        assert standby.renewals(killed) == []

        mounted.publish(newer["data"])
        site.await_selected(other, password)
        eventually(lambda: standby.leads)
        eventually(lambda: detail(standby.process, "configuration"), lambda line: line == "[+]configuration ok")
        assert [request for request in standby.writes(killed) if f"/{excluded}/" in request.target] == []
        assert configuration_on_the_lease(site) == revision_of(newer)


def test_a_leader_that_was_suspended_past_its_lease_writes_nothing_when_it_resumes(site: Playground) -> None:
    """Neither what waits in its queue, nor what it learns then; and what was on its way is refused."""
    with leader_and_standby(site) as (old, new), Estate(site, more=40) as estate:
        with old.proxy.withholding(of_copies) as withheld:
            # One creation, the other writes are updates. Each worker has been at one at least: those that hang are
            # taken back while others wait, and reach the API server late all the same.
            estate.lose_a_copy()
            eventually(lambda: withheld.requests)
            estate.disturb(new_password())
            eventually(lambda: len(withheld.requests) >= WORKERS)
            old.process.program.signal(signal.SIGSTOP)
            estate.disturb(new_password())
            eventually(lambda: new.leads)
            estate.await_right()
            before = estate.versions()
            released = datetime.now(UTC)
        sent = len(withheld.requests) - len(withheld.lost)
        assert sent > 0
        eventually(lambda: audited(site, released), lambda codes: len(codes) >= sent)
        resumed = time.monotonic()
        # For a moment nobody tells it that it has been deposed: its own clock must.
        with old.proxy.withholding(of_the_lease):
            old.process.program.signal(signal.SIGCONT)
            eventually(lambda: old.asks_for_the_lease(resumed))
            assert estate.versions() == before
            estate.disturb(new_password())
            estate.await_right()
            before = estate.versions()
        await_standing_by(old, resumed)
        # A conflict, the guard's refusal, or given up because the process had taken the request back.
        given_up = (403, 504)
        late = audited(site, released)[:sent]
        assert [code for code in late if code not in REFUSED + given_up] == []
        assert estate.versions() == before
        assert old.writes(resumed) == []
        assert old.renewals(resumed) == []
        assert new.leads


def test_a_leader_that_is_cut_off_stops_before_the_other_begins(site: Playground) -> None:
    with leader_and_standby(site) as (old, new), Estate(site) as estate:
        with old.proxy.silent(resumes=True):
            cut_off = time.monotonic()
            estate.disturb(new_password())
            print(f"first write {first_write(new, cut_off) - cut_off:.1f} s after the other was cut off")
            assert_taken_when_expired(old, new)
            estate.await_right()
            before = estate.versions()
            healed_at, healed = datetime.now(UTC), time.monotonic()
        await_standing_by(old, healed)
        assert [code for code in audited(site, healed_at) if code not in REFUSED] == []
        assert estate.versions() == before
        estate.disturb(new_password())
        estate.await_right()
        assert old.writes(healed) == []
        assert old.renewals(healed) == []
