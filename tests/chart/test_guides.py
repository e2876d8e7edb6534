"""What the how-to guides tell to write into files: values that the chart takes, and manifests that are manifests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.rendered import render
from tests.unit.documented import DOCS, blocks

VALUES = "# values.yaml\n"


def named() -> Iterator[tuple[str, str]]:
    """Yield each YAML block of the guides, with a name for it."""
    for page in sorted((DOCS / "howto").glob("*.md")):
        for number, block in enumerate(blocks(page, "yaml"), 1):
            yield f"{page.stem}-{number}", block


def marked(*, values: bool) -> list[Any]:
    return [pytest.param(block, id=name) for name, block in named() if block.startswith(VALUES) == values]


def embedded(document: dict[str, Any]) -> dict[str, Any] | None:
    """Return the chart's values in what Flux or Argo CD installs it by."""
    spec = document.get("spec", {})
    values = {"HelmRelease": lambda: spec["values"], "Application": lambda: spec["source"]["helm"]["valuesObject"]}
    find = values.get(document["kind"])
    return find() if find else None


@pytest.mark.parametrize("block", marked(values=True))
def test_values_are_taken_by_the_chart(block: str) -> None:
    assert render(yaml.safe_load(block)).objects


@pytest.mark.parametrize("block", marked(values=False))
def test_manifests_say_what_they_are_and_hold_values_that_the_chart_takes(block: str) -> None:
    for document in yaml.safe_load_all(block):
        assert document["apiVersion"]
        assert document["kind"]
        # A document of ours, or of Kustomize, is a file for a command and no object of a cluster.
        is_file = document["apiVersion"].startswith(("pullsecrets.webhook/", "kustomize.config.k8s.io/"))
        assert is_file or document["metadata"]["name"]
        values = embedded(document)
        assert values is None or render(values).objects
