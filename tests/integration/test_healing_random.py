"""Random Pods in random states on the real API server: only those that meet all conditions are evicted.

``HEALING_RUNS=100 HEALING_PODS=10000`` is a long run; ``HEALING_SEED=<number>`` is the first seed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

from tests.integration.site.playground import Playground, eventually
from tests.integration.site.playground import pod as bare_pod
from tests.integration.site.stuck import (
    IMAGE,
    RUNNING,
    WAITING,
    create_replica_set,
    permit_evictions,
    pods_of,
    set_state,
)

RUNS = int(os.environ.get("HEALING_RUNS", "2"))
PODS = int(os.environ.get("HEALING_PODS", "60")) // RUNS
SEED = int(os.environ.get("HEALING_SEED", "1"))
PER_MINUTE = 600
CREATING = {"waiting": {"reason": "ContainerCreating"}}
STATES = ((WAITING, "Pending"), (CREATING, "Pending"), (RUNNING, "Running"))


def test_of_random_pods_only_those_that_meet_all_conditions_are_evicted(playground: Callable[..., Playground]) -> None:
    site = playground(healing={"enabled": True, "perMinute": PER_MINUTE})
    site.set_source("first")
    permit_evictions(site)
    site.start()
    for seed in range(SEED, SEED + RUNS):
        run(site, random.Random(seed))  # noqa: S311 (a seed)


def run(site: Playground, chance: random.Random) -> None:
    """Fill a namespace that opts in and one that does not, and compare what is evicted with what must be."""
    selected, other = (site.namespace(selected=False) for _ in range(2))
    expected = fill(site, selected, chance, PODS - PODS // 4)
    fill(site, other, chance, PODS // 4)
    before = {name: set(pods_of(site, name)) for name in (selected, other)}

    site.opt(selected, "enabled")

    eventually(lambda: expected & pods_of(site, selected).keys(), lambda left: not left, seconds=120.0 + PODS / 5)
    assert before[selected] - pods_of(site, selected).keys() == expected
    assert before[other] <= pods_of(site, other).keys()


def fill(site: Playground, namespace: str, chance: random.Random, number: int) -> set[str]:
    """Create Pods in random states, some with a PodDisruptionBudget; return the names of those to be evicted."""
    budget = {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "stuck"}}}
    if chance.random() < 0.5:
        body = {"apiVersion": "policy/v1", "metadata": {"name": "none"}, "spec": budget}
        site.cluster.api.call("POST", f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets", body)
    helped: set[str] = set()
    left, owner = number, 0
    while left > 0:
        size, image = min(left, chance.randint(1, 12)), chance.choice([IMAGE, IMAGE, "other.example.com/app:1"])
        left, owner = left - size, owner + 1
        if chance.random() < 0.2:
            for index in range(size):
                site.create(namespace, "pods", bare_pod(f"bare-{owner}-{index}", image))
            continue
        create_replica_set(site, namespace, f"web-{owner}", size, image=image)
        if image == IMAGE:
            helped |= pods_of(site, namespace, f"web-{owner}").keys()
    expected = set()
    for name, pod in pods_of(site, namespace).items():
        state, phase = chance.choice(STATES)
        set_state(site, pod, state, phase)
        if state is WAITING and name in helped:
            expected.add(name)
    return expected
