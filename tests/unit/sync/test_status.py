from __future__ import annotations

import re
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TypeVar

import msgspec
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, generate_latest

from tests.exposition import series
from tests.unit.fake_apiserver.faults import Answer
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.polling import until
from tests.unit.sync.running import Running, is_right, opt_in, put_foreign
from tests.unit.sync.world import (
    BY_US,
    CONFIGURATION,
    OURS,
    RELEASE,
    docker_config,
    edit_copy,
    put_account,
    put_namespace,
    put_source,
    references_in,
    secret_path,
)
from webhook.kube.client import Client
from webhook.kube.lease import LeaseElection
from webhook.ops.attention import judge
from webhook.ops.certificate_metrics import IssuedCertificateMetrics
from webhook.ops.health import Health
from webhook.ops.page import render
from webhook.ops.page_data import PageQuery
from webhook.ops.sync_status import LeaderStatus, PullSecretStatus, SyncStatus
from webhook.rules.actions import FindingReason
from webhook.rules.configuration import PullSecret
from webhook.rules.copy_status import CopyState, CopyStatus
from webhook.rules.credential import SourceReason
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE
from webhook.rules.expiry import ExpiryReason
from webhook.rules.rollout import HoldReason
from webhook.sync.contention import REFERENCES
from webhook.sync.status import EXAMPLES, controller_status, leader_status, page_data
from webhook.sync.status_index import Result

pytestmark = pytest.mark.usefixtures("short_pauses")

SECRETS = (*CONFIGURATION.pull_secrets, PullSecret("denied", ("harbor",)), PullSecret("waiting", ("absent",)))
EVERYTHING = replace(CONFIGURATION, pull_secrets=SECRETS, retired=("old",))
SAMPLE_SECONDS = 30.0
"""How much later one of two looks may be on a busy machine."""


def status_of(running: Running, examples: int = EXAMPLES) -> SyncStatus:
    leader = LeaderStatus(leading=running.loop.leading_for is not None, lease="psw-sync")
    return controller_status(running.loop, RELEASE, leader, 0.0, examples)


def secret(status: SyncStatus, name: str = "pull") -> PullSecretStatus:
    (found,) = (each for each in status.pull_secrets if each.name == name)
    return found


def numbers(status: SyncStatus, name: str = "pull") -> dict[str, int]:
    return {str(state): number for state, number in secret(status, name).copies.items() if number}


def named(status: SyncStatus, name: str = "pull") -> set[tuple[str, str, str]]:
    return {(each.namespace, str(each.state), each.reason) for each in secret(status, name).not_current}


def reasons(running: Running) -> dict[str, tuple[str, str]]:
    """Return by namespace the state and the reason on the status page, for those that have any copy to show."""
    certificates = IssuedCertificateMetrics(CollectorRegistry())
    page = page_data(running.loop, status_of(running), Health(), running.recorder, certificates)
    return {each.name: (str(each.state), str(each.reason)) for each in page.namespaces if each.copies}


def of_sources(status: SyncStatus) -> dict[str, float]:
    """Return those about sources."""
    found: dict[str, float] = {}
    for source in status.sources:
        if source.valid is not None:
            found[f'pullsecrets_sync_source_valid{{source="{source.name}"}}'] = source.valid
        found[f'pullsecrets_sync_source_logins_refused{{source="{source.name}"}}'] = len(source.refused_by)
        if source.renews:
            found[f'pullsecrets_sync_renewal_failures{{source="{source.name}"}}'] = source.renewal_failures
        for expiry in source.expiries:
            labels = f'registry="{expiry.registry}",source="{source.name}"'
            found[f"pullsecrets_sync_credential_expiry_timestamp_seconds{{{labels}}}"] = expiry.expires_at.timestamp()
            if expiry.lifetime_seconds is not None:
                found[f"pullsecrets_sync_credential_lifetime_seconds{{{labels}}}"] = expiry.lifetime_seconds
    return found


def as_metrics(status: SyncStatus) -> dict[str, float]:
    """Return the numbers of a status as the metrics that must have them, by name and labels."""
    queue, oldest = status.queue, status.oldest_unreconciled
    found: dict[str, float] = {
        f'leader_election_master_status{{name="{status.leader.lease}"}}': status.leader.leading,
        'workqueue_depth{name="namespaces"}': queue.waiting,
        'workqueue_adds_total{name="namespaces"}': queue.added,
        'workqueue_retries_total{name="namespaces"}': queue.retried,
        'workqueue_unfinished_work_seconds{name="namespaces"}': queue.unfinished_seconds,
        'workqueue_longest_running_processor_seconds{name="namespaces"}': queue.longest_seconds,
        "pullsecrets_sync_failing_namespaces": status.failing_namespaces,
        "pullsecrets_sync_last_full_pass_seconds": status.last_full_pass_seconds,
        "pullsecrets_sync_oldest_unreconciled_seconds": oldest.seconds if oldest else 0.0,
        "pullsecrets_sync_held_removals": status.held_removals,
        "pullsecrets_sync_paused_seconds": status.paused_seconds,
        "pullsecrets_sync_undone_writes_total": status.undone_writes,
        "pullsecrets_sync_watches_down": sum(not watch.connected for watch in status.watches),
    }
    for each in status.pull_secrets:
        if not each.retired:
            found[f'pullsecrets_sync_pull_secret_ready{{pull_secret="{each.name}"}}'] = each.ready
        for state, number in each.copies.items():
            found[f'pullsecrets_sync_copies{{pull_secret="{each.name}",state="{state}"}}'] = number
    found |= of_sources(status)
    for kind, number in status.contended_objects.items():
        found[f'pullsecrets_sync_contended_objects{{kind="{kind}"}}'] = number
    for reason, number in status.problems.items():
        found[f'pullsecrets_sync_problems{{reason="{reason}"}}'] = number
    return found


def put_everything(api: FakeApiServer) -> None:
    """A cluster in which something is in each state."""
    put_foreign(api)
    for name in ("a", "b", "c"):
        opt_in(api, name)
    body = {"type": COPY_TYPE, "data": {COPY_KEY: docker_config("old")}, "metadata": {"labels": OURS}}
    api.put(secret_path("b", "old"), body, **BY_US)
    api.inject(Answer(403), "apply", plural="secrets", name="denied", times=None)
    api.inject(Answer(403), "delete", plural="secrets", name="old", times=None)


@pytest.fixture
def busy(api: FakeApiServer, running: Running) -> Running:
    put_everything(api)
    running.loop.reconfigure(EVERYTHING)
    until(lambda: numbers(status_of(running)) == {"current": 2, "conflicting": 1})
    until(lambda: numbers(status_of(running), "denied") == {"failing": 3})
    until(lambda: numbers(status_of(running), "waiting") == {"missing": 3})
    until(lambda: numbers(status_of(running), "old") == {"leaving": 1})
    until(lambda: status_of(running).failing_namespaces == 3)
    return running


def test_every_copy_is_in_the_state_that_it_is_in(busy: Running) -> None:
    status = status_of(busy)

    assert [each.selected_namespaces for each in status.pull_secrets] == [3, 3, 3, 0]
    assert [each.retired for each in status.pull_secrets] == [False, False, False, True]
    assert named(status) == {("a", "conflicting", "")}
    assert named(status, "denied") == {(name, "failing", "denied") for name in "abc"}
    assert named(status, "waiting") == {(name, "missing", "") for name in "abc"}
    assert named(status, "old") == {("b", "leaving", "")}
    assert {each.namespace for each in status.failing} == set("abc")
    assert status.failing_namespaces == 3


def test_what_is_wrong_with_a_source_is_said(busy: Running) -> None:
    status = status_of(busy)

    assert [(each.name, each.valid, each.reason, each.registries) for each in status.sources] == [
        ("harbor", True, "", 1),
        ("absent", False, "source-absent", 0),
    ]
    waiting = secret(status, "waiting")
    assert (waiting.ready, waiting.problem) == (False, "source-absent")
    assert secret(status).ready


def test_no_hash_of_a_content_is_shown_that_could_confirm_a_guess(busy: Running) -> None:
    shown = msgspec.json.encode(status_of(busy)).decode()

    for content_hash in busy.loop.sources.hashes().values():
        assert isinstance(content_hash, str)
        assert content_hash not in shown
    assert re.search("[0-9a-f]{32}", shown) is None


def test_who_may_lead_and_does_not_write_yet_takes_over(running: Running, client: Client) -> None:
    loop = running.loop
    election = LeaseElection(client, RELEASE.namespace, "psw-sync", "me", lambda _: None)
    until(lambda: loop.is_leading)
    unread = election.unread
    assert leader_status(loop, "psw-sync", election) == LeaderStatus(
        leading=True, lease="psw-sync", identity="me", problem=unread
    )
    assert not leader_status(loop, "", None).taking_over

    loop.set_leading(False)
    found = leader_status(loop, "psw-sync", election)
    assert (found.leading, found.taking_over, found.holder, found.problem) == (False, False, "", unread)
    election._try_once()
    found = leader_status(loop, "psw-sync", election)
    assert (found.leading, found.taking_over, found.holder, found.problem) == (False, True, "me", "")
    assert leader_status(loop, "", None) == LeaderStatus(leading=False, taking_over=True)


def test_the_metrics_tell_the_same(busy: Running) -> None:
    leader = LeaderStatus(leading=True, lease="psw-sync")
    busy.metrics.follow_state(lambda: controller_status(busy.loop, RELEASE, leader, 0.0, examples=0))
    exported: dict[str, float] = {}
    expected: dict[str, float] = {}

    def differing() -> list[str]:
        """Read both; a namespace that fails can be tried again between the two."""
        nonlocal exported, expected
        exported, expected = series(generate_latest(busy.metrics.registry).decode()), as_metrics(status_of(busy))
        return [
            name
            for name, value in expected.items()
            if abs(exported[name] - value) > (SAMPLE_SECONDS if "_seconds" in name else 0)
        ]

    until(lambda: differing() == [])

    states = ("pullsecrets_sync_", "leader_election_")
    happened = ("_writes_total", "_restarts_total", "_judged_service_accounts_total")
    assert {name for name in exported if name.startswith(states) and not name.partition("{")[0].endswith(happened)} == {
        name
        for name in expected
        if name.startswith(states) and not name.endswith("pullsecrets_sync_undone_writes_total")
    }


def test_what_is_put_right_is_current(api: FakeApiServer, busy: Running) -> None:
    api.remove(secret_path("a"))
    until(lambda: numbers(status_of(busy)) == {"current": 3})

    put_namespace(api, "b", "no")
    until(lambda: numbers(status_of(busy)) == {"current": 2})
    assert secret(status_of(busy)).selected_namespaces == 2


def test_a_namespace_that_went_unseen_is_forgotten_at_the_next_pass(api: FakeApiServer, busy: Running) -> None:
    api.go_away()
    until(lambda: status_of(busy).watches_down)
    for name in ("a", "b"):
        for path in ("serviceaccounts/default", "secrets/pull"):
            api.remove(f"/api/v1/namespaces/{name}/{path}")
        api.remove(f"/api/v1/namespaces/{name}")
    api.remove(secret_path("b", "old"))
    api.come_back()
    until(lambda: status_of(busy).watches_down == 0 and busy.loop.caches.namespaces.get("a") is None)

    busy.loop.enqueue_all()

    until(lambda: numbers(status_of(busy)) == {"current": 1} and numbers(status_of(busy), "old") == {})
    until(lambda: {each.namespace for each in status_of(busy).failing} == {"c"})


def test_a_rotation_is_seen_at_once(api: FakeApiServer, busy: Running) -> None:
    api.inject(Answer(500), "apply", plural="secrets", name="pull", times=None)
    put_source(api, "second")

    until(lambda: numbers(status_of(busy)).keys() & {"stale", "failing"})
    assert numbers(status_of(busy)).get("current", 0) == 0


def test_while_a_source_is_missing_copies_are_kept_outdated_or_missing(api: FakeApiServer, running: Running) -> None:
    for name in ("a", "b"):
        opt_in(api, name)
    until(lambda: numbers(status_of(running)) == {"current": 2})
    api.remove(f"/api/v1/namespaces/{RELEASE.namespace}/secrets/harbor")
    until(lambda: numbers(status_of(running)) == {"kept": 2})
    assert named(status_of(running)) == {("a", "kept", ""), ("b", "kept", "")}
    assert status_of(running).failing_namespaces == 0

    edit_copy(api, "b")
    opt_in(api, "c")
    running.loop.reconfigure(replace(CONFIGURATION, pull_secrets=SECRETS))

    until(lambda: numbers(status_of(running)) == {"kept": 2, "stale": 1})
    until(lambda: numbers(status_of(running), "waiting") == {"missing": 3})
    running.metrics.follow_state(lambda: status_of(running, examples=0))
    exported = series(generate_latest(running.metrics.registry).decode())
    assert exported['pullsecrets_sync_copies{pull_secret="pull",state="kept"}'] == 2
    assert exported['pullsecrets_sync_copies{pull_secret="pull",state="stale"}'] == 1
    assert exported["pullsecrets_sync_failing_namespaces"] == 0


def test_the_page_promises_no_write_that_waits_for_a_source(api: FakeApiServer, running: Running) -> None:
    opt_in(api)
    until(lambda: numbers(status_of(running)) == {"current": 1})
    api.remove(f"/api/v1/namespaces/{RELEASE.namespace}/secrets/harbor")
    until(lambda: reasons(running) == {"a": ("kept", "copy-kept")})

    edit_copy(api, "a")
    until(lambda: reasons(running) == {"a": ("stale", "copy-outdated")})

    running.loop.reconfigure(replace(CONFIGURATION, pull_secrets=(PullSecret("waiting", ("absent",)),)))
    until(lambda: reasons(running) == {"a": ("missing", "source-unavailable")})


def test_lists_are_cut_and_their_numbers_are_not(api: FakeApiServer, client: Client) -> None:
    put_namespace(api, RELEASE.namespace, "")
    for number in range(EXAMPLES + 15):
        put_namespace(api, f"a-{number}")
    running = Running(client)
    running.start()
    until(lambda: numbers(status_of(running)) == {"missing": EXAMPLES + 15})

    assert len(secret(status_of(running)).not_current) == EXAMPLES
    assert secret(status_of(running, examples=0)).not_current == ()
    running.stop()


def test_who_stands_by_knows_of_no_copies_and_takes_no_blame(api: FakeApiServer, client: Client) -> None:
    put_source(api, "first")
    opt_in(api)
    running = Running(client)
    running.start(leading=False)
    until(lambda: not running.loop.caches.unsynced() and running.loop.queue.state().waiting)

    status = status_of(running)
    assert numbers(status) == {}
    assert (status.oldest_unreconciled, status.last_full_pass_seconds) == (None, 0.0)
    assert (secret(status).ready, status.queue.waiting) == (True, 1)

    running.leads = True
    running.loop.set_leading(leading=True)
    until(lambda: numbers(status_of(running)) == {"current": 1})

    running.loop.set_leading(leading=False)
    assert numbers(status_of(running)) == {}
    running.stop()


def test_the_failures_of_a_term_end_with_it(busy: Running) -> None:
    account = busy.loop.contention
    for _ in range(REFERENCES.reverts + 1):
        account.record_references("a", "default", ["pull"])
    assert status_of(busy).contended

    busy.leads = False
    busy.loop.set_leading(leading=False)

    status = status_of(busy)
    assert (status.failing_namespaces, status.failing) == (0, ())
    assert (status.contended_objects, status.contended) == ({}, ())


def test_what_a_person_must_act_on_is_counted_by_every_reason_id(busy: Running) -> None:
    problems = status_of(busy).problems
    assert list(problems) == [*SourceReason, *ExpiryReason, *HoldReason, *FindingReason]
    assert {reason: number for reason, number in problems.items() if number} == {
        "source-absent": 1,
        "source-unavailable": 1,
        "copy-conflict": 1,
    }


def test_who_keeps_undoing_is_shown(api: FakeApiServer, running: Running) -> None:
    opt_in(api)
    for _ in range(REFERENCES.reverts):
        until(lambda: is_right(api))
        put_account(api, "a", "mine")
    until(lambda: is_right(api))
    # A write is seen at the API server a moment before the one who made it takes note.
    until(lambda: status_of(running).contended_objects == {"ServiceAccount": 1})

    status = status_of(running)
    assert [(each.namespace, each.name, each.pause_seconds) for each in status.contended] == [("a", "default", 60.0)]
    assert status.undone_writes == REFERENCES.reverts


def test_a_full_pass_that_has_ended_is_told(api: FakeApiServer, running: Running) -> None:
    opt_in(api)
    until(lambda: is_right(api))
    running.loop.enqueue_all()
    running.settle()
    ended = status_of(running).last_full_pass_seconds

    until(lambda: status_of(running).last_full_pass_seconds > ended)
    running.loop.enqueue_all()
    until(lambda: status_of(running).last_full_pass_seconds < ended + 1.0)


def test_every_watch_is_shown(api: FakeApiServer, running: Running) -> None:
    of = ("namespaces", "serviceaccounts", "secrets named pull", "secrets in psw-system named harbor")

    def watches() -> dict[str, tuple[bool, bool]]:
        return {watch.of: (watch.synced, watch.connected) for watch in status_of(running).watches}

    until(lambda: watches() == dict.fromkeys(of, (True, True)))
    api.go_away()
    until(lambda: watches() == dict.fromkeys(of, (True, False)))
    assert status_of(running).watches_down == 4


def test_it_is_json_that_reads_back(busy: Running) -> None:
    status = status_of(busy)

    assert msgspec.json.decode(msgspec.json.encode(status), type=SyncStatus) == status


NAMESPACES = 10_000
T = TypeVar("T")


def counted(act: Callable[[], T]) -> tuple[int, T]:
    """Return how many calls of Python functions something takes, and its result."""
    calls = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(note)
    try:
        result = act()
    finally:
        sys.setprofile(None)
    return calls, result


@pytest.fixture
def large(client: Client) -> Iterator[Running]:
    """A loop that believes to look after 10,000 namespaces; it has nothing to do with any."""
    running = Running(client)
    status_index, queue = running.loop.status_index, running.loop.queue
    for number in range(NAMESPACES):
        name = f"namespace-{number:05}"
        bad = CopyState.CONFLICTING if number % 100 == 0 else CopyState.STALE
        status_index.record(name, [CopyStatus("pull", bad, f"sha256:{number % 7}" if bad is CopyState.STALE else "")])
        if number % 50 == 0:
            status_index.namespace_failed(name, Result.DENIED)
    queue.add_all(f"namespace-{number:05}" for number in range(NAMESPACES))
    running.loop.sources.configure(CONFIGURATION)
    running.loop._leading_since = time.monotonic()
    yield running
    running.loop.caches.stop()
    for reflector in running.loop.caches._reflectors.values():
        reflector.join(5.0)


def test_a_scrape_of_10_000_namespaces_is_cheap(large: Running) -> None:
    leader = LeaderStatus(leading=True)
    large.metrics.follow_state(lambda: controller_status(large.loop, RELEASE, leader, 0.0, examples=0))
    generate_latest(large.metrics.registry)  # what is imported or compiled once is

    calls, exposed = counted(lambda: generate_latest(large.metrics.registry))
    tracemalloc.start()
    generate_latest(large.metrics.registry)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (
        sum(n for name, n in series(exposed.decode()).items() if name.startswith("pullsecrets_sync_copies{"))
        == NAMESPACES
    )
    assert calls < NAMESPACES  # a look at each namespace would be a call for each at least
    assert peak < 1024 * 1024


def test_a_status_of_10_000_namespaces_is_quick_and_short(large: Running) -> None:
    calls, status = counted(lambda: controller_status(large.loop, RELEASE, LeaderStatus(leading=True), 0.0))

    assert calls < NAMESPACES
    assert len(msgspec.json.encode(status)) < 20_000


def test_a_pull_secret_of_the_tenants_has_no_copies_and_nothing_is_waited_for(
    api: FakeApiServer, running: Running
) -> None:
    opt_in(api)
    put_namespace(api, "b", "disabled")
    owned = PullSecret("own", (), tenant_owned=True)
    running.loop.reconfigure(replace(CONFIGURATION, pull_secrets=(owned,), retired=()))
    until(lambda: references_in(api, "a") == ["mine", "own"])
    running.settle()

    found = secret(status_of(running), "own")
    assert (found.tenant_owned, found.ready, found.problem, found.not_current) == (True, True, "", ())
    assert set(found.copies.values()) == {0}
    certificates = IssuedCertificateMetrics(CollectorRegistry())
    page = page_data(running.loop, status_of(running), Health(), running.recorder, certificates)
    states = {each.name: str(each.state) for each in page.namespaces}
    assert (states["a"], states["b"]) == ("references only", "not selected")
    assert judge(page, []).text == "No namespace needs a copy"
    assert "belongs to each namespace" in render(page, PageQuery())
    # The API server gets no request for the Secret.
    assert not [request for request in api.seen() if request.target.name == "own" or "own" in str(request.query)]
    assert "own" not in str(series(generate_latest(running.metrics.registry).decode()))
