"""Prometheus' own judge of rules and queries, where it is installed (Debian: the package ``prometheus``)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

PROMTOOL = shutil.which("promtool")

needed = pytest.mark.skipif(
    PROMTOOL is None, reason="there is no promtool on PATH to judge queries: install Prometheus (Debian: prometheus)"
)


def run(*arguments: str) -> None:
    """Run promtool; what it finds wrong is in the failure."""
    assert PROMTOOL
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def written(path: Path, document: Mapping[str, Any]) -> str:
    """Write a document as JSON, which is YAML, and return its path."""
    path.write_text(json.dumps(document))
    return str(path)
