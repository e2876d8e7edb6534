"""Many processes find nothing at the same moment, and each wants to issue: one authority comes of it.

``BOOTSTRAPS=50`` makes the large run of it.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
from base64 import b64decode
from pathlib import Path

from certs.bundle import parse
from tests.cluster.cluster import Cluster
from tests.cluster.processes import clean_environment
from tests.cluster.programs import LOOPBACK
from tests.cluster.supervise import Program, wait_until
from tests.integration.site.creates import failed_open
from tests.integration.site.handshakes import ca_bundle, shake
from tests.integration.site.playground import COPY, Playground, eventually, names, pod

PROCESSES = int(os.environ.get("BOOTSTRAPS", "10"))
START_SECONDS = 240.0
"""For all of them to be up: each imports its modules, on a machine with two cores."""

SETTLED_SECONDS = 60.0

WRITTEN = {"authority issued", "ca bundle written", "serving certificate issued"}
TRIED = {"authority issued", "certificate not written"}
"""Events of the three writes, and those of each process after its attempt to write first."""


def start(playground: Playground, folder: Path) -> list[Program]:
    installation = playground.installation
    shared = [str(installation.sync_kubeconfig), installation.namespace, installation.fullname, LOOPBACK]
    command = [sys.executable, "-m", "tests.integration.site.bootstrapper", *shared]
    return [
        playground.cluster.keeper.start(
            f"{installation.release}-bootstrap-{number}",
            [*command, str(folder / f"started-{number}"), str(folder / "go"), str(PROCESSES)],
            clean_environment(),
        )
        for number in range(PROCESSES)
    ]


def events(program: Program) -> list[str]:
    complete = (line for line in program.output.splitlines(keepends=True) if line.endswith("\n"))
    lines = [line for line in complete if line.startswith("{")]
    return [json.loads(line)["event"] for line in lines]


def secret(playground: Playground, name: str) -> dict[str, str]:
    found = playground.get(playground.installation.namespace, "secrets", name) or {}
    data: dict[str, str] = found.get("data") or {}
    return data


def test_of_many_processes_that_bootstrap_at_once_exactly_one_authority_comes(cluster: Cluster, tmp_path: Path) -> None:
    with Playground.make(cluster) as playground:
        installation = playground.installation
        serve = installation.start_serve()
        programs = start(playground, tmp_path)
        assert wait_until(lambda: len(list(tmp_path.glob("started-*"))) >= PROCESSES, START_SECONDS)
        assert secret(playground, installation.ca_secret) == {}

        (tmp_path / "go").touch()
        serve.wait_ready(SETTLED_SECONDS)
        written = [secret(playground, name) for name in (installation.ca_secret, installation.tls_secret)]
        bundle = ca_bundle(cluster.api, installation.webhook_configuration)

        eventually(
            lambda: [set(events(program)) for program in programs],
            lambda seen: set().union(*seen) >= WRITTEN and all(said & TRIED for said in seen),
        )
        for program in programs:
            assert program.stop() == 0
        assert [secret(playground, name) for name in (installation.ca_secret, installation.tls_secret)] == written
        assert ca_bundle(cluster.api, installation.webhook_configuration) == bundle

        said = [event for program in programs for event in events(program)]
        print(f"{PROCESSES} processes: { {event: said.count(event) for event in sorted(set(said))} }")
        for event in WRITTEN:
            assert said.count(event) == 1
        assert said.count("certificate not written") >= PROCESSES - 1
        assert written[0]["tls.crt"] == written[1]["ca.crt"]
        assert len(parse(bundle).certificates) == 1
        assert_trusted(playground, bundle)


def assert_trusted(playground: Playground, bundle: bytes) -> None:
    """What is served is what was issued, and the API server calls it."""
    cluster, installation = playground.cluster, playground.installation
    shown = ssl.DER_cert_to_PEM_cert(shake(installation.webhook_port, bundle))
    assert parse(shown.encode()).certificates == parse(leaf(playground)).certificates
    playground.set_source("first")
    installation.start_sync().wait_ready()
    namespace = playground.namespace(selected=True)
    playground.await_selected(namespace, "first")
    playground.await_injection(namespace)
    opened = failed_open(cluster)
    created = playground.create(namespace, "pods", pod("a", imagePullSecrets=[{"name": "theirs"}]), "?dryRun=All")
    assert names(created["spec"]) == ["theirs", COPY]
    assert failed_open(cluster) == opened


def leaf(playground: Playground) -> bytes:
    return b64decode(secret(playground, playground.installation.tls_secret)["tls.crt"])
