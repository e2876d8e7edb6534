"""A cluster as a platform team has it, with a few faults, for the tests of the status page and its pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.cluster.cluster import Cluster
from tests.cluster.install import install
from tests.cluster.processes import PullSecrets
from tests.integration.day.disorder import settle
from tests.integration.site.commands import of_release
from tests.integration.site.playground import (
    COPY,
    REGISTRY,
    SOURCE,
    Playground,
    dockerconfigjson,
    eventually,
    pod,
)
from webhook.rules.expiry import EXPIRES_ANNOTATION
from webhook.rules.renewing import format_time

LABEL = "pullsecrets.webhook/inject"
CLUSTER_NAME = "prod-eu-1"
PASSWORD = "marker-hunter2"  # noqa: S105 (invented)
TEAMS = ("checkout", "data-platform", "ml-training", "payments", "search", "team-a", "team-b", "web-frontend")
CONFLICT, DENIED, MISTYPED = "legacy-billing", "sandbox", "reporting"
LONGEST = "review-app-of-the-branch-with-the-longest-name-that-is-allowed1"
LONGEST_SOURCE = "artifact-registry-of-the-platform-team-in-europe-west4"
VALUES = {
    "pullSecrets": [
        {"name": COPY, "sources": [{"secretName": SOURCE}, {"secretName": "ghcr"}, {"secretName": LONGEST_SOURCE}]},
        {
            "name": "build-credentials",
            "sources": [{"secretName": "quay"}],
            "namespaceSelector": {"matchLabels": {"purpose": "build"}},
        },
    ]
}


@dataclass(frozen=True, slots=True)
class Stage:
    """The cluster, and the process whose page shows it."""

    playground: Playground
    sync: PullSecrets

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.sync.metrics_port}/"

    def coverage(self) -> str:
        """Return the page of ``coverage`` about all namespaces."""
        return of_release(self.playground, "coverage", "-A", "-o", "html").out


@contextlib.contextmanager
def staged() -> Iterator[Stage]:
    """Run a cluster with eight teams in order, a finished rotation, and three namespaces and a source with faults."""
    with Cluster.start() as cluster:
        ours = Playground(cluster, install(cluster, values=VALUES), LABEL)
        with ours:
            ours.set_source(PASSWORD)
            _source(ours, "ghcr", "ghcr.io", expires_in=timedelta(days=47))
            _source(ours, LONGEST_SOURCE, "europe-west4-docker.pkg.dev", expires_in=timedelta(days=2, hours=12))
            sync = ours.installation.start_sync(f"--cluster-name={CLUSTER_NAME}")
            sync.wait_ready()
            for team in TEAMS:
                cluster.create_namespace(team, {LABEL: "enabled"})
            for team in TEAMS:  # sync has nothing to do before it has learnt of them, either
                ours.await_selected(team, PASSWORD)
            settle(sync)
            ours.set_source(f"{PASSWORD}-rotated")
            eventually(lambda: sync.get("/")[1], lambda text: "reached all copies in" in text)
            _run_pods(ours)
            _disturb(ours)
            eventually(lambda: sync.get("/")[1], lambda text: "exceeded quota" in text and "CopyConflict" in text)
            yield Stage(ours, sync)


def _disturb(ours: Playground) -> None:
    cluster = ours.cluster
    cluster.create_namespace(MISTYPED, {LABEL: "true"})
    cluster.create_namespace("build-farm", {LABEL: "enabled", "purpose": "build"})
    cluster.create_namespace(CONFLICT, {})
    ours.apply(CONFLICT, "Secret", COPY, {"stringData": {"theirs": "value"}})
    ours.opt(CONFLICT, "enabled")
    cluster.create_namespace(DENIED, {})
    ours.forbid_secrets(DENIED)
    ours.opt(DENIED, "enabled")
    cluster.create_namespace(LONGEST, {LABEL: "enabled"})


def _run_pods(ours: Playground) -> None:
    """Run Pods with the reference, one with a public image, and one that refers to a Secret that is gone."""
    references = {"imagePullSecrets": [{"name": COPY}]}
    for team, name in (("payments", "api"), ("payments", "worker"), ("checkout", "web"), ("search", "indexer")):
        ours.create(team, "pods", pod(name, f"{REGISTRY}/{team}/{name}:1.4.2", **references))
    forgotten = {"imagePullSecrets": [{"name": "old-registry"}]}
    ours.create("team-a", "pods", pod("reports", f"{REGISTRY}/team-a/reports:2.0.1", **forgotten))
    ours.create("web-frontend", "pods", pod("cache", "docker.io/library/redis:8", **references))


def _source(ours: Playground, name: str, registry: str, expires_in: timedelta) -> None:
    annotations = {EXPIRES_ANNOTATION: format_time(datetime.now(UTC) + expires_in)}
    body = {"type": "kubernetes.io/dockerconfigjson", "data": dockerconfigjson(PASSWORD, registry)}
    body["metadata"] = {"name": name, "namespace": ours.installation.namespace, "annotations": annotations}
    ours.apply(ours.installation.namespace, "Secret", name, body)
