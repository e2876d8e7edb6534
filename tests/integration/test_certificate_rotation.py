"""Certificates and their authorities change under load, one replica learns of it late, and not a handshake fails.

``ROTATION_SECONDS=120`` makes the long run of it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from tests.cluster import programs
from tests.cluster.cluster import Cluster
from tests.cluster.ports import free_port
from tests.cluster.processes import PullSecrets
from tests.integration.faults.balancer import Balancer
from tests.integration.faults.latelink import LateLink
from tests.integration.site.creates import SteadyCreates, calls, failed_open, rejected
from tests.integration.site.handshakes import Handshakes, ca_bundle
from tests.integration.site.playground import Playground, eventually

SECONDS = float(os.environ.get("ROTATION_SECONDS", "12"))
LEAST_PER_SECOND = 100 if "ROTATION_SECONDS" in os.environ else 30
"""Fewer where other tests share the machine, as in the restarts of replicas."""

LEAF_SECONDS = 2.0
AUTHORITY_SECONDS = 10.0
"""Between two certificates, and between two authorities."""

SHORT_LIVES = ("--ca-lifetime=16s", "--tls-lifetime=4s", "--ca-settle=250ms")
"""Renewed after two thirds of them, from a beginning that is backdated and in whole seconds: every 2 s and 10 s."""

SHORT_LIVED_LAG = 0.6
"""Seconds. To a certificate of 4 s what 90 s are to one of 10 minutes, the shortest that the chart takes."""

LONG_LIVED_LAG_SHARE = 0.75
"""Of the run: 90 s in the long run of 120 s, so there it is not scaled at all."""

SETTLE_SECONDS = 0.25


@dataclass
class Rotating:
    """Two replicas behind a balancer; what the second one hears of the API server comes over a link of its own."""

    playground: Playground
    link: LateLink
    replicas: dict[int, PullSecrets]
    balancer: Balancer

    @property
    def cluster(self) -> Cluster:
        return self.playground.cluster

    def bundle(self) -> bytes:
        return ca_bundle(self.cluster.api, self.playground.installation.webhook_configuration)

    def failed_handshakes(self) -> int:
        return sum(number(replica, "pullsecrets_admission_tls_handshake_failures_total") for replica in self.ready())

    def ready(self) -> list[PullSecrets]:
        return list(self.replicas.values())

    def delete(self, secret: str) -> None:
        self.playground.delete(self.playground.installation.namespace, "secrets", secret)


def number(process: PullSecrets, metric: str, labels: str = "") -> int:
    found = re.search(rf"^{metric}{re.escape(labels)} (\S+)$", process.metrics(), re.MULTILINE)
    return int(float(found[1])) if found else 0


def written(sync: PullSecrets, what: str) -> int:
    return number(sync, "pullsecrets_certificate_writes_total", f'{{what="{what}"}}')


def by_way_of(link: LateLink, kubeconfig: Path) -> Path:
    """Return a kubeconfig like this one whose way to the API server is the link."""
    document = yaml.safe_load(kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = f"https://{programs.LOOPBACK}:{link.port}"
    late = kubeconfig.with_name(f"late-{kubeconfig.name}")
    late.touch(mode=0o600)
    late.write_text(yaml.safe_dump(document))
    return late


@contextmanager
def rotating(cluster: Cluster, *sync_flags: str) -> Iterator[tuple[Rotating, PullSecrets]]:
    port = urlsplit(cluster.url).port
    assert port is not None
    with (
        Playground.make(cluster) as playground,
        Balancer(playground.installation.webhook_port) as balancer,
        LateLink(port) as link,
    ):
        installation = playground.installation
        playground.set_source("first")
        sync = installation.start_sync(*sync_flags)
        late = by_way_of(link, installation.webhook_kubeconfig)
        replicas = {}
        for name, flags in (("on-time", ()), ("late", (f"--kubeconfig={late}",))):
            secure = free_port()
            replicas[secure] = installation.start_serve(f"--secure-port={secure}", *flags, name=f"serve-{name}")
        for process in (sync, *replicas.values()):
            process.wait_ready()
        balancer.tell(list(replicas))
        yield Rotating(playground, link, replicas, balancer), sync


@contextmanager
def no_handshake_lost(world: Rotating) -> Iterator[Handshakes]:
    """Create Pods and shake hands all the while; at the end nothing may have failed, whoever's side it is told from."""
    playground, cluster = world.playground, world.cluster
    namespace = playground.namespace(selected=True)
    playground.await_selected(namespace, "first")
    playground.await_injection(namespace)
    opened, called, failed = failed_open(cluster), calls(cluster), world.failed_handshakes()
    accepted, refused = world.balancer.accepted, rejected(cluster)
    log = cluster.log(programs.API_SERVER)
    begin = log.stat().st_size
    handshakes = Handshakes(world.bundle, list(world.replicas), SETTLE_SECONDS)
    with SteadyCreates(cluster, namespace) as creates, handshakes:
        yield handshakes
    opened, called = failed_open(cluster) - opened, calls(cluster) - called
    accepted = world.balancer.accepted - accepted
    print(
        f"{creates.patched} Pods, {creates.per_second:.0f} a second; {called} calls, {opened} failed open; "
        f"{accepted} handshakes of the API server, {handshakes.made} more handshakes, {len(handshakes.failures)} failed"
    )
    assert handshakes.failures == []
    assert creates.failures == []
    assert (opened, world.failed_handshakes() - failed) == (0, 0)
    assert rejected(cluster) == refused
    assert called >= creates.patched
    assert accepted > 0
    with log.open("rb") as lines:
        lines.seek(begin)
        webhook = f":{playground.installation.webhook_port}/".encode()
        assert [line for line in lines if webhook in line and b"fail" in line.lower()] == []
    assert creates.per_second >= LEAST_PER_SECOND


def test_certificates_that_live_for_seconds_are_renewed_in_time_everywhere(cluster: Cluster) -> None:
    with rotating(cluster, *SHORT_LIVES) as (world, sync):
        world.link.delay = SHORT_LIVED_LAG
        before = written(sync, "certificate"), written(sync, "authority")
        with no_handshake_lost(world) as handshakes:
            time.sleep(SECONDS)  # the length of the run, not a wait for something
        certificates, authorities = written(sync, "certificate") - before[0], written(sync, "authority") - before[1]
        print(f"{certificates} certificates, {authorities} authorities in {SECONDS:g} s, {SHORT_LIVED_LAG} s late")
        assert certificates >= SECONDS / LEAF_SECONDS * 0.7
        assert authorities >= max(1, int(SECONDS / AUTHORITY_SECONDS * 0.7))
        for seen in handshakes.seen.values():
            assert len(seen) >= SECONDS / LEAF_SECONDS * 0.7


def test_a_replica_that_is_held_back_is_trusted_through_all_authorities_that_come_and_go(cluster: Cluster) -> None:
    with rotating(cluster, "--ca-lifetime=2h", "--tls-lifetime=1h", f"--ca-settle={SETTLE_SECONDS * 1000:.0f}ms") as (
        world,
        sync,
    ):
        installation, (on_time, late) = world.playground.installation, world.replicas
        with no_handshake_lost(world) as handshakes:
            begun = time.monotonic()
            world.link.hold()
            eventually(lambda: handshakes.seen[late])
            turns = 0
            while (elapsed := time.monotonic() - begun) < SECONDS * LONG_LIVED_LAG_SHARE:
                if elapsed >= turns * LEAF_SECONDS:
                    turns += 1
                    is_of_authority = turns % int(AUTHORITY_SECONDS / LEAF_SECONDS) == 1
                    world.delete(installation.ca_secret if is_of_authority else installation.tls_secret)
                time.sleep(0.01)
            assert len(handshakes.seen[late]) == 1
            world.link.let_go()
            eventually(lambda: len(handshakes.seen[late]) > 1)
            time.sleep(max(0.0, begun + SECONDS - time.monotonic()))
        authorities = written(sync, "authority") - 1
        print(f"{written(sync, 'certificate')} certificates, {authorities} authorities; late by {elapsed:.0f} s")
        assert authorities >= max(1, int(SECONDS * LONG_LIVED_LAG_SHARE / AUTHORITY_SECONDS))
        assert written(sync, "certificate") >= turns * 0.7
        assert len(handshakes.seen[on_time]) >= turns * 0.7
