"""The chart's alerts and dashboard on a real Prometheus that reads real processes and the real API server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.cluster import helm
from tests.cluster.cluster import Cluster
from tests.integration.neighbours.prometheus import PROMETHEUS, Prometheus, target
from tests.integration.site.playground import SOURCE, Playground, eventually, pod
from tools.chart.dashboard_rows import ROWS
from webhook.rules.expiry import EXPIRES_ANNOTATION

pytestmark = pytest.mark.skipif(
    PROMETHEUS is None, reason="there is no prometheus on PATH to read metrics with (Debian: the package prometheus)"
)

ONLY_AFTER_TROUBLE = {
    "Rejected requests",
    "Unanswered calls seen by the API server",
    "Watches broken",
    "Reverted by other writers: {{kind}} contended",
    "Time to expiry: callers {{pod}}",
}
"""Panels, or single queries of a panel, that show nothing while nothing has gone wrong or been asked for."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A release with running processes, and the Prometheus that reads them."""

    world: Playground
    prometheus: Prometheus

    def ask(self, query: str) -> int:
        """Return how many series a query of the dashboard yields."""
        namespace = self.world.installation.namespace
        filled = (
            query.replace("$cluster", ".*")
            .replace("$namespace", namespace)
            .replace("$__rate_interval", "20s")
            .replace("$__range", "5m")
        )
        return len(self.prometheus.query(filled))


def set_source(world: Playground) -> None:
    """Create the source, with a time of expiry that is far away."""
    world.set_source("first")
    body = {"metadata": {"annotations": {EXPIRES_ANNOTATION: "2100-01-01T00:00:00Z"}}}
    world.patch(world.installation.namespace, "secrets", SOURCE, body)


@pytest.fixture(scope="module")
def watched(cluster: Cluster) -> Iterator[Watched]:
    with Playground.make(cluster) as world:
        installation = world.installation
        set_source(world)
        leader, serve = installation.start_sync(), installation.start_serve()
        leader.wait_ready()
        serve.wait_ready()
        standby = installation.start_sync(name="standby")
        standby.wait_ready()
        values = {"monitoring": {"prometheusRule": {"enabled": True}}}
        rendered = helm.template(installation.release, installation.namespace, values)
        (rules,) = (item["spec"] for item in rendered if item["kind"] == "PrometheusRule")
        targets = [
            target(f"127.0.0.1:{process.metrics_port}", namespace=installation.namespace, pod=name)
            for name, process in (("sync-0", leader), ("sync-1", standby), ("webhook-0", serve))
        ]
        namespace = world.namespace(selected=True)
        world.await_selected(namespace, "first")
        world.await_injection(namespace)
        with Prometheus(cluster, targets, rules) as prometheus:
            eventually(lambda: prometheus.query("sum(up) == 4"))
            world.create(namespace, "pods", pod("web", imagePullSecrets=[{"name": "theirs"}]))
            yield Watched(world, prometheus)


def test_a_release_that_is_well_alarms_nobody(watched: Watched) -> None:
    eventually(watched.prometheus.alerts, lambda alerts: not alerts)


def silent(watched: Watched) -> set[str]:
    """Return the panels without any data, and the queries without any of those that have some."""
    found = set()
    for panels in ROWS.values():
        for panel in panels:
            empty = {legend for legend, query in panel.queries.items() if not watched.ask(query)}
            whole = empty == set(panel.queries)
            found |= {panel.title} if whole else {f"{panel.title}: {legend}" for legend in empty}
    return found


def test_every_panel_shows_something_but_what_is_only_there_after_trouble(watched: Watched) -> None:
    # The API server is that of other tests too, whose trouble may have given a part of a panel something to show.
    def unexpected() -> set[str]:
        return {each for each in silent(watched) if not {each, each.split(": {{")[0]} & ONLY_AFTER_TROUBLE}

    eventually(unexpected, lambda empty: not empty)


def test_an_alert_names_what_is_wrong(watched: Watched) -> None:
    world = watched.world
    world.delete(world.installation.namespace, "secrets", SOURCE)
    alert = eventually(lambda: watched.prometheus.alerts().get("PullSecretsSourceInvalid"))
    assert alert is not None
    assert alert["annotations"]["description"].startswith(
        f"The Secret {SOURCE} in {world.installation.namespace} cannot be copied."
    )
    set_source(world)
    eventually(watched.prometheus.alerts, lambda alerts: "PullSecretsSourceInvalid" not in alerts)
