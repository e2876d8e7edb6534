"""Hundreds of renewals with faults, one after the other: no copy ever holds a credential after its time.

Each source has an issuer of its own, which works at least once in each lifetime. In between providers hang, fail or
answer garbage, issued Secrets are deleted, the API server is paused, and the leader is killed. ``RENEWALS=1000
NAMESPACES=500`` is the full size: see docs/development.md.
"""

from __future__ import annotations

import json
import os
import random
import time
from base64 import b64decode
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest

from tests.cluster import binaries, programs
from tests.cluster.cluster import Cluster
from tests.cluster.processes import PullSecrets
from tests.integration.rotations.leaders import leads
from tests.integration.site.background import Background
from tests.integration.site.playground import Playground, eventually
from tests.providers.folder import NAME, plugin_folder

RENEWALS = int(os.environ.get("RENEWALS", "20"))
NAMESPACES = int(os.environ.get("NAMESPACES", "20"))
SOURCES = 40 if RENEWALS > 100 else 10
PER_PULL_SECRET = 5
LIFETIME = 60
"""Seconds. A killed leader is replaced within 17 seconds, which must fit into half of it."""

PAUSE_SECONDS = 5.0
REST_SECONDS = 20.0
"""After the leader was killed or the API server paused, before the next fault: else the issuer cannot be asked."""

FAULTS = ("hang", "fail", "garbage", "other-version", "other-registry")
PULL_SECRETS = [f"pull-{number}" for number in range(SOURCES // PER_PULL_SECRET)]


def registry(number: int) -> str:
    return f"registry-{number}.example.com"


@dataclass
class Seen:
    """The contents of the copies: credentials by registry, and the seconds for which a copy had an expired one."""

    numbers: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    expired: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    looks: int = 0

    @property
    def renewals(self) -> int:
        """Credentials that have come to a copy, without the first of each source."""
        return sum(len(numbers) - 1 for numbers in self.numbers.values())

    def look(self, copy: dict[str, Any], at: float, seconds: float) -> None:
        """Note what a copy held at that time, ``seconds`` after the look before."""
        document = json.loads(b64decode(copy["data"][".dockerconfigjson"]))
        for host, entry in document["auths"].items():
            number, _, until = entry["password"].partition(" until ")
            self.numbers[host].add(number)
            if float(until) < at:
                self.expired[f"{copy['metadata']['namespace']} {host} {number}"] += seconds


class Observer(Background):
    """Reads all copies of one name at a time, in turn, from the API server's store and not from a cache."""

    def __init__(self, cluster: Cluster) -> None:
        self.seen = Seen()
        self._cluster = cluster
        super().__init__()

    def work(self) -> None:
        before = time.time()
        while not self.ended.wait(0.5):
            at = time.time()
            try:
                self._look(at - before)
            except OSError:  # the API server is paused; the next look is about this time as well
                continue
            before = at
            self.seen.looks += 1

    def _look(self, seconds: float) -> None:
        for name in PULL_SECRETS:
            asked_at = time.time()
            found = self._cluster.api.call("GET", f"/api/v1/secrets?fieldSelector=metadata.name={name}")
            for copy in found["items"]:
                self.seen.look(copy, asked_at, seconds)


class Faults(Background):
    """Does harm until it is left: to one source at a time, and now and then to the leader or the API server."""

    def __init__(self, ours: Playground, folder: Path, start: Callable[[], PullSecrets]) -> None:
        self.done: dict[str, int] = defaultdict(int)
        self._ours = ours
        self._folder = folder
        self._start = start
        self._random = random.Random(19)  # noqa: S311 - faults
        super().__init__()

    def work(self) -> None:
        rounds = 0
        while not self.ended.is_set():
            for _ in range(6):
                self._disturb_sources()
            (self._pause, self._kill)[rounds % 2]()
            rounds += 1
            self.ended.wait(REST_SECONDS)

    def _disturb_sources(self) -> None:
        """Let several issuers fail for a few seconds, and delete the Secret of another source."""
        chosen = self._random.sample(range(SOURCES), SOURCES // 5)
        for number in chosen:
            fault = self._random.choice(FAULTS)
            self.done[fault] += 1
            behave(self._folder / f"{number}", fault)
        deleted = self._random.choice([number for number in range(SOURCES) if number not in chosen])
        path = f"/api/v1/namespaces/{self._ours.installation.namespace}/secrets/{secret(self._ours, deleted)}"
        self.done["deleted"] += self._ours.cluster.api.request("DELETE", path).status == 200
        self.ended.wait(self._random.uniform(2, 6))
        for number in chosen:
            behave(self._folder / f"{number}", "answer")

    def _pause(self) -> None:
        self.done["paused"] += 1
        self._ours.cluster.signal_program(programs.API_SERVER, SIGSTOP)
        time.sleep(PAUSE_SECONDS)  # it is the fault
        self._ours.cluster.signal_program(programs.API_SERVER, SIGCONT)

    def _kill(self) -> None:
        for process in list(self._ours.installation.processes.values()):
            if process.program.exit_code is None and leads(process):
                self.done["killed"] += 1
                process.kill()
                self._start()


def behave(folder: Path, behaviour: str) -> None:
    (folder / "next").write_text(behaviour)
    (folder / "next").rename(folder / "behaviour")  # never read in half


def secret(ours: Playground, number: int) -> str:
    return f"{ours.installation.fullname}-issued-fake-{number}"


@pytest.fixture(scope="module")
def alone(control_plane: binaries.Binaries) -> Iterator[Cluster]:  # noqa: ARG001 (built before it is started)
    """A cluster for this test alone, because its API server is paused."""
    with Cluster.start() as cluster:
        yield cluster


def provider(folder: Path, number: int) -> dict[str, Any]:
    (folder / f"{number}").mkdir()
    variables = {"FAKE_FOLDER": str(folder / f"{number}"), "FAKE_DURATION": f"{LIFETIME}s"}
    env = [{"name": name, "value": value} for name, value in variables.items()]
    settings = {"name": f"fake-{number}", "command": NAME, "args": ["answer"], "images": [registry(number)]}
    return {"credentialProvider": {**settings, "env": env}}


def pull_secret(folder: Path, number: int) -> dict[str, Any]:
    """Return a pull secret of several sources, for the namespaces with its number."""
    sources = [provider(folder, PER_PULL_SECRET * number + each) for each in range(PER_PULL_SECRET)]
    selector = {"matchLabels": {"pull": f"{number}"}}
    return {"name": PULL_SECRETS[number], "sources": sources, "namespaceSelector": selector}


def test_no_copy_ever_holds_an_expired_credential(alone: Cluster, tmp_path: Path) -> None:
    plugins = plugin_folder(tmp_path / "plugins")
    pull_secrets = [pull_secret(tmp_path, number) for number in range(len(PULL_SECRETS))]
    with Playground.make(alone, pullSecrets=pull_secrets) as ours:

        def start() -> PullSecrets:
            name = f"sync-{len(ours.installation.processes)}"
            return ours.installation.start_sync(f"--providers={plugins}", name=name)

        start()
        start().wait_ready()
        namespaces = [
            ours.namespace(selected=True, labels={"pull": f"{n % len(PULL_SECRETS)}"}) for n in range(NAMESPACES)
        ]
        for number, namespace in enumerate(namespaces):
            name = PULL_SECRETS[number % len(PULL_SECRETS)]
            eventually(lambda where=namespace, name=name: ours.get(where, "secrets", name))  # type: ignore[misc]

        began_at = time.monotonic()
        with Observer(alone) as observer, Faults(ours, tmp_path, start) as faults:
            # The deadline is that of a schedule which renews each source once in each lifetime.
            seconds = LIFETIME * (2 + RENEWALS / SOURCES)
            eventually(lambda: observer.seen.renewals, lambda seen: seen >= RENEWALS, seconds=seconds)
        seen = observer.seen

    print(
        f"\n{seen.renewals} renewals of {SOURCES} sources, {NAMESPACES} namespaces, {time.monotonic() - began_at:.0f} s"
    )
    print(f"{dict(faults.done)}; {seen.looks} looks; {sum(seen.expired.values()):.0f} s with an expired credential")
    assert dict(seen.expired) == {}
    assert len(seen.numbers) == SOURCES
    assert faults.done["killed"] or RENEWALS < 40
