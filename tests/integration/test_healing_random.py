"""Random Pods in random states on the real API server: only those that meet all conditions are evicted.

The evictions are read from the audit log. ``HEALING_RUNS=100 HEALING_PODS=10000`` is a long run, in which leaders are
killed as well; ``HEALING_SEED=<number>`` is the first seed.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tests.integration.site.playground import COPY, Playground, eventually
from tests.integration.site.stuck import IMAGE, permit_evictions, pods_of

RUNS = int(os.environ.get("HEALING_RUNS", "2"))
PODS = int(os.environ.get("HEALING_PODS", "60")) // RUNS
SEED = int(os.environ.get("HEALING_SEED", "1"))
PER_MINUTE = max(5, RUNS * PODS // 400)
"""Few enough that the limit is reached in a long run."""

LEADER_DIES = 0.1
"""The share of the runs in which the leader is killed."""

Status = dict[str, Any]

PULLING = {"waiting": {"reason": "ImagePullBackOff"}}
ALSO_PULLING = {"waiting": {"reason": "ErrImagePull"}}
CREATING = {"waiting": {"reason": "PodInitializing"}}
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
ENDED = {"terminated": {"exitCode": 0, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z"}}
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}

STATES: tuple[tuple[bool, dict[str, Any]], ...] = (
    (True, {"app": {"state": PULLING}}),
    (True, {"app": {"state": ALSO_PULLING}, "before": {"state": ENDED}}),
    (True, {"app": {"state": CREATING}, "before": {"state": PULLING}}),
    (False, {"app": {"state": CREATING}}),
    (False, {"app": {"state": PULLING, "restartCount": 1}}),
    (False, {"app": {"state": PULLING, "lastState": ENDED}}),
    (False, {"app": {"state": PULLING}, "proxy": {"state": RUNNING}}),
    (False, {"app": {"state": CREATING}, "before": {"state": RUNNING}, "proxy": {"state": PULLING}}),
    (False, {"app": {"state": RUNNING}, "proxy": {"state": RUNNING}, **READY}),
)
"""True if a Pod fails to pull and nothing of it has begun; then its containers, and fields of its status.

``before`` is an init container, and ``proxy`` a sidecar.
"""

TEMPLATES: tuple[tuple[bool, Callable[[Playground], dict[str, Any]]], ...] = (
    (True, lambda _: {}),
    (True, lambda _: {}),
    (False, lambda _: {"image": "other.example.com/app:1"}),
    (False, lambda _: {"references": [COPY]}),
    (False, lambda site: {"labels": {site.label: "disabled"}}),
)
"""True if a Pod lacks a reference that would help it; then its differences from the others."""

RECREATING: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ReplicaSet", {}),
    ("StatefulSet", {"serviceName": "none", "podManagementPolicy": "Parallel"}),
)


def test_of_random_pods_only_those_that_meet_all_conditions_are_evicted(playground: Callable[..., Playground]) -> None:
    site = playground(healing={"enabled": True, "perMinute": PER_MINUTE})
    site.set_source("first")
    permit_evictions(site)
    site.start()
    expected: set[tuple[str, str]] = set()
    for seed in range(SEED, SEED + RUNS):
        expected |= run(site, random.Random(seed))  # noqa: S311 (a seed)

    def counted(evictions: list[tuple[datetime, str, str]]) -> Counter[tuple[str, str]]:
        return Counter((namespace, name) for _, namespace, name in evictions)

    # A Pod is gone a moment before the audit log says why.
    evictions = eventually(lambda: evictions_of(site), lambda seen: counted(seen) == Counter(expected))
    most = most_in_a_minute([at for at, *_ in evictions])
    assert most <= PER_MINUTE
    print(f"{RUNS * PODS} Pods: {len(evictions)} evictions, at most {most} of {PER_MINUTE} in a minute")


def run(site: Playground, chance: random.Random) -> set[tuple[str, str]]:
    """Fill a namespace that opts in and one that does not; return namespace and name of the Pods that are evicted."""
    selected, other = (site.namespace(selected=False) for _ in range(2))
    expected = fill(site, selected, chance, PODS - PODS // 4)
    fill(site, other, chance, PODS // 4)
    before = {name: uids(site, name) for name in (selected, other)}

    site.opt(selected, "enabled")
    if chance.random() < LEADER_DIES:
        replace_leader(site)

    limit = 60.0 * (1 + len(expected) / PER_MINUTE)
    eventually(lambda: expected & uids(site, selected).keys(), lambda left: not left, seconds=120.0 + limit)
    assert before[selected].keys() - uids(site, selected).keys() == expected
    assert before[other] == uids(site, other)
    for name in (selected, other):
        for status in budgets(site, name):
            assert status["currentHealthy"] == status["desiredHealthy"]
    return {(selected, before[selected][uid]) for uid in expected}


def uids(site: Playground, namespace: str) -> dict[str, str]:
    """Return the names of the Pods of a namespace by UID: a StatefulSet uses a name again."""
    return {pod["metadata"]["uid"]: name for name, pod in pods_of(site, namespace).items()}


def replace_leader(site: Playground) -> None:
    """Kill sync, and start another one, which leads when the Lease has expired."""
    processes = site.installation.processes
    processes[max(processes, key=lambda name: (name.startswith("sync"), len(name), name))].kill()
    site.installation.start_sync(name=f"sync-{len(processes)}")


def fill(site: Playground, namespace: str, chance: random.Random, number: int) -> set[str]:
    """Create Pods in random states; return the UIDs of those to be evicted if their namespace opts in.

    Each Pod that is ready is one that a PodDisruptionBudget needs, in half of the namespaces.
    """
    helped: set[str] = set()
    left, owner = number, 0
    while left > 0:
        size = min(left, chance.randint(1, 12))
        left, owner = left - size, owner + 1
        is_helped, variant = chance.choice(TEMPLATES)
        if create_owner(site, namespace, f"o{owner}", size, chance, template(f"o{owner}", **variant(site))):
            helped |= {f"o{owner}"} if is_helped else set()
    pods = eventually(lambda: pods_of(site, namespace), lambda seen: len(seen) == number)
    expected, healthy = set(), 0
    for pod in pods.values():
        is_stuck, state = chance.choice(STATES)
        set_status(site, pod, state)
        healthy += state.get("phase") == "Running"
        if is_stuck and pod["metadata"]["labels"]["owner"] in helped:
            expected.add(pod["metadata"]["uid"])
    if chance.random() < 0.5:
        create_budget(site, namespace, healthy)
    return expected


def template(
    owner: str, image: str = IMAGE, references: list[str] | None = None, labels: dict[str, str] | None = None
) -> dict[str, Any]:
    """Return a Pod template with a container, an init container and a sidecar."""
    spec: dict[str, Any] = {
        "containers": [{"name": "app", "image": image}],
        "initContainers": [
            {"name": "before", "image": image},
            {"name": "proxy", "image": image, "restartPolicy": "Always"},
        ],
        "imagePullSecrets": [{"name": name} for name in references or ()],
    }
    return {"metadata": {"labels": {"app": "stuck", "owner": owner, **(labels or {})}}, "spec": spec}


def create_owner(
    site: Playground, namespace: str, name: str, size: int, chance: random.Random, pod: dict[str, Any]
) -> bool:
    """Create Pods with or without a controller; return whether that recreates them."""
    if chance.random() < 0.7:
        kind, more = chance.choice(RECREATING)
        selector = {"matchLabels": {"app": "stuck", "owner": name}}
        create(site, namespace, "apps/v1", kind, name, replicas=size, selector=selector, template=pod, **more)
        return True
    if chance.random() < 0.3:
        pod["spec"]["restartPolicy"] = "Never"
        create(site, namespace, "batch/v1", "Job", name, parallelism=size, completions=size, template=pod)
        return False
    owners = []
    if chance.random() < 0.5:
        body = {"metadata": {"name": name}}
        uid = site.create(namespace, "configmaps", body)["metadata"]["uid"]
        owners = [{"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid, "controller": True}]
    for index in range(size):
        metadata = {**pod["metadata"], "name": f"{name}-{index}", "ownerReferences": owners}
        site.create(namespace, "pods", {**pod, "metadata": metadata})
    return False


def create(site: Playground, namespace: str, version: str, kind: str, name: str, **spec: Any) -> None:  # noqa: ANN401
    """Create an object of a namespace."""
    body = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
    site.cluster.api.call("POST", f"/apis/{version}/namespaces/{namespace}/{kind.lower()}s", body)


def set_status(site: Playground, pod: dict[str, Any], states: Status) -> None:
    """Write the states of the containers of a Pod, as a kubelet does."""
    rest = {"image": IMAGE, "imageID": "", "ready": False, "restartCount": 0}
    statuses = {name: {"name": name, **rest, **state} for name, state in states.items() if isinstance(state, dict)}
    status = {
        "phase": "Pending",
        "containerStatuses": [statuses.pop("app")],
        "initContainerStatuses": list(statuses.values()),
        **{name: value for name, value in states.items() if not isinstance(value, dict)},
    }
    metadata = pod["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
    site.cluster.api.call("PATCH", path, {"status": status}, "application/merge-patch+json")


def create_budget(site: Playground, namespace: str, healthy: int) -> None:
    """Create a PodDisruptionBudget that allows no disruption, and wait until all healthy Pods count."""
    selector = {"matchLabels": {"app": "stuck"}}
    create(site, namespace, "policy/v1", "PodDisruptionBudget", "all", minAvailable=healthy, selector=selector)
    eventually(
        lambda: [each.get("currentHealthy") for each in budgets(site, namespace)], lambda seen: seen == [healthy]
    )


def budgets(site: Playground, namespace: str) -> list[Status]:
    """Return the statuses of the PodDisruptionBudgets of a namespace."""
    found = site.cluster.api.call("GET", f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets")["items"]
    return [each["status"] for each in found]


def evictions_of(site: Playground) -> list[tuple[datetime, str, str]]:
    """Return time, namespace and Pod of each eviction that the API server has made for sync."""
    installation = site.installation
    user = f"system:serviceaccount:{installation.namespace}:{installation.fullname}-sync"
    return [
        (datetime.fromisoformat(event["requestReceivedTimestamp"]), reference["namespace"], reference["name"])
        for event in site.cluster.audit_events()
        if (reference := event.get("objectRef", {})).get("subresource") == "eviction"
        and event["user"].get("username") == user
        and event["responseStatus"]["code"] == 201
    ]


def most_in_a_minute(times: list[datetime]) -> int:
    """Return the largest number of evictions in any 60 seconds."""
    minute = timedelta(seconds=60)
    return max((sum(start <= each < start + minute for each in times) for start in times), default=0)
