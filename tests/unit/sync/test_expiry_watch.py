"""Expiry is noticed by a timer at the next time that matters, and reported once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import generate_latest

from tests.exposition import series
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from tests.unit.sync.running import Running, events, reasons
from tests.unit.sync.world import RELEASE, docker_config, secret_path
from webhook.ops.sync_status import LeaderStatus
from webhook.rules.credential import Credential
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE, Credentials
from webhook.rules.expiry import EXPIRES_ANNOTATION, Expiries, Expiry, ExpiryOrigin
from webhook.sync.credential_watch import LONGEST_WAIT, SHORTEST_WAIT, ExpiryGroup, ExpiryWatch
from webhook.sync.source import Source, absent_source
from webhook.sync.status import controller_status

NOW = datetime(2026, 11, 28, 10, tzinfo=UTC)
DAY = timedelta(days=1)
GHCR, QUAY = "ghcr.io", "quay.io"


class Reports:
    """Keeps the reports that were made."""

    def __init__(self) -> None:
        self.made: list[tuple[str, ...]] = []

    def credentials_expire(self, source: str, registries: Sequence[str], expiring: ExpiryGroup) -> None:
        flags = [name for name in ("differ", "renews") if getattr(expiring, name)]
        self.made.append((expiring.reason, source, *registries, expiring.text, *flags))

    def credentials_renewed(self, source: str, registries: Sequence[str]) -> None:
        self.made.append(("renewed", source, *registries))

    def expiry_unreadable(self, source: str, problem: str) -> None:
        self.made.append(("unreadable", source, problem))

    def take(self) -> list[tuple[str, ...]]:
        taken, self.made = self.made, []
        return taken


def source(*problems: str, name: str = "harbor", **expires: timedelta) -> Source:
    """Return a source with credentials that expire this long after the beginning."""
    expiries = {f"{registry}.io": Expiry(NOW + left, ExpiryOrigin.ANNOTATION) for registry, left in expires.items()}
    credentials = {registry: Credential("user", "secret") for registry in (GHCR, QUAY)}
    return Source(name, "1", "uid", Credentials(credentials, expiries=Expiries(expiries, problems)))


class Watched:
    """A watch of some sources, with a clock that goes when it is told to."""

    def __init__(self, *sources: Source) -> None:
        self.now, self.sources, self.reports = NOW, sources, Reports()
        self.watch = ExpiryWatch(lambda: self.sources, self.reports, lambda: self.now)

    def check(self, after: timedelta = timedelta()) -> list[tuple[str, ...]]:
        self.now += after
        self.watch.check()
        return self.reports.take()


def test_each_state_is_reported_once_when_it_begins() -> None:
    watched = Watched(source(ghcr=20 * DAY))
    assert watched.check() == []
    assert watched.check(6 * DAY) == [
        ("credential-expires-soon", "harbor", GHCR, "expires in 14 days (2026-12-18 10:00 UTC)")
    ]
    assert watched.check(DAY) == []
    assert watched.check(10 * DAY) == [
        ("credential-expires-very-soon", "harbor", GHCR, "expires in 3 days (2026-12-18 10:00 UTC)")
    ]
    assert watched.check(3 * DAY) == [("credential-expired", "harbor", GHCR, "expired just now (2026-12-18 10:00 UTC)")]
    assert watched.check(DAY) == []


def test_credentials_of_one_source_in_the_same_state_are_one_report() -> None:
    watched = Watched(source(ghcr=DAY, quay=2 * DAY))
    (made,) = watched.check()
    text = "expires in 24 hours (2026-11-29 10:00 UTC)"
    assert made == ("credential-expires-very-soon", "harbor", GHCR, QUAY, text, "differ")
    assert [made[:3] for made in watched.check(DAY)] == [("credential-expired", "harbor", GHCR)]
    assert [made[:3] for made in watched.check(DAY)] == [("credential-expired", "harbor", QUAY)]


def test_a_report_of_credentials_with_one_time_does_not_name_a_first_one() -> None:
    watched = Watched(source(ghcr=DAY, quay=DAY))
    (made,) = watched.check()
    assert made[2:] == (GHCR, QUAY, "expires in 24 hours (2026-11-29 10:00 UTC)")


def test_a_report_says_whether_sync_renews_the_source() -> None:
    reports = Reports()
    sources = [source(ghcr=DAY), source(name="issued", ghcr=DAY)]
    ExpiryWatch(lambda: sources, reports, lambda: NOW, renews=lambda name: name == "issued").check()
    assert [made[-1] == "renews" for made in reports.made] == [False, True]


def test_a_renewal_is_reported_once() -> None:
    watched = Watched(source(ghcr=DAY, quay=DAY))
    watched.check()
    watched.sources = (source(ghcr=90 * DAY, quay=DAY),)
    assert watched.check() == [("renewed", "harbor", GHCR)]
    assert watched.check() == []


def test_a_time_that_cannot_be_used_is_reported_until_it_is_corrected() -> None:
    watched = Watched(source("it is not a time"))
    assert watched.check() == [("unreadable", "harbor", "it is not a time")]
    assert watched.check() == []
    watched.sources = (source("it is absurd"),)
    assert watched.check() == [("unreadable", "harbor", "it is absurd")]
    watched.sources = (source(ghcr=90 * DAY),)
    assert watched.check() == []


def test_a_source_that_cannot_be_used_is_no_renewal() -> None:
    watched = Watched(source(ghcr=DAY))
    watched.check()
    watched.sources = (absent_source("harbor"),)
    assert watched.check() == []


def test_a_new_leader_reports_everything_again() -> None:
    watched = Watched(source("it is not a time", ghcr=DAY))
    before = watched.check()
    watched.watch.report_again()
    assert sorted(watched.check()) == sorted(before)
    assert len(before) == 2


@pytest.mark.parametrize(
    ("sources", "seconds"),
    [
        ((), LONGEST_WAIT),
        ((source(ghcr=-DAY),), LONGEST_WAIT),
        ((source(ghcr=90 * DAY),), LONGEST_WAIT),
        ((source(ghcr=14 * DAY + timedelta(seconds=90)),), 90),
        ((source(ghcr=timedelta(seconds=30)), source(name="other", ghcr=timedelta(seconds=7))), 7),
        ((source(ghcr=timedelta(milliseconds=1)),), SHORTEST_WAIT),
    ],
)
def test_the_timer_ends_at_the_next_change(sources: tuple[Source, ...], seconds: float) -> None:
    assert Watched(*sources).watch.check() == seconds


def test_a_change_wakes_the_timer() -> None:
    watched, stopping = Watched(), threading.Event()
    thread = threading.Thread(target=watched.watch.run, args=(stopping,), daemon=True)
    thread.start()
    watched.sources = (source(ghcr=DAY),)
    watched.watch.changed()
    until(lambda: watched.reports.made)
    stopping.set()
    watched.watch.changed()
    thread.join(30)
    assert not thread.is_alive()


# In a running controller


def put(api: FakeApiServer, expires: str) -> None:
    body = {"type": COPY_TYPE, "data": {COPY_KEY: docker_config("first")}}
    annotations = {"annotations": {EXPIRES_ANNOTATION: expires}}
    api.put(secret_path(RELEASE.namespace, "harbor"), {**body, "metadata": annotations})


def state(running: Running) -> tuple[str, str]:
    status = controller_status(running.loop, RELEASE, LeaderStatus(leading=True), 0.0)
    (found,) = (each for each in status.sources if each.name == "harbor")
    return found.expiry_reason, found.expiry_problem


@pytest.mark.usefixtures("short_pauses")
def test_a_credential_expires_without_a_change_in_the_cluster(api: FakeApiServer, running: Running) -> None:
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    put(api, expires.isoformat())
    until(lambda: "CredentialExpired" in reasons(api))
    assert state(running) == ("credential-expired", "")
    (told,) = (event for event in events(api) if event["reason"] == "CredentialExpired")
    assert told["involvedObject"]["name"] == "harbor"
    assert f"({expires:%Y-%m-%d %H:%M} UTC): it must be renewed" in told["message"]

    status = controller_status(running.loop, RELEASE, LeaderStatus(leading=True), 0.0, examples=0)
    running.metrics.follow_state(lambda: status)
    exported = series(generate_latest(running.metrics.registry).decode())
    (registry,) = (each.registry for source in status.sources for each in source.expiries)
    labels = f'registry="{registry}",source="harbor"'
    assert exported[f"pullsecrets_sync_credential_expiry_timestamp_seconds{{{labels}}}"] == expires.timestamp()
    assert exported['pullsecrets_sync_problems{reason="credential-expired"}'] == 1

    put(api, "2100-01-01T00:00:00Z")
    until(lambda: "CredentialExpiryResolved" in reasons(api))
    assert state(running) == ("", "")


@pytest.mark.usefixtures("short_pauses")
def test_a_time_that_cannot_be_used_hides_nothing(api: FakeApiServer, running: Running) -> None:
    put(api, "tomorrow")
    until(lambda: "CredentialExpiryUnreadable" in reasons(api))
    assert state(running)[1].startswith(f"the annotation {EXPIRES_ANNOTATION} is not a time")
    found = running.loop.sources.source("harbor")
    assert found is not None
    assert found.credentials
