"""Two writers and one list: the imagePullSecrets of a ServiceAccount, which others than sync add to and take from."""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.processes import PullSecrets
from tests.integration.site.playground import COPY, Playground, eventually, names

ROUNDS = int(os.environ.get("WRITER_ROUNDS", "1000"))
MAX_ENTRIES = 12
ROUNDS_EACH = 100
"""In one namespace: one that opts in and out more often than a few times is damped."""

MOST_TIMES = 5
"""So many times the rounds, if the two writers have hardly met."""

FLIP_SECONDS = 0.02
"""Between two changes of what sync is to do with the list."""


class OtherWriter:
    """Adds entries of its own to a list and takes them out again, and knows what must be there of them."""

    def __init__(self, playground: Playground, namespace: str, seed: int) -> None:
        self._api = playground.cluster.api
        self._path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
        self._random = random.Random(seed)  # noqa: S311 (not for security)
        self._made = 0
        self.mine: list[str] = []
        self.ours_seen = {False: 0, True: 0}

    def round(self) -> None:
        """Add an entry, or take one out, and look at the whole list as it was stored."""
        adds = len(self.mine) == 1 or (len(self.mine) < MAX_ENTRIES and self._random.random() < 0.5)
        stored = names(self._add() if adds else self._take_out())
        theirs = [name for name in stored if name != COPY]
        assert theirs == self.mine, f"wrote {self.mine}, found {theirs}"
        assert stored.count(COPY) <= 1
        self.ours_seen[COPY in stored] += 1

    def _add(self) -> dict[str, Any]:
        self._made += 1
        name = f"theirs-{self._made}"
        # Without any condition, as a person with `kubectl patch` would; the list is there, because it is never emptied.
        answer = self._api.json_patch(
            self._path, [{"op": "add", "path": "/imagePullSecrets/-", "value": {"name": name}}]
        )
        self.mine.append(name)
        return answer

    def _take_out(self) -> dict[str, Any]:
        name = self._random.choice(self.mine)
        while True:
            present = names(self._api.call("GET", self._path))
            path = f"/imagePullSecrets/{present.index(name)}"
            operations = [{"op": "test", "path": f"{path}/name", "value": name}, {"op": "remove", "path": path}]
            answer = self._api.request("PATCH", self._path, operations, "application/json-patch+json")
            if answer.status == 200:
                self.mine.remove(name)
                return answer.json()
            assert answer.status in (409, 422), answer.text  # sync was first


@pytest.fixture(scope="module")
def site(cluster: Cluster) -> Iterator[Playground]:
    with Playground.make(cluster) as playground:
        playground.set_source("first")
        yield playground


def counted(process: PullSecrets, pattern: str) -> float:
    return sum(map(float, re.findall(rf"^{pattern} (\S+)$", process.metrics(), re.MULTILINE)))


def meet(site: Playground, rounds: int, seed: int) -> OtherWriter:
    """Have the other writer and sync change one list at the same time; return the other writer afterwards."""
    namespace = site.namespace(selected=True)
    keep = {"imagePullSecrets": [{"name": "theirs-0"}]}
    site.apply(namespace, "ServiceAccount", "default", keep)
    site.await_selected(namespace, "first")
    other = OtherWriter(site, namespace, seed)
    other.mine = ["theirs-0"]
    done = threading.Event()

    def flip() -> None:
        """Have sync take its entry out and put it in again, all the time."""
        while not done.wait(FLIP_SECONDS):
            site.opt(namespace, None)
            eventually(lambda: done.is_set() or COPY not in (site.references(namespace) or ()))
            site.opt(namespace, "enabled")
            eventually(lambda: done.is_set() or COPY in (site.references(namespace) or ()))

    flipping = threading.Thread(target=flip)
    flipping.start()
    try:
        for _ in range(rounds):
            other.round()
    finally:
        done.set()
        flipping.join()
    site.opt(namespace, "enabled")
    site.await_selected(namespace, "first")
    # Sync may still take its entry out, because of a change that another one has undone already.
    expected = sorted([*other.mine, COPY])
    eventually(lambda: sorted(site.references(namespace) or ()), lambda seen: seen == expected)
    return other


def test_no_entry_is_lost_and_none_is_there_twice(site: Playground) -> None:
    sync = site.installation.start_sync("--no-leader-elect")
    sync.wait_ready()
    begun = time.monotonic()
    others: list[OtherWriter] = []

    def meetings() -> tuple[float, float, int]:
        """Return the writes and the conflicts of sync, and how often the list was found with its entry or without."""
        written = counted(sync, r'pullsecrets_sync_writes_total\{action="references (?:added|removed)",result="ok"\}')
        conflicts = counted(sync, r'rest_client_requests_total\{code="(?:409|422)",method="PATCH"\}')
        return written, conflicts, min(sum(other.ours_seen[there] for other in others) for there in (False, True))

    def have_met() -> bool:
        written, conflicts, seen = meetings()
        return written >= ROUNDS / 50 and conflicts > 0 and seen >= ROUNDS / 50

    wanted = ROUNDS // ROUNDS_EACH
    # Where one of the two gets less of a busy machine, they have hardly met, and go on.
    while len(others) < wanted or (len(others) < MOST_TIMES * wanted and not have_met()):
        others.append(meet(site, ROUNDS_EACH, seed=len(others)))
    seconds = time.monotonic() - begun
    written, conflicts, _ = meetings()
    rounds = len(others) * ROUNDS_EACH
    print(f"{rounds} rounds in {seconds:.1f} s beside {written:.0f} writes and {conflicts:.0f} conflicts of sync")
    assert have_met(), meetings()
