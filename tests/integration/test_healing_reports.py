"""``explain`` and ``plan`` about healing, with the Pods of a cluster in which nothing is evicted meanwhile."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.integration.conftest import FIRST_PASSWORD
from tests.integration.site.commands import of_release
from tests.integration.site.playground import COPY, Playground, eventually, pod
from tests.integration.site.rights import await_right
from tests.integration.site.stuck import RUNNING, WAITING, create_replica_set, pods_of, set_state
from webhook.rules.healing import OwnerRecord, Trial
from webhook.rules.healing_state import encode_healing

OTHER_IMAGE = "other.example.com/app:1"
LATER = "2100-01-01T00:00:00Z"


@dataclass
class Stuck:
    """A selected namespace with Pods that were created too early, and a Lease that a test holds."""

    site: Playground
    namespace: str

    def owner(self, name: str) -> list[str]:
        """Return the Pods of an owner, the one that is evicted first at the beginning."""
        pods = pods_of(self.site, self.namespace, name).values()
        found = sorted((each["metadata"]["creationTimestamp"], each["metadata"]["name"]) for each in pods)
        return [name for _, name in found]

    def explained(self, name: str, kubeconfig: Path | None = None) -> dict[str, Any]:
        """Return the step about healing of a Pod."""
        ran = of_release(self.site, "explain", f"pod/{name}", "-n", self.namespace, "-o", "json", kubeconfig=kubeconfig)
        assert ran.code in (0, 1), ran.err
        return next((each for each in json.loads(ran.out)["steps"] if each["gate"] == "healing"), {})

    def planned(self, *flags: str) -> dict[str, tuple[str, str]]:
        """Return effect and reason of each Pod in the plan of the namespace."""
        ran = of_release(self.site, "plan", "-n", self.namespace, "-o", "json", *flags)
        assert ran.code == 1, ran.err
        rows = json.loads(ran.out)["rows"]
        return {row["object"]: (row["effect"], row["reason"]) for row in rows if row["object"].startswith("Pod/")}

    def store(self, **owners: OwnerRecord) -> None:
        """Store owners as sync does; the keys are the names of ReplicaSets."""
        path = f"/apis/apps/v1/namespaces/{self.namespace}/replicasets/"
        found = {self.site.cluster.api.call("GET", path + name)["metadata"]["uid"]: owners[name] for name in owners}
        release = self.site.installation
        value = {"data": {"_healing": b64encode(encode_healing(0, found)).decode()}}
        self.site.patch(release.namespace, "secrets", release.state_secret, value)


@pytest.fixture(scope="module")
def stuck(cluster: Cluster) -> Iterator[Stuck]:
    with ExitStack() as stack:
        site = stack.enter_context(Playground.make(cluster, healing={"enabled": True, "perMinute": 7}))
        sync = site.start_sync(FIRST_PASSWORD)
        made = Stuck(site, site.namespace(selected=False))
        create(made)
        site.opt(made.namespace, "enabled")
        site.await_selected(made.namespace, FIRST_PASSWORD)
        eventually(lambda: site.get(site.installation.namespace, "secrets", site.installation.state_secret))
        assert sync.stop() == 0
        lead(site, "test")
        get_stuck(made)
        yield made


def lead(site: Playground, identity: str | None) -> None:
    """Hold the Lease of sync for an hour, or nobody does."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{site.installation.namespace}/leases/{site.installation.lease}"
    renewed = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    spec = {"holderIdentity": identity, "renewTime": renewed, "leaseDurationSeconds": 3600}
    site.cluster.api.call("PATCH", path, {"spec": spec}, "application/merge-patch+json")


def create(stuck: Stuck) -> None:
    """Create Pods in a namespace that has not opted in."""
    site, namespace = stuck.site, stuck.namespace
    create_replica_set(site, namespace, "web", 2)
    create_replica_set(site, namespace, "tried", 1)
    create_replica_set(site, namespace, "elsewhere", 1, image=OTHER_IMAGE)
    for name in ("bare", "begun"):
        site.create(namespace, "pods", pod(name))
    site.create(namespace, "pods", pod("referenced", imagePullSecrets=[{"name": COPY}]))


def get_stuck(stuck: Stuck) -> None:
    """Have each Pod fail to pull but one, which runs."""
    site, namespace = stuck.site, stuck.namespace
    for each in pods_of(site, namespace).values():
        is_running = each["metadata"]["name"] == "begun"
        set_state(site, each, *((RUNNING, "Running") if is_running else (WAITING, "Pending")))


def cases(stuck: Stuck) -> dict[str, tuple[str, str | None, tuple[str, str] | None]]:
    """Return for each Pod the result and the reason of ``explain``, and effect and reason of ``plan``."""
    first, second = stuck.owner("web")
    (tried,), (elsewhere,) = stuck.owner("tried"), stuck.owner("elsewhere")
    return {
        first: ("note", "healing-due", ("evict", "healing-due")),
        second: ("note", "healing-trial", ("evict", "healing-trial")),
        tried: ("note", "healing-stopped", ("recreate", "healing-stopped")),
        elsewhere: ("note", "healing-registry-not-covered", ("recreate", "pod-without-reference")),
        "bare": ("note", "healing-bare-pod", ("recreate", "healing-bare-pod")),
        "begun": ("note", "healing-pod-not-failing", ("recreate", "pod-without-reference")),
        "referenced": ("pass", None, ("none", "already-present")),
    }


@pytest.fixture
def tried(stuck: Stuck) -> None:
    """The owner ``tried`` has a replacement that lacks the reference as well."""
    record = OwnerRecord(stuck.namespace, (COPY,), LATER, datetime.now(UTC).timestamp(), Trial.REFUTED)
    stuck.store(tried=record)


@pytest.mark.usefixtures("tried")
def test_each_pod_is_explained_and_planned_as_sync_would_treat_it(stuck: Stuck) -> None:
    expected = cases(stuck)
    steps = {name: stuck.explained(name) for name in expected}
    assert {name: (step["result"], step["reason"]) for name, step in steps.items()} == {
        name: case[:2] for name, case in expected.items()
    }
    assert stuck.planned() == {f"Pod/{name}": case[2] for name, case in expected.items()}
    assert "fewer than 7 Pods" in steps[stuck.owner("web")[0]]["why"]
    assert steps["bare"]["next"].endswith("| kubectl replace --force -f -")


@pytest.mark.usefixtures("tried")
def test_all_forms_of_the_plan_have_the_same_pods(stuck: Stuck) -> None:
    def plan(form: str) -> str:
        return of_release(stuck.site, "plan", "-n", stuck.namespace, "-o", form).out

    evicted = [f"Pod/{name}" for name, case in cases(stuck).items() if case[2] and case[2][0] == "evict"]
    assert {name.lower() for name in evicted} <= {*plan("name").splitlines()}
    for form in ("table", "wide"):
        lines = [line for line in plan(form).splitlines() if "- evicted" in line]
        assert sorted(line.split()[1] for line in lines) == sorted(evicted)
    summary = of_release(stuck.site, "plan", "-n", stuck.namespace).err
    assert "(2 Pods evicted by healing)" in summary
    assert json.loads(plan("json"))["summary"]["podsToEvict"] == 2


def test_a_plan_with_values_that_switch_healing_on_lists_the_evictions_beforehand(
    playground: Callable[..., Playground], tmp_path: Path
) -> None:
    site = playground()
    site.start_sync(FIRST_PASSWORD).stop()
    stuck = Stuck(site, site.namespace(selected=False))
    create_replica_set(site, stuck.namespace, "web", 1)
    (web,) = stuck.owner("web")
    set_state(site, pods_of(site, stuck.namespace)[web])
    configuration = json.dumps({"label": site.label})
    values = tmp_path / "values.yaml"
    sources = '[{"name": "registry-credentials", "sources": ["harbor"]}]'
    values.write_text(f"optIn: {configuration}\npullSecrets: {sources}\nhealing: {{enabled: true}}\n")

    ran = of_release(site, "plan", "--label", f"ns/{stuck.namespace}", "-o", "json", f"--values={values}")

    rows = {row["object"]: row["effect"] for row in json.loads(ran.out)["rows"]}
    assert rows[f"Pod/{web}"] == "evict"
    ran = of_release(site, "plan", "--label", f"ns/{stuck.namespace}", "-o", "json")
    rows = {row["object"]: row["effect"] for row in json.loads(ran.out)["rows"]}
    assert rows[f"Pod/{web}"] == "recreate"


def test_a_missing_right_and_an_absent_leader_are_named(stuck: Stuck, cluster: Cluster) -> None:
    (first, _), viewer = stuck.owner("web"), "viewer-of-stuck"
    cluster.kubectl(
        "create", "rolebinding", "viewer", "--clusterrole=view", f"--user={viewer}", f"--namespace={stuck.namespace}"
    )
    await_right(cluster, viewer, "get", "pods", namespace=stuck.namespace)
    step = stuck.explained(first, cluster.kubeconfig_with_client_certificate(viewer))
    assert step["result"] == "unknown"
    assert "you lack the right to read" in step["why"]

    lead(stuck.site, None)
    try:
        step = stuck.explained(first)
        assert "no replica of sync holds the Lease" in step["why"]
    finally:
        lead(stuck.site, "test")
