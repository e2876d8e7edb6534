"""Policies in static manifests decide on the real API server as the core does, from its first request on.

The guard policies in that form are tested in test_guard.py, with the same requests as those of the chart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.cluster import programs
from tests.integration.policies.judge import RELEASE_NAMESPACE, Site, await_sentinel, sentinel
from tests.integration.policies.static import StaticCluster
from tests.integration.policies.worlds import random_world
from webhook.rules.configuration import Reason

SEEDS = range(4)
PLUGIN = "MutatingAdmissionPolicy"
SENTINEL = "sentinel.static.k8s.io"


@pytest.fixture
def running() -> Iterator[StaticCluster]:
    with StaticCluster.start() as started:
        yield started


def test_static_policies_decide_as_the_core_does_and_from_the_first_request(
    running: StaticCluster, tmp_path: Path
) -> None:
    labels = {seed: f"s{seed}.example.com/inject" for seed in SEEDS}
    worlds = {label: random_world(Random(seed), label) for seed, label in labels.items()}  # noqa: S311 (repeatable)
    sites = [Site.build(running.cluster, world, label) for label, world in worlds.items()]
    before = [site.rehearse() for site in sites]

    exported = [site.exported(tmp_path, RELEASE_NAMESPACE, "--static") for site in sites]
    running.publish(PLUGIN, "\n---\n".join([*exported, *map(json.dumps, sentinel(SENTINEL))]))
    await_sentinel(running.cluster, SENTINEL)
    found = [verdict for site, seen in zip(sites, before, strict=True) for verdict in site.judge(seen)]
    assert [verdict for verdict in found if not verdict.agrees] == []
    reasons = [verdict.decision.reason for verdict in found if verdict.decision]
    assert reasons.count(Reason.INJECTED) > 50

    # etcd does not have them, and a restarted API server is ready only with them.
    assert running.cluster.kubectl("get", "mutatingadmissionpolicies", "-o", "name") == ""
    running.cluster.stop_program(programs.API_SERVER)
    running.restart()
    again = [verdict for site, seen in zip(sites, before, strict=True) for verdict in site.judge(seen)]
    assert again == found
