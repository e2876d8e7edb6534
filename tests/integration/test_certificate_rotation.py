"""Certificates and their authorities change under load, one replica learns of it late, and not a handshake fails.

``ROTATION_SECONDS=120`` makes the long run of it.
"""

from __future__ import annotations

import math
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

IS_LONG = "ROTATION_SECONDS" in os.environ
SECONDS = float(os.environ.get("ROTATION_SECONDS", "12"))
PER_SECOND = 160 if IS_LONG else 40
LEAST_PER_SECOND = 100
"""Pods, in the long run alone: where other tests share the machine, nobody knows how many it can do."""

LEAST_PODS = 30
"""With each certificate, at whatever speed."""

LEAF_SECONDS = 2.0
AUTHORITY_SECONDS = 10.0
"""Between two certificates, and between two authorities."""

SHORT_LIVES = ("--ca-lifetime=16s", "--tls-lifetime=4s") if IS_LONG else ("--ca-lifetime=60s", "--tls-lifetime=40s")
"""Renewed after two thirds of them, from a beginning that is backdated and in whole seconds: in the long run every 2 s
and 10 s, else every 25 s and 38 s. A certificate of 4 s has expired when a busy machine stands still for a second.
"""

CERTIFICATES = int(SECONDS / LEAF_SECONDS * 0.7) if IS_LONG else 3
AUTHORITIES = max(1, int(SECONDS / AUTHORITY_SECONDS * 0.7))
"""How many must have come before the run with short lives ends."""

RENEWED_SECONDS = 180.0
"""How long to wait for the next of them."""

SHORT_LIVED_LAG = 0.6
"""Seconds. To a certificate of 4 s what 90 s are to one of 10 minutes, the shortest that the chart takes. A process
takes a connection that is late by more than two seconds for broken, so the short run has no longer one.
"""

LONG_LIVED_LAG_SHARE = 0.75
"""Of the run: 90 s in the long run of 120 s, so there it is not scaled at all."""

TURNS = math.ceil(SECONDS * LONG_LIVED_LAG_SHARE / LEAF_SECONDS)
"""How many certificates come while a replica is held back."""

SETTLE_SECONDS = 0.25 if IS_LONG else 5.0
"""How long an API server may take to learn of a new bundle: on a busy machine more than a moment."""

SETTLE = f"--ca-settle={SETTLE_SECONDS * 1000:.0f}ms"


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
def no_handshake_lost(world: Rotating) -> Iterator[tuple[SteadyCreates, Handshakes]]:
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
    with SteadyCreates(cluster, namespace, PER_SECOND) as creates, handshakes:
        yield creates, handshakes
    opened, called = failed_open(cluster) - opened, calls(cluster) - called
    accepted = world.balancer.accepted - accepted
    print(
        f"{creates.patched} Pods, {creates.per_second:.0f} a second; {called} calls, {opened} failed open; "
        f"{accepted} handshakes of the API server, {handshakes.made} more handshakes, {len(handshakes.failures)} failed"
    )
    assert handshakes.failures == []
    assert creates.failures == []
    assert opened == 0
    # The replicas count those that are left out, too.
    assert world.failed_handshakes() - failed <= handshakes.left_out
    assert rejected(cluster) == refused
    assert called >= creates.patched
    assert accepted > 0
    with log.open("rb") as lines:
        lines.seek(begin)
        webhook = f":{playground.installation.webhook_port}/".encode()
        assert [line for line in lines if webhook in line and b"fail" in line.lower()] == []
    assert not IS_LONG or creates.per_second >= LEAST_PER_SECOND


def test_certificates_that_live_for_seconds_are_renewed_in_time_everywhere(cluster: Cluster) -> None:
    with rotating(cluster, *SHORT_LIVES, SETTLE) as (world, sync):
        world.link.delay = SHORT_LIVED_LAG
        before = written(sync, "certificate"), written(sync, "authority")
        with no_handshake_lost(world) as (creates, handshakes):
            begun = time.monotonic()
            for count in range(1, CERTIFICATES + 1):
                eventually(
                    lambda: min(map(len, handshakes.seen.values())),
                    lambda seen, count=count: seen > count,  # type: ignore[misc]
                    RENEWED_SECONDS,
                )
                creates.go_on(LEAST_PODS)
            eventually(lambda: written(sync, "authority") - before[1] >= AUTHORITIES, seconds=RENEWED_SECONDS)
            seconds = time.monotonic() - begun
            time.sleep(max(0.0, SECONDS - seconds))  # the length of the run, not a wait for something
        certificates, authorities = written(sync, "certificate") - before[0], written(sync, "authority") - before[1]
        print(f"{certificates} certificates, {authorities} authorities in {seconds:.0f} s, {SHORT_LIVED_LAG} s late")
        assert certificates >= CERTIFICATES


def test_a_replica_that_is_held_back_is_trusted_through_all_authorities_that_come_and_go(cluster: Cluster) -> None:
    with rotating(cluster, "--ca-lifetime=2h", "--tls-lifetime=1h", SETTLE) as (world, sync):
        installation, (on_time, late) = world.playground.installation, world.replicas
        with no_handshake_lost(world) as (creates, handshakes):
            begun = time.monotonic()
            world.link.hold()
            eventually(lambda: all(handshakes.seen.values()))
            for turn in range(TURNS):
                is_of_authority = turn % int(AUTHORITY_SECONDS / LEAF_SECONDS) == 0
                shown = len(handshakes.seen[on_time])
                world.delete(installation.ca_secret if is_of_authority else installation.tls_secret)
                # The next one can only be deleted when this one has been written.
                eventually(lambda shown=shown: len(handshakes.seen[on_time]) > shown)  # type: ignore[misc]
                creates.go_on(LEAST_PODS)
                time.sleep(max(0.0, begun + (turn + 1) * LEAF_SECONDS - time.monotonic()))
            held = time.monotonic() - begun
            assert len(handshakes.seen[late]) == 1
            world.link.let_go()
            eventually(lambda: len(handshakes.seen[late]) > 1)
            time.sleep(max(0.0, begun + SECONDS - time.monotonic()))
        # One of each was there before. What has been written is counted a moment later.
        least = max(1, int(SECONDS * LONG_LIVED_LAG_SHARE / AUTHORITY_SECONDS))
        authorities = eventually(lambda: written(sync, "authority") - 1, lambda seen: seen >= least)
        certificates = eventually(lambda: written(sync, "certificate") - 1, lambda seen: seen >= TURNS)
        print(f"{certificates} certificates, {authorities} authorities; late by {held:.0f} s")
        assert len(handshakes.seen[on_time]) > TURNS
