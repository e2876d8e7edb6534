"""The oracle's program: built once for this user, and called with many cases at a time."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.cluster import build
from tests.cluster.binaries import built, kubernetes_version

HERE = Path(__file__).parent


def ask(cases: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a verdict for each case."""
    target = build.Target(HERE, ("oracle",), "the oracle of pull secrets", "a minute, where the cluster is built")
    program = built(target, f"{kubernetes_version()}-oracle") / "oracle"
    lines = "\n".join(json.dumps(case) for case in cases)
    done = subprocess.run([program], input=lines, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]
