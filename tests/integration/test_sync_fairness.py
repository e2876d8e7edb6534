"""Namespaces whose writes hang, beside healthy ones: the trouble of the former is not the trouble of the latter."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.bench.filling import Filling
from tests.integration.faults.denier import Denier
from tests.integration.site.playground import COPY, Playground, eventually, service_account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster.cluster import Cluster

    Maker = Callable[..., Playground]

HEALTHY = 5
NEW = 5
HANG_SECONDS = 10
TIMES, SECONDS = 5.0, 2.0
"""What healthy namespaces may take: so many times what they took before, or so many seconds, whichever is more."""

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

    def new_namespace(self) -> float:
        """Return the seconds from the creation of a healthy namespace to its copy, the worst of a few."""
        return max(self._new_namespace() for _ in range(NEW))

    def rotation(self) -> float:
        """Return the seconds from a rotation to the last copy of the healthy namespaces."""
        self._rotated += 1
        password = f"rotated-{self._rotated}"
        started = time.monotonic()
        self.ours.set_source(password)
        eventually(lambda: all(self.ours.password_in_copy(name) == password for name in self.healthy))
        return time.monotonic() - started

    def _new_namespace(self) -> float:
        self._made += 1
        name = f"{self.ours.installation.release}-new-{self._made}"
        started = time.monotonic()
        Filling(self.ours.cluster.kubeconfig).create([name], {self.ours.label: "enabled"})
        eventually(lambda: self.ours.password_in_copy(name))
        return time.monotonic() - started

    def has_copies(self, namespaces: list[str]) -> bool:
        return all(self.ours.get(name, "secrets", COPY) for name in namespaces)


@pytest.fixture
def denier(cluster: Cluster) -> Iterator[Denier]:
    with Denier(cluster, "hanging") as denier:
        yield denier


def fair(control: float, seconds: float) -> bool:
    print(f"{seconds:.2f} s beside {control:.2f} s")
    return seconds <= max(TIMES * control, SECONDS)


def test_copies_that_hang_in_150_namespaces_delay_no_healthy_one(playground: Maker, denier: Denier) -> None:
    ours = playground()
    ours.set_source("first")
    ours.installation.start_sync().wait_ready()
    estate = Estate(ours, sick=150)
    eventually(lambda: estate.has_copies([*estate.healthy, *estate.sick]))
    rotated, made = estate.rotation(), estate.new_namespace()

    with denier.registered("hanging.example.com", f"/slow/{HANG_SECONDS}", {estate.mark: "yes"}):
        eventually(lambda: hangs(ours, estate.sick[0], denier))
        # None of them is known to hang yet.
        assert fair(rotated, estate.rotation())
        assert fair(made, estate.new_namespace())
        # Now many are.
        assert fair(rotated, estate.rotation())
        assert fair(made, estate.new_namespace())


def test_service_accounts_that_hang_in_16_namespaces_delay_no_healthy_one(playground: Maker, denier: Denier) -> None:
    ours = playground()
    ours.set_source("first")
    ours.installation.start_sync().wait_ready()
    estate = Estate(ours, sick=16, accounts=10)
    eventually(lambda: estate.has_copies(estate.healthy))
    rotated, made = estate.rotation(), estate.new_namespace()

    where = {estate.mark: "yes"}
    with denier.registered("hanging.example.com", f"/slow/{HANG_SECONDS}", where, resources=["serviceaccounts"]):
        called = denier.called
        for namespace in estate.sick:
            ours.opt(namespace, "enabled")
        eventually(lambda: denier.called > called)
        assert fair(made, estate.new_namespace())
        assert fair(rotated, estate.rotation())
        assert estate.has_copies(estate.sick)


def hangs(ours: Playground, namespace: str, denier: Denier) -> bool:
    """Write a Secret that is not ours in a namespace, and return whether the webhook is called by now."""
    called = denier.called
    try:
        ours.cluster.api.request(
            "POST",
            f"/api/v1/namespaces/{namespace}/secrets?dryRun=All&timeout=1s",
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"generateName": "probe-"}},
        )
    except OSError:
        return denier.called > called
    return denier.called > called
