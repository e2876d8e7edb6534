"""Watches that look well and are behind: sync notices it without a restart, and puts everything right."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.bench.filling import Filling
from tests.cluster import kubeconfig
from tests.cluster.cluster import Cluster
from tests.cluster.ports import free_port
from tests.cluster.programs import LOOPBACK
from tests.integration.faults.balancer import Balancer
from tests.integration.faults.faultlink import Answer
from tests.integration.faults.latelink import LateLink
from tests.integration.faults.remote import remote_sync
from tests.integration.site.estate import Estate, new_password
from tests.integration.site.playground import COPY, Playground, eventually, until_right

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.binaries import Binaries
    from tests.integration.faults.faultlink import Request

RIGHT_SECONDS = 30.0
"""From the last disturbance, while the fault lasts: everything must be right by then."""

GARBAGE = Answer(200, b'{"type":"MODIFIED","object":{"metadata":{"name":\n')
ERROR_EVENT = Answer(200, b'{"type":"ERROR","object":{"kind":"Status","code":500,"message":"cannot be decoded"}}\n')


@pytest.fixture(scope="module")
def own_cluster(control_plane: Binaries) -> Iterator[Cluster]:  # noqa: ARG001 (built before it is started)
    """A cluster that these tests may break."""
    with Cluster.start() as cluster:
        yield cluster


@pytest.fixture
def site(own_cluster: Cluster) -> Iterator[Playground]:
    with Playground.make(own_cluster) as playground:
        playground.set_source(new_password())
        yield playground


def watches(request: Request) -> bool:
    return "watch=true" in request.target


@pytest.mark.parametrize("answer", [pytest.param(GARBAGE, id="garbage"), pytest.param(ERROR_EVENT, id="error-event")])
def test_a_watch_history_that_cannot_be_decoded(site: Playground, answer: Answer) -> None:
    """The watches deliver no change while the fault lasts, so lists must find it."""
    with remote_sync(site, "sync") as remote, Estate(site) as estate, remote.proxy.answering(answer, watches):
        remote.proxy.reset()
        estate.disturb(new_password())
        begun = time.monotonic()
        seconds = estate.await_right(begun, RIGHT_SECONDS)
        print(f"right after {seconds:.1f} s, {remote.proxy.load(begun, time.monotonic()):.1f} requests a second")
        assert remote.alive


def test_a_watch_that_swallows_what_comes(site: Playground) -> None:
    """The watches fall silent one by one; everything else works, and no request fails that could tell."""
    with remote_sync(site, "sync", "--no-leader-elect") as remote, Estate(site) as estate:
        with remote.proxy.silent(new=False):
            estate.disturb(new_password())
            seconds = estate.await_right(time.monotonic(), RIGHT_SECONDS)
        print(f"right after {seconds:.1f} s")
        assert remote.alive


def test_an_api_server_that_is_cut_off_from_etcd_and_goes_on_serving_watches(
    site: Playground, own_cluster: Cluster
) -> None:
    """Two API servers behind a balancer that leaves established connections alone; one of them is stale."""
    port = free_port()
    file = own_cluster.directory / f"{site.installation.release}-balanced.kubeconfig"
    token = kubeconfig.token_of(site.installation.sync_kubeconfig)
    kubeconfig.with_token(file, f"https://{LOOPBACK}:{port}", own_cluster.ca_file, token)
    with (
        LateLink(own_cluster.etcd_port) as to_etcd,
        own_cluster.second_api_server(to_etcd.port) as stale_port,
        Balancer(port) as balancer,
    ):
        balancer.tell([stale_port])
        sync = site.installation.start_sync(f"--kubeconfig={file}", "--no-leader-elect", name="sync")
        sync.wait_ready()
        with Estate(site) as estate:
            balancer.tell([own_cluster.api_port])
            to_etcd.hold()
            estate.disturb(new_password())
            seconds = estate.await_right(time.monotonic(), RIGHT_SECONDS)
            print(f"right after {seconds:.1f} s")
        assert sync.program.exit_code is None
        sync.kill()


def test_a_copy_that_is_deleted_before_the_answer_to_its_write_arrives_is_written_again(site: Playground) -> None:
    """The watch reports the copy and its end first; then the late answer says that the copy exists."""
    with remote_sync(site, "sync") as remote:
        password = new_password()
        site.set_source(password)
        witness = site.namespace(selected=True)
        site.await_selected(witness, password)
        name = f"{site.installation.release}-late"
        writes_it = f"/{name}/secrets/"
        with remote.proxy.answering_late(lambda request: request.writes and writes_it in request.target) as withheld:
            Filling(site.cluster.kubeconfig).create([name], {site.label: "enabled"})
            eventually(lambda: site.get(name, "secrets", COPY))
            site.delete(name, "secrets", COPY)
            # Sync has received a later event of the same watch, so it has received the deletion of the copy too.
            site.delete(witness, "secrets", COPY)
            eventually(lambda: site.get(witness, "secrets", COPY))
            # Sync waits for the answer. On a slow machine it may have given that up, and have asked once more.
            assert site.get(name, "secrets", COPY) is None or len(withheld.requests) > 1

        site.await_selected(name, password)
        assert remote.alive


def test_an_etcd_that_is_put_back_to_an_older_copy(site: Playground, own_cluster: Cluster) -> None:
    """Later writes are lost, and the resourceVersions are lower than those that sync has seen."""
    with remote_sync(site, "sync") as remote:
        kept, left, late = (site.namespace(selected=True) for _ in range(3))
        before = new_password()
        site.set_source(before)
        for namespace in (kept, left, late):
            site.await_selected(namespace, before)
        # Of this one the copy of etcd has neither copy nor reference.
        remote.process.program.signal(signal.SIGSTOP)
        unseen = site.namespace(selected=True)
        site.delete(late, "secrets", COPY)
        saved = own_cluster.save_etcd()
        remote.process.program.signal(signal.SIGCONT)
        site.await_selected(unseen, before)
        site.await_selected(late, before)
        site.opt(left, None)
        site.await_left(left)
        for _ in range(20):
            after = new_password()
            site.set_source(after)
        lost = site.namespace(selected=True)
        site.await_selected(lost, after)
        own_cluster.restore_etcd(saved)
        back = time.monotonic()

        def wrong() -> Iterator[str]:
            for namespace in (kept, left, unseen, late):
                if site.password_in_copy(namespace) != before or COPY not in (site.references(namespace) or ()):
                    yield namespace

        print(f"right {until_right(wrong, back, RIGHT_SECONDS):.1f} s after its return")
        # And it goes on: with versions that sync has seen before, of other objects.
        final = new_password()
        site.set_source(final)
        new = site.namespace(selected=True)
        site.opt(left, None)
        for namespace in (kept, unseen, late, new):
            site.await_selected(namespace, final)
        site.await_left(left)
        eventually(lambda: site.get(lost, "secrets", COPY) is None)
        assert remote.alive
