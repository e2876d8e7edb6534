"""The chart as people use it who come from other charts: their values files, and their umbrella charts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.habits import MINIMAL, REFUSED, RENDERED, Refused
from tests.chart.wrong_types import WRONG_TYPES
from tests.cluster import helm
from tests.cluster.helm import CHART, HelmFailed

REGULAR_EXPRESSION = re.compile(r"\^|\(\?|\[a-z|\\d|\{\d+,")
"""Signs that a message has a regular expression."""


def rendered(*files: str, chart: Path = CHART) -> list[dict[str, Any]]:
    """Return the objects of several values files, each on top of the previous one, as Helm reads them."""
    values: dict[str, Any] = {}
    for file in files:
        values = merged(values, yaml.safe_load(file) or {})
    output = helm.run(["template", "psw", str(chart), "--namespace=psw-system", "--values=-"], stdin=json.dumps(values))
    return [document for document in yaml.load_all(output, Loader=helm.Loader) if document]


def merged(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of two files, as Helm merges them."""
    both = {**one, **two}
    shared = [key for key in two if isinstance(one.get(key), dict) and isinstance(two[key], dict)]
    return both | {key: merged(one[key], two[key]) for key in shared}


def test_there_are_enough_files() -> None:
    assert len(RENDERED) + len(REFUSED) >= 35


@pytest.mark.parametrize("file", RENDERED.values(), ids=RENDERED)
def test_a_usual_file_renders(file: str) -> None:
    kinds = {item["kind"] for item in rendered(MINIMAL, file)}
    assert {"Deployment", "MutatingWebhookConfiguration"} <= kinds


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_another_file_is_refused_with_the_value_and_what_to_write(refused: Refused) -> None:
    with pytest.raises(HelmFailed) as failed:
        rendered(MINIMAL, refused.file)
    message = str(failed.value)
    assert [word for word in refused.words if word not in message] == []
    assert not REGULAR_EXPRESSION.search(message)
    sentences = [line for line in message.splitlines() if ": " in line and not line.startswith("Use --debug")]
    assert len(sentences) <= 2, "one line of Helm's own at most, and one sentence"


@pytest.mark.parametrize(("file", "path", "words"), WRONG_TYPES, ids=[file for file, *_ in WRONG_TYPES])
def test_a_value_of_a_wrong_type_is_named_with_what_to_write(file: str, path: str, words: str) -> None:
    with pytest.raises(HelmFailed) as failed:
        rendered(MINIMAL, file)
    message = str(failed.value).replace("\n", " ")
    assert f" {path}: " in message
    assert f"; write {words}" in message
    assert message.count("; write ") == 1


def test_a_password_of_a_wrong_type_is_not_repeated() -> None:
    with pytest.raises(HelmFailed, match=r"sourceSecrets\[0\]\.password: it is not text; write it in quotes") as failed:
        rendered(MINIMAL, "sourceSecrets: [{name: harbor, registry: r.example.com, username: robot, password: 31337}]")
    assert "31337" not in str(failed.value)


@pytest.fixture
def umbrella(tmp_path: Path) -> Path:
    """A chart that has this one as a dependency with a condition."""
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    dependency = {"name": CHART.name, "version": version, "repository": "", "condition": f"{CHART.name}.enabled"}
    about = {"apiVersion": "v2", "name": "platform", "version": "1.0.0", "dependencies": [dependency]}
    (tmp_path / "Chart.yaml").write_text(json.dumps(about))
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / CHART.name).symlink_to(CHART)
    return tmp_path


OURS = {"pullSecrets": [{"name": "registry-credentials", "sources": ["harbor"]}]}


def test_an_umbrella_chart_sets_the_registry_and_the_pull_secrets_of_all_images(umbrella: Path) -> None:
    shared = {"imageRegistry": "mirror.example.com", "imagePullSecrets": ["mirror"], "storageClass": "fast"}
    objects = rendered(json.dumps({"global": shared, CHART.name: OURS}), chart=umbrella)
    pods = [item["spec"]["template"]["spec"] for item in objects if item["kind"] in ("Deployment", "Job")]
    assert len(pods) == 3
    for pod in pods:
        assert pod["containers"][0]["image"].startswith("mirror.example.com/pull-secret-webhook:")
        assert pod["imagePullSecrets"] == [{"name": "mirror"}]


def test_an_umbrella_chart_leaves_it_out_by_its_condition(umbrella: Path) -> None:
    assert rendered(json.dumps({CHART.name: {**OURS, "enabled": False}}), chart=umbrella) == []


def test_a_mistake_below_an_umbrella_chart_is_told_in_the_same_words(umbrella: Path) -> None:
    with pytest.raises(HelmFailed, match=r"replicaCount: set webhook\.replicas and sync\.replicas"):
        rendered(json.dumps({CHART.name: {**OURS, "replicaCount": 2}}), chart=umbrella)


def test_one_word_is_the_failure_policy_of_both() -> None:
    for given, expected in (("Fail", ["Fail", "Fail"]), ("{pods: Fail}", ["Fail", "Ignore"]), ("null", ["Ignore"] * 2)):
        objects = rendered(MINIMAL, f"webhook: {{failurePolicy: {given}}}")
        (configuration,) = (item for item in objects if item["kind"] == "MutatingWebhookConfiguration")
        assert [webhook["failurePolicy"] for webhook in configuration["webhooks"]] == expected


def test_a_short_form_is_written_out_in_the_configuration() -> None:
    (found,) = (item for item in rendered(MINIMAL) if item["kind"] == "ConfigMap")
    (pull_secret,) = yaml.safe_load(found["data"]["config.yaml"])["pullSecrets"]
    assert pull_secret == {"name": "registry-credentials", "sources": [{"secretName": "harbor"}]}


def test_a_pod_that_drains_for_longer_has_more_time_to_end() -> None:
    objects = rendered(MINIMAL, "webhook: {drainSeconds: 60}")
    (pod,) = (
        item["spec"]["template"]["spec"]
        for item in objects
        if item["metadata"]["name"].endswith("-webhook") and item["kind"] == "Deployment"
    )
    assert pod["terminationGracePeriodSeconds"] == 82
