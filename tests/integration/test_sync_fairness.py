"""Namespaces whose writes hang, beside healthy ones: the trouble of the former is not the trouble of the latter."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.bench.filling import Filling
from tests.integration.faults.denier import Denier
from tests.integration.site.playground import COPY, Playground, eventually, service_account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster.cluster import Cluster
    from tests.cluster.processes import PullSecrets

    Maker = Callable[..., Playground]

HEALTHY = 5
NEW = 5
WORKERS = 16
"""As the chart has it by default."""

HANG_SECONDS = 10
"""Longer than any turn of a healthy namespace, and shorter than what sync waits for an answer."""

WEBHOOK_SECONDS = 30
PATIENCE_SECONDS = 180.0
"""The claims are the counts: a busy machine takes long for everything."""

INTERRUPTED = "write interrupted"
ENDS = {INTERRUPTED, "namespace failed", "copy applied"}
"""Events of the log about the end of a write."""

FLAGS = ("--log-format=json", f"--workers={WORKERS}")
SICK_LABEL = "sick.example.com/hangs"


class Estate:
    """Healthy and sick namespaces, and how long the healthy ones wait for what is due to them."""

    def __init__(self, ours: Playground, sick: int, *, accounts: int = 0) -> None:
        self.ours = ours
        self._made = self._rotated = 0
        self.mark = f"{ours.installation.release}.{SICK_LABEL}"
        self.healthy = [ours.namespace(selected=True) for _ in range(HEALTHY)]
        self.sick = [f"{ours.installation.release}-sick-{number}" for number in range(sick)]
        filling = Filling(ours.cluster.kubeconfig)
        filling.create(self.sick, {self.mark: "yes", ours.label: "enabled" if not accounts else "later"})
        for namespace in self.sick if accounts else ():
            for number in range(accounts):
                ours.create(namespace, "serviceaccounts", service_account(f"builder-{number}"))

    def serves_new_namespaces(self) -> None:
        """Create healthy namespaces, one after the other, and wait for their copies."""
        for _ in range(NEW):
            self._made += 1
            name = f"{self.ours.installation.release}-new-{self._made}"
            Filling(self.ours.cluster.kubeconfig).create([name], {self.ours.label: "enabled"})
            eventually(partial(self.ours.password_in_copy, name), seconds=PATIENCE_SECONDS)

    def serves_a_rotation(self) -> None:
        """Rotate, and wait for the copies of the healthy namespaces."""
        self._rotated += 1
        password = f"rotated-{self._rotated}"
        self.ours.set_source(password)
        for name in self.healthy:
            eventually(partial(self.ours.password_in_copy, name), password.__eq__, seconds=PATIENCE_SECONDS)

    def has_copies(self, namespaces: list[str]) -> bool:
        return all(self.ours.get(name, "secrets", COPY) for name in namespaces)


class Log:
    """The ends of the writes of sick namespaces in the log of sync, from now on."""

    def __init__(self, sync: PullSecrets, sick: list[str]) -> None:
        self._sync = sync
        self._sick = set(sick)
        self._begins = len(sync.program.output)

    def ends(self) -> list[tuple[str, str]]:
        """Return namespace and event of every end, the oldest first."""
        lines = self._sync.program.output[self._begins :].splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        ends = [entry for entry in entries if entry.get("namespace") in self._sick and entry["event"] in ENDS]
        return [(entry["namespace"], entry["event"]) for entry in ends]

    def first_ends(self) -> dict[str, str]:
        """Return for each sick namespace how its first write ended: it was interrupted, or not."""
        return dict(reversed(self.ends()))

    def all_known(self) -> bool:
        """Return True if sync has found out about every sick namespace."""
        return len(self.first_ends()) == len(self._sick)

    def waited_out(self) -> int:
        """Return how many of them held a worker until the webhook answered."""
        return sum(end != INTERRUPTED for end in self.first_ends().values())


@pytest.fixture
def denier(cluster: Cluster) -> Iterator[Denier]:
    with Denier(cluster, "hanging") as denier:
        yield denier


def test_copies_that_hang_in_150_namespaces_delay_no_healthy_one(playground: Maker, denier: Denier) -> None:
    ours = playground()
    ours.set_source("first")
    sync = ours.installation.start_sync(*FLAGS)
    estate = Estate(ours, sick=150)
    eventually(lambda: estate.has_copies([*estate.healthy, *estate.sick]))

    path = f"/slow/{HANG_SECONDS}"
    with denier.registered("hanging.example.com", path, {estate.mark: "yes"}, timeout=WEBHOOK_SECONDS):
        eventually(lambda: denier.is_called_in(estate.sick[0]))
        log = Log(sync, estate.sick)
        # None of them is known to hang yet.
        estate.serves_a_rotation()
        estate.serves_new_namespaces()
        eventually(log.all_known, seconds=PATIENCE_SECONDS)
        # Those that hung while others waited gave their workers to them; the last ones had no others beside them.
        assert log.waited_out() < len(estate.sick) / 3
        # Now all of them are.
        estate.serves_a_rotation()
        estate.serves_new_namespaces()


def test_service_accounts_that_hang_in_16_namespaces_delay_no_healthy_one(playground: Maker, denier: Denier) -> None:
    ours = playground()
    ours.set_source("first")
    sync = ours.installation.start_sync(*FLAGS)
    estate = Estate(ours, sick=WORKERS, accounts=10)
    eventually(lambda: estate.has_copies(estate.healthy))

    where, path = {estate.mark: "yes"}, f"/slow/{HANG_SECONDS}"
    resources = ["serviceaccounts"]
    with denier.registered("hanging.example.com", path, where, resources=resources, timeout=WEBHOOK_SECONDS):
        # A write does not hang before the API server knows of the webhook.
        eventually(lambda: denier.is_called_in(estate.sick[0], "serviceaccounts"))
        eventually(lambda: not denier.waiting)
        log = Log(sync, estate.sick)
        for namespace in estate.sick:
            ours.opt(namespace, "enabled")
        eventually(lambda: denier.waiting >= WORKERS)
        estate.serves_new_namespaces()
        estate.serves_a_rotation()
        # All workers were with them, so at least one of them gave its worker away.
        assert INTERRUPTED in [end for _, end in log.ends()]
        eventually(lambda: estate.has_copies(estate.sick))
