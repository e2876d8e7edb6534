"""Tenants that make as much work for sync as they can, beside new namespaces that have done nothing."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.bench.filling import CREATORS, Filling
from tests.cluster.processes import PullSecrets
from tests.integration.site.playground import COPY, Playground, eventually, names, service_account
from webhook.rules.backfill import ENFORCE_ANNOTATION
from webhook.sync.caches import JUDGED_PER_SECOND

Maker = Callable[..., Playground]

NEW_NAMESPACES = 150
DELAY_SECONDS, TIMES = 0.25, 5.0
"""The 99th percentile of new namespaces may be so many seconds, or so many times what the control takes."""

FLIPPING = 20
ACCOUNTS = 150
FLIP_SECONDS = 2.0
"""Time between two changes of the label of one namespace."""


MANY_ACCOUNTS = 1_500
EVENTS = 870
EVENTS_PER_SECOND = 87.0
JUDGED_PER_EVENT = 2
"""ServiceAccounts that an event may have judged: the one that it is about, as it is and as it was."""
PLANS = 5
"""Plans of the whole namespace, which the change at the end is worth."""


def create_accounts(ours: Playground, accounts: Iterable[tuple[str, str]], **fields: Any) -> None:  # noqa: ANN401 (any JSON)
    """Create ServiceAccounts, given by namespace and name, on several connections."""
    with ThreadPoolExecutor(CREATORS) as creators:
        for _ in creators.map(
            lambda key: ours.create(key[0], "serviceaccounts", service_account(key[1], **fields)), accounts
        ):
            pass


@dataclass(frozen=True, slots=True)
class Waits:
    """The 99th percentiles of new namespaces, and the median, in seconds."""

    copy: float
    """From the request that creates the namespace to its copy."""
    request: float
    """This request alone: the share of the API server."""
    median: float


class Newcomers:
    """Healthy namespaces that opt in one after the other."""

    def __init__(self, ours: Playground) -> None:
        self._ours = ours
        self._filling = Filling(ours.cluster.kubeconfig)
        self._numbers = itertools.count()

    def wait(self) -> Waits:
        requests, copies = zip(*(self._opt_in() for _ in range(NEW_NAMESPACES)), strict=True)
        return Waits(percentile(copies, 0.99), percentile(requests, 0.99), percentile(copies, 0.5))

    def _opt_in(self) -> tuple[float, float]:
        name = f"{self._ours.installation.release}-new-{next(self._numbers)}"
        started = time.monotonic()
        self._filling.create([name], {self._ours.label: "enabled"})
        created = time.monotonic()
        eventually(lambda: self._ours.get(name, "secrets", COPY))
        return created - started, time.monotonic() - started


@contextlib.contextmanager
def flipping(ours: Playground, namespaces: list[str]) -> Iterator[list[int]]:
    """Change the label of each namespace every FLIP_SECONDS; yield a list that counts the rounds."""
    rounds, ended = [0], threading.Event()
    filling = Filling(ours.cluster.kubeconfig)

    def flip() -> None:
        for value in itertools.cycle(("enabled", "disabled")):
            for namespace in namespaces:
                if ended.wait(FLIP_SECONDS / len(namespaces)):
                    return
                filling.label(namespace, {ours.label: value})
            rounds[0] += 1

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        yield rounds
    finally:
        ended.set()
        thread.join()


def percentile(seconds: Sequence[float], share: float) -> float:
    """Return the least of these that so large a share of them does not exceed."""
    return sorted(seconds)[math.ceil(len(seconds) * share) - 1]


def test_namespaces_that_flip_their_label_delay_no_new_one(playground: Maker) -> None:
    # The other one is not attacked: how long it takes at the same moment is the measure of a busy machine.
    ours, beside = playground(), playground()
    for site in (ours, beside):
        site.start_sync("first")
    newcomers, others = Newcomers(ours), Newcomers(beside)
    attackers = [f"{ours.installation.release}-flip-{number}" for number in range(FLIPPING)]
    Filling(ours.cluster.kubeconfig).create(attackers, {ours.label: "disabled"})
    create_accounts(ours, itertools.product(attackers, map("app-{}".format, range(ACCOUNTS))))
    control = newcomers.wait()

    with flipping(ours, attackers) as rounds, ThreadPoolExecutor(2) as both:
        eventually(lambda: rounds[0])
        attacked, spared = both.map(Newcomers.wait, (newcomers, others))

    print(
        f"{NEW_NAMESPACES} new namespaces beside {rounds[0]} rounds of flips: 99th percentile {attacked.copy:.3f} s, "
        f"of the first request alone {attacked.request:.3f} s; median {attacked.median:.3f} s. "
        f"Beside them: {spared.copy:.3f} s. "
        f"Without flips: {control.copy:.3f} s, {control.request:.3f} s, {control.median:.3f} s"
    )
    # On a machine that is busy with other things, the API server is the measure of what is slow, too.
    assert attacked.copy <= max(DELAY_SECONDS, TIMES * max(control.copy, spared.copy, attacked.request))


def stir(event: Callable[[int], object]) -> None:
    """Make events at their rate, given their numbers."""
    pace = threading.Event()

    def paced(number: int) -> None:
        pace.wait(CREATORS / EVENTS_PER_SECOND)
        event(number)

    with ThreadPoolExecutor(CREATORS) as writers:
        for _ in writers.map(paced, range(EVENTS)):
            pass


class Crowd:
    """A namespace with many ServiceAccounts, and what its tenant does to them."""

    def __init__(self, ours: Playground, sync: PullSecrets) -> None:
        self._ours, self._sync = ours, sync
        self._namespace = ours.namespace(selected=True)
        self._accounts = f"/api/v1/namespaces/{self._namespace}/serviceaccounts"
        ours.await_selected(self._namespace, "first")
        leaving = (f"old-{number}" for number in range(1, EVENTS, 4))
        names = [*map("app-{}".format, range(MANY_ACCOUNTS)), *leaving]
        create_accounts(ours, ((self._namespace, name) for name in names), imagePullSecrets=[{"name": COPY}])

    def change_nothing_of_ours(self, number: int) -> None:
        """Annotate a ServiceAccount, add a reference of the tenant's own, create one, or delete one, by turns."""
        kind, listed = number % 4, [{"name": COPY}, {"name": f"theirs-{number}"}]
        if kind == 0:
            new = service_account(f"new-{number}", imagePullSecrets=listed)
            self._ours.create(self._namespace, "serviceaccounts", new)
        elif kind == 1:
            self._ours.delete(self._namespace, "serviceaccounts", f"old-{number}")
        else:
            change = {"metadata": {"annotations": {"seen": "x"}}} if kind == 2 else {"imagePullSecrets": listed}
            self._patch(number, change)

    def enforce(self, number: int) -> None:
        """Have a ServiceAccount enforce its references, or no longer: sync has to look at each of these."""
        self._patch(number // 2, {"metadata": {"annotations": {ENFORCE_ANNOTATION: str(number % 2 == 0).lower()}}})

    def judged(self) -> int:
        """Return how many ServiceAccounts sync has judged since its start, when it has seen every event so far."""
        # It follows one more event, of which something is due.
        self._ours.create(self._namespace, "serviceaccounts", service_account(f"last-{time.monotonic_ns()}"))
        eventually(
            lambda: all(COPY in names(each) for each in self._ours.cluster.api.call("GET", self._accounts)["items"])
        )
        series = re.findall(
            r"^pullsecrets_sync_judged_service_accounts_total{.*} (.*)$", self._sync.metrics(), re.MULTILINE
        )
        return int(sum(map(float, series)))

    def _patch(self, number: int, change: dict[str, Any]) -> None:
        path = f"{self._accounts}/app-{number}"
        self._ours.cluster.api.call("PATCH", path, change, "application/merge-patch+json")


def test_an_event_of_one_of_1500_service_accounts_does_not_have_all_judged(ours: Playground) -> None:
    sync = ours.start_sync("first")
    crowd = Crowd(ours, sync)

    before = crowd.judged()
    stir(crowd.change_nothing_of_ours)
    harmless = crowd.judged() - before
    print(f"{harmless} ServiceAccounts judged for {EVENTS} events in a namespace of {MANY_ACCOUNTS}")
    assert 0 < harmless <= JUDGED_PER_EVENT * EVENTS + PLANS * (MANY_ACCOUNTS + EVENTS)

    before, begun = crowd.judged(), time.monotonic()
    stir(crowd.enforce)
    decisive = crowd.judged() - before
    # Sync goes on judging at its rate until it has seen the last event.
    seconds = time.monotonic() - begun
    print(f"{decisive} judged for {EVENTS} events in {seconds:.1f} s that each need a plan of the namespace")
    allowed = JUDGED_PER_EVENT * EVENTS + PLANS * (MANY_ACCOUNTS + EVENTS) + 1.5 * JUDGED_PER_SECOND * seconds
    assert decisive <= allowed < EVENTS * MANY_ACCOUNTS
