"""The configuration document that the chart renders, and the examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendered import SAMPLE, render
from webhook.files.configuration import parse
from webhook.rules.configuration import Configuration

EXAMPLES = Path(__file__).parents[2] / "examples"
AWKWARD_NAMES = ["on", "no", "y", "null", "1e3", "012", "1.5", "0x1f", "2001-01-01"]


def configuration(values: dict[str, Any] | None = None) -> Configuration:
    return parse(render(values).one("ConfigMap")["data"]["config.yaml"], "config.yaml")


def test_the_defaults_of_the_chart_are_the_defaults_of_the_program() -> None:
    assert configuration() == Configuration(pull_secrets=())


def test_the_rights_are_about_the_names_that_the_program_reads() -> None:
    rendered = render(SAMPLE)
    read = parse(rendered.one("ConfigMap")["data"]["config.yaml"], "config.yaml")
    rights = rendered.rights("cleanup")
    (about_copies,) = (rule for where, rule in rights if where is None and "secrets" in rule["resources"])
    assert tuple(about_copies["resourceNames"]) == read.secret_names
    assert read.needs_namespace_labels


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_names_that_yaml_takes_for_something_else_stay_names(name: str) -> None:
    entry = {
        "name": name,
        "sources": [{"secretName": name}],
        "namespaceSelector": {"matchLabels": {name: name}},
        "pods": "WhenImageMatches",
        "registries": ["10:30"],
    }
    (pull_secret,) = configuration({"pullSecrets": [entry]}).pull_secrets
    assert (pull_secret.name, pull_secret.sources, pull_secret.registries) == (name, (name,), ("10:30",))
    (requirement,) = pull_secret.namespace_selector.requirements
    assert (requirement.key, requirement.values) == (name, (name,))


def test_the_example_values_render_the_example_configuration() -> None:
    values = yaml.safe_load((EXAMPLES / "values.yaml").read_text())
    assert configuration(values) == parse((EXAMPLES / "configuration.yaml").read_text(), "configuration.yaml")


def test_the_example_manifests_say_nothing_of_pull_secrets() -> None:
    for name in ("team-a.yaml", "unlabelled.yaml"):
        assert "imagePullSecrets" not in (EXAMPLES / name).read_text()


def test_one_example_namespace_opts_in_and_the_other_does_not() -> None:
    opt_in = Configuration(pull_secrets=()).opt_in
    (team_a, *_), (team_b, *_) = (
        list(yaml.safe_load_all((EXAMPLES / name).read_text())) for name in ("team-a.yaml", "unlabelled.yaml")
    )
    assert team_a["metadata"]["labels"] == {opt_in.label: opt_in.value}
    assert "labels" not in team_b["metadata"]
