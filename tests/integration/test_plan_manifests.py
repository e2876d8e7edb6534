"""``helm template … | pullsecrets plan -f -`` with a real API server: labels of namespaces are read from it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import helm
from tests.cluster.cluster import Cluster
from tests.cluster.processes import COMMAND, clean_environment
from tests.integration.site.commands import SECONDS, Ran
from tests.integration.site.playground import COPY, Playground

PODS = {"spec": {"containers": [{"name": "app", "image": "registry.example.com/app:{{ .Chart.AppVersion }}"}]}}
WEB = {
    "deployment": ("apps/v1", "Deployment", {"template": PODS}),
    "migrate": ("batch/v1", "CronJob", {"jobTemplate": {"spec": {"template": PODS}}}),
    "account": ("v1", "ServiceAccount", None),
}
SERVERLESS = {
    "service": ("serving.knative.dev/v1", "Service", {"template": PODS}),
    "rollout": ("argoproj.io/v1alpha1", "Rollout", {"template": PODS}),
    "unknown": ("apps.example.com/v1", "Fleet", {"template": PODS}),
}
REFERENCES = ("references", "injected")


@pytest.fixture(scope="module")
def idle(cluster: Cluster) -> Iterator[Playground]:
    """An installation of which no process runs: nothing is written."""
    with Playground.make(cluster) as ours:
        yield ours


def chart(folder: Path, templates: dict[str, tuple[str, str, Any]]) -> str:
    """Write a chart, render it without a Namespace, and return the stream."""
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: app\nversion: 1.0.0\nappVersion: '1'\n")
    for name, (api_version, kind, spec) in templates.items():
        body = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}
        (folder / "templates" / f"{name}.yaml").write_text(json.dumps(body | ({"spec": spec} if spec else {})))
    return helm.run(["template", "app", str(folder)])


def piped(stdin: str, *arguments: str) -> Ran:
    done = subprocess.run(
        [COMMAND, *arguments],
        env=clean_environment(),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("templates", [WEB, SERVERLESS], ids=["web", "serverless"])
def test_a_rendered_chart_is_decided_by_the_labels_in_the_cluster(
    idle: Playground, tmp_path: Path, templates: dict[str, tuple[str, str, Any]]
) -> None:
    stream = chart(tmp_path / "app", templates)
    team, other = idle.namespace(selected=True), idle.namespace(selected=False)
    release = ("-f", "-", f"--kubeconfig={idle.cluster.kubeconfig}", f"--release={idle.installation.release}")

    within = piped(stream, "plan", "-o", "json", "-n", team, *release)
    without = piped(stream, "plan", "-o", "json", "-n", other, *release)
    absent = piped(stream, "plan", "-n", "no-such-namespace", *release)
    explained = piped(stream, "explain", "deployment/deployment", "-n", team, *release)

    rows = json.loads(within.out)["rows"]
    assert {row["object"] for row in rows} == {f"{kind}/{name}" for name, (_, kind, _) in templates.items()}
    assert {(row["effect"], row["reason"], *row["added"]) for row in rows} == {(*REFERENCES, COPY)}
    assert within.code == 1
    assert f"note: labels of namespace {team} were read from the cluster https://" in within.err
    assert {row["reason"] for row in json.loads(without.out)["rows"]} == {"namespace-not-opted-in"}
    assert without.code == 0
    assert absent.code == 4
    assert "note: namespace no-such-namespace does not exist in the cluster, so it is undecided: " in absent.err
    assert explained.code == (0 if "deployment" in templates else 2), explained.err


def test_a_rendered_chart_is_decided_by_assumed_labels_without_a_cluster(idle: Playground, tmp_path: Path) -> None:
    stream = chart(tmp_path / "app", WEB)
    configured = ("-f", "-", f"--config={idle.installation.configuration_file}")

    undecided = piped(stream, "plan", *configured)
    assumed = piped(stream, "plan", *configured, "--assume-label", f"{idle.label}=enabled")

    assert undecided.code == 4
    assert "--assume-label" in undecided.err
    assert (assumed.code, assumed.err) == (1, "3 of 3 objects would change\n")
